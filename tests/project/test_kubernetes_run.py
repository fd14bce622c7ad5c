"""The promises of the Kubernetes files and the role's policy, with the program and without a cluster."""

from __future__ import annotations

import ast
import json
import signal
import urllib.request
from pathlib import Path

from botocore import xform_name
from command import CREDENTIALS, emulator, free_port, run, running, wait_until
from database import Database
from deployed import ROOT, configuration_file, container, manifests, set_for
from rows import make_rows

from bulk_invite.runs.settings.model import Settings
from bulk_invite.validation.service_model import SHIPPED


def test_the_policy_allows_every_call_in_the_default_catalog() -> None:
    called = {
        node.attr
        for file in (ROOT / "bulk_invite" / "partner_central").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._client"
    } - {"meta"}  # what the client says of itself is no call
    operations = {xform_name(name): name for name in json.loads(SHIPPED.read_bytes())["operations"]}
    (statement,) = json.loads((ROOT / "config" / "iam-policy.json").read_text())["Statement"]
    assert len(called) == 3
    assert sorted(statement["Action"]) == sorted(f"partnercentral:{operations[name]}" for name in called)
    assert (statement["Effect"], statement["Resource"]) == ("Allow", "*")
    assert statement["Condition"] == {
        "StringEquals": {"partnercentral:Catalog": Settings.model_validate({}).catalog}
    }


def test_the_deployment_continues_after_the_job(db: Database, tmp_path: Path) -> None:
    db.run("CREATE TABLE invitations (id bigserial PRIMARY KEY, request jsonb NOT NULL)")
    add = "INSERT INTO invitations (request) VALUES (%s)"
    before, after = (json.dumps(row) for row in make_rows(2))
    db.run(add, (before,))
    token = tmp_path / "control-token"
    token.write_text(manifests()["Secret", "bulk-invite"]["stringData"]["control-token"])
    token.chmod(0o440)
    listen = f"127.0.0.1:{free_port()}"
    with emulator() as service:
        here = {
            **CREDENTIALS,
            "BULK_INVITE_ENDPOINT_URL": service.url,
            "BULK_INVITE_CHECKPOINT": str(tmp_path / "state.db"),
            "BULK_INVITE_CONFIG": str(configuration_file(tmp_path)),
            "BULK_INVITE_CONTROL_TOKEN_FILE": str(token),
            "BULK_INVITE_HEALTH_FILE": str(tmp_path / "health.json"),
            "BULK_INVITE_LISTEN": listen,
        }
        words = {
            kind: [db.url if "://" in word else word for word in container(kind)["args"]]
            for kind in ("Job", "Deployment")
        }
        sent = run(*words["Job"], cwd=tmp_path, env={**set_for("Job"), **here})
        assert sent.code == 0, sent.stderr
        assert all(line.startswith("{") for line in sent.stderr.splitlines())
        with running(*words["Deployment"], cwd=tmp_path, env={**set_for("Deployment"), **here}) as follows:
            wait_until(lambda: _answers(f"http://{listen}/readyz"))
            db.run(add, (after,))
            wait_until(lambda: len(service.invitations()) == 2)
            follows.signal(signal.SIGTERM)
            assert follows.ended().code == 0
        assert set(service.messages().values()) == {1}
        assert len(service.calls()) == 2


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
