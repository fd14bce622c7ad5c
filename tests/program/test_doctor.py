"""`doctor` on what a run needs: each check seen passing and failing, and nothing changed by any of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from checkpoints import OWNER, Place, first_line, python, writing
from command import (
    CREDENTIALS,
    Reply,
    ScriptedServer,
    always,
    emulator,
    environment,
    free_port,
    refusal,
    run,
    run_on_terminal,
    wait_until,
)
from crm import filled, with_outcomes
from database import PASSWORD, Database
from misconfigured import process
from rows import make_rows, write_rows

from bulk_invite.checkpoint.storage.last_transaction import LastTransactionFile
from bulk_invite.cli.doctor.all_checks import checks_of
from bulk_invite.cli.doctor.check import Check, Finding, Found, Result, blocking, ok, run_in_order
from bulk_invite.cli.doctor.filesystem import check_free_space, judged, kind_of, problem_of, size_text
from bulk_invite.cli.doctor.partner_central import ServiceChecks, lifetime_of
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.records import Owner
from bulk_invite.monitoring.health_view import HealthView
from bulk_invite.monitoring.http.probes import health_routes
from bulk_invite.monitoring.http.server import serve
from bulk_invite.partner_central import Provenance
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.settings.model import Settings

KEYS = (Credential("AKIDEXAMPLE", "example"),)

SERVICE = "endpoint|clock|credentials|account|look-ups"
CHECKPOINT = "catalog|checkpoint|owner|sender"

Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """The checks in this process: findings by name. The credentials are those of the tests."""
    monkeypatch.chdir(tmp_path)
    wanted = environment(**CREDENTIALS)
    for name in os.environ.keys() - wanted.keys():
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    closed = f"http://127.0.0.1:{free_port()}"

    def looked(
        *sources: str | Path, only: str = "", deadline: float = 10.0, **options: Any
    ) -> dict[str, Finding]:
        settings = Settings(**{"endpoint_url": closed, "checkpoint": "a.db", **options})

        async def examined() -> list[Finding]:
            async with AsyncExitStack() as stack:
                checks = checks_of(settings, list(map(str, sources)), None, stack, deadline)
                wanted = [check for check in checks if re.match(only, check.name)]
                return await run_in_order(wanted, deadline, lambda _: None)

        return {finding.name: finding for finding in anyio.run(examined)}

    return looked


def results(findings: dict[str, Finding], *names: str) -> list[str]:
    return [findings[name].result.value for name in names]


def text_of(findings: dict[str, Finding]) -> str:
    return " ".join(f"{each.name} {each.found} {each.mend}" for each in findings.values())


# The command


def test_with_all_checks_passing_doctor_changes_nothing_and_sends_nothing(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "inbox").mkdir()
    port = free_port()
    before = sorted(tmp_path.rglob("*"))
    with emulator(credentials=KEYS) as partner_central:
        ran = run(
            *("doctor", "rows.ndjson", "fifo", "inbox", "-", "--endpoint-url", partner_central.url, "--json"),
            *("--listen", f"127.0.0.1:{port}", "--health-file", "health.json", "--results", "out"),
            cwd=tmp_path,
            env={**CREDENTIALS, "BULK_INVITE_CATALOG": "AWS"},
        )
        assert partner_central.calls() == []
        assert len(partner_central.reads()) == 1
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.json["ok"] is True
    found = {each["name"]: each for each in ran.json["checks"]}
    order = (
        "configuration endpoint clock credentials account look-ups sending catalog checkpoint owner sender"
    )
    sources = ["source rows.ndjson", "source fifo", "source inbox", "source -"]
    assert list(found) == [
        *order.split(),
        "open files",
        "disk",
        "results",
        *sources,
        "control port",
        "control token",
        "health file",
    ]
    assert all(
        set(each) == {"name", "result", "found", "mend", "topic", "seconds"} for each in found.values()
    )
    not_ok = {name: each["result"] for name, each in found.items() if each["result"] != "ok"}
    not_ok.pop("checkpoint", None)  # a warning where the tests run in memory or in a container's layer
    assert not_ok == {"sending": "skipped"}
    assert "BULK_INVITE_CATALOG" in found["configuration"]["found"]
    assert "every invitation is real" in found["catalog"]["found"]
    assert "111122223333" in found["account"]["found"]
    assert "will be created" in found["checkpoint"]["found"]
    assert f"{source.name}:1, is valid" in found["source rows.ndjson"]["found"]
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in ran.stdout.replace("127.0.0.1", "")
    assert CREDENTIALS["AWS_ACCESS_KEY_ID"] not in ran.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_with_nothing_set_up_every_check_says_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('checkpoint = "away/a.db"\n')
    ran = run(
        *("doctor", "--config", config, "--endpoint-url", f"http://127.0.0.1:{free_port()}"),
        cwd=tmp_path,
        env={},
    )
    assert (ran.code, ran.stderr) == (4, "")
    *lines, counts, see, also = ran.stdout.splitlines()
    assert lines[0] == f"ok: configuration: File {config}."
    assert lines[1].startswith("failed: endpoint: There is no connection to http://127.0.0.1:")
    assert "Check the address" in lines[1]
    assert lines[2] == "skipped: clock: because endpoint failed."
    assert lines[3].startswith("failed: credentials: There are no AWS credentials")
    assert "AWS_PROFILE" in lines[3]
    assert "skipped: owner: because checkpoint failed." in lines
    assert any(
        line.startswith("failed: checkpoint: The directory of the checkpoint away/a.db does")
        for line in lines
    )
    assert counts == "14 checks: 4 ok, 3 failed, 7 skipped."
    assert see == "See: bulk-invite manual operations"
    assert also == "See: bulk-invite manual troubleshooting"


def test_a_terminal_gets_columns_with_names_escaped_and_hanging_checks_time_out(
    tmp_path: Path,
) -> None:
    hostile = "\x1b[31mrows"
    os.mkfifo(tmp_path / "model.json")
    url = f"http://127.0.0.1:{free_port()}"
    code, _, screen = run_on_terminal(
        *("doctor", hostile, "--endpoint-url", url, "--service-model", "model.json"),
        *("--call-timeout", "300ms"),
        cwd=tmp_path,
        stdout_too=True,
        columns=100,
    )
    assert code == 4
    assert "\x1b[31mrows" not in screen
    assert "\x1b[1;31mfailed" in screen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    assert re.search(r"^failed +configuration +No answer within 0\.3 s\.", plain, re.MULTILINE)
    assert re.search(r"^skipped +credentials +because configuration failed\.", plain, re.MULTILINE)
    assert re.search(r"^skipped +source \\x1b\[31mrows +because configuration", plain, re.MULTILINE)
    assert re.search(r"^ok +catalog +Sandbox", plain, re.MULTILINE)


# The runner of the checks


def test_checks_that_depend_on_a_failed_one_are_skipped_with_the_cause() -> None:
    def broken() -> Found:
        raise OSError(5, "Input/output error")

    checks = [
        blocking("disk", broken),
        blocking("file", lambda: ok("there"), ("disk",)),
        blocking("row", lambda: ok("valid"), ("file",)),
        blocking("other", lambda: ok("well")),
    ]
    reported: list[Finding] = []
    findings = anyio.run(run_in_order, checks, 5.0, reported.append)
    assert reported == findings
    assert [(each.result, each.found) for each in findings] == [
        (Result.FAILED, "Input/output error."),
        (Result.SKIPPED, "because disk failed"),
        (Result.SKIPPED, "because disk failed"),
        (Result.OK, "well"),
    ]


def test_every_check_has_a_time_limit() -> None:
    async def hangs() -> Found:
        await anyio.sleep_forever()
        return ok("never")

    checks = [Check("hangs", hangs), blocking("hangs too", partial(_wait, threading.Event()))]
    findings = anyio.run(run_in_order, checks, 0.05, lambda _: None)
    assert [each.result for each in findings] == [Result.FAILED, Result.FAILED]
    assert all(0.05 <= each.seconds < 1 for each in findings)


def _wait(event: threading.Event) -> Found:
    event.wait()
    return ok("never")


# The service


def test_wrong_keys_are_refused_and_not_shown(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-key")
    with emulator(credentials=KEYS) as service:
        found = look(endpoint_url=service.url, only=SERVICE)
    assert results(found, "endpoint", "clock", "credentials", "account", "look-ups") == [
        *("ok", "ok", "ok", "failed", "skipped")
    ]
    assert "SignatureDoesNotMatch" in found["account"].found
    assert "wrong-secret-key" not in text_of(found)


@pytest.mark.parametrize(
    ("ahead", "clock", "account"), [(100.0, "warning", "ok"), (400.0, "failed", "failed")]
)
def test_a_wrong_clock_is_reported(look: Look, ahead: float, clock: str, account: str) -> None:
    with emulator(credentials=KEYS, clock_ahead=ahead) as service:
        found = look(endpoint_url=service.url, only=SERVICE)
    assert results(found, "endpoint", "clock", "account") == ["ok", clock, account]
    assert abs(float(re.findall(r"is (\d+) s behind", found["clock"].found)[0]) - ahead) <= 2
    assert "NTP" in found["clock"].mend


def test_a_service_without_date_and_lists_is_reported(look: Look) -> None:
    denied = Reply(refusal("AccessDeniedException", status=403))
    with ScriptedServer(always(b""), reads=always(denied)) as server:
        found = look(endpoint_url=server.url, only=SERVICE)
        assert server.creates == []
    assert results(found, "endpoint", "clock", "account", "look-ups") == ["ok", "warning", "ok", "warning"]
    assert "partnercentral:ListEngagementInvitations" in found["look-ups"].mend


def test_other_answers_to_a_list_are_reported(look: Look) -> None:
    del look  # for its credentials
    answers = [
        refusal("ThrottlingException"),
        refusal("ExpiredTokenException", status=403),
        refusal("InternalServerException", status=500),
    ]

    async def asked(url: str) -> list[Found]:
        async with AsyncExitStack() as stack:
            service = ServiceChecks(Settings.model_validate({"endpoint_url": url}), stack, 5.0)
            await service.credentials()
            return [await service.listing() for _ in answers]

    with ScriptedServer(always(b""), reads=always(*answers)) as server:
        throttled, expired, broken = anyio.run(asked, server.url)
    assert (throttled.result, "ThrottlingException" in throttled.found) == ("warning", True)
    assert (expired.result, "not accepted: ExpiredTokenException" in expired.found) == ("failed", True)
    assert (broken.result, "InternalServerException" in broken.found) == ("failed", True)


def test_without_sts_the_account_is_not_known(look: Look) -> None:
    with emulator(no_sts=True) as service:
        found = look(endpoint_url=service.url, only=SERVICE)
    assert results(found, "account", "look-ups") == ["warning", "ok"]
    assert found["account"].found.startswith("STS did not return the account")


def test_an_endpoint_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="remove the user and password") as caught:
        load({"endpoint_url": "http://crm:a-secret@127.0.0.1:9"}, None, {})
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://nobody.invalid", "nobody.invalid cannot be resolved"),
        ("https://127.0.0.1:{port}", "no TLS with https://127.0.0.1"),
        ("http://127.0.0.1:{port}", "does not speak HTTP"),
    ],
)
def test_an_endpoint_of_another_service_is_reported(look: Look, url: str, said: str) -> None:
    with _greeter(b"220 mail.example.com\r\n") as port:
        found = look(endpoint_url=url.format(port=port), only=SERVICE)
    assert results(found, "endpoint", "clock", "account") == ["failed", "skipped", "skipped"]
    assert said in found["endpoint"].found
    assert "a-secret" not in text_of(found)


def test_a_silent_endpoint_times_out(look: Look) -> None:
    with _greeter(b"") as port:
        found = look(endpoint_url=f"http://127.0.0.1:{port}", deadline=2.0, only="endpoint")
    assert found["endpoint"].found.startswith(f"http://127.0.0.1:{port} did not answer in time")
    assert found["endpoint"].seconds < 4


@contextmanager
def _greeter(said: bytes) -> Iterator[int]:
    """Sends that to every client, and waits until the client disconnects."""

    def greet() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # he may have gone
                connection.sendall(said)
                connection.settimeout(5)
                while said and connection.recv(65536) and not connection.send(said):
                    pass
                stopped.wait(0 if said else 5)

    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


class _Page(BaseHTTPRequestHandler):
    """Answers everything with nothing. seen: the request line and the headers of all requests."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.requestline} {self.headers}")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_CONNECT(self) -> None:
        self.seen.append(f"{self.requestline} {self.headers}")
        self.send_error(407)

    do_POST = do_GET  # noqa: N815 - the base class calls them so

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        del format, args


@contextmanager
def _pages(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    seen: list[str] = []
    page = type("Page", (_Page,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), page) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()


def test_a_certificate_is_checked_as_the_sender_checks_it(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem")
    name = ("-subj", "/CN=local", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "5", *key, "-out", "cert.pem", *name],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    with _pages(context) as (port, _):
        url = f"https://127.0.0.1:{port}"
        stranger = look(endpoint_url=url, only="endpoint")["endpoint"]
        monkeypatch.setenv("AWS_CA_BUNDLE", "cert.pem")
        known = look(endpoint_url=url, only="endpoint")["endpoint"]
    assert (stranger.result, "AWS_CA_BUNDLE" in stranger.mend) == ("failed", True)
    assert "self-signed" in stranger.found
    assert (known.result, "renew" in known.mend) == ("warning", True)
    assert "TLSv1.3, certificate valid for 5 days" in known.found


def test_doctor_uses_the_proxy_of_the_sender_and_hides_its_password(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _pages() as (port, seen):
        monkeypatch.setenv("http_proxy", f"crm:a-secret@127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"http://crm:a-secret@127.0.0.1:{port}")
        found = look(endpoint_url="http://service.example.com", only="endpoint|clock")
        refused = look(endpoint_url="https://service.example.com", only="endpoint")
    assert "GET http://service.example.com/ " in seen[0]
    assert "CONNECT service.example.com:443 " in seen[1]
    assert all(f"Proxy-Authorization: Basic {b64encode(b'crm:a-secret').decode()}" in each for each in seen)
    assert results(found, "endpoint", "clock") == ["ok", "ok"]
    assert f"through the proxy 127.0.0.1:{port}" in found["endpoint"].found
    assert f"no connection to the proxy http://127.0.0.1:{port}: " in refused["endpoint"].found
    assert "407" in refused["endpoint"].found
    assert "a-secret" not in text_of(found) + text_of(refused)


@pytest.mark.parametrize(("service", "said"), [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")])
def test_an_unknown_proxy_is_blamed_instead_of_the_endpoint(
    look: Look, monkeypatch: pytest.MonkeyPatch, service: str, said: str
) -> None:
    monkeypatch.setenv(f"{service}_proxy", "http://crm:a-secret@proxy.invalid:3128")
    found = look(endpoint_url=f"{service}://127.0.0.1:9", only="endpoint")["endpoint"]
    assert (found.result, "--endpoint-url" in found.mend) == ("failed", False)
    assert found.found.startswith("The name of the proxy http://proxy.invalid:3128 cannot be resolved: ")
    assert found.mend.endswith(f"check {said}.")
    without = look(endpoint_url="http://service.invalid", only="endpoint")["endpoint"]
    if service == "https":  # the proxy is not for that one
        assert without.found.startswith("The name of http://service.invalid cannot be resolved: ")
        assert "--endpoint-url" in without.mend


@pytest.mark.parametrize(
    ("left", "result", "said"),
    [
        (86400.0, "ok", "until"),
        (600.0, "warning", "until"),
        (-600.0, "failed", "expired"),
        (None, "ok", "expiry unknown"),
    ],
)
def test_the_expiry_of_keys_in_the_environment_is_reported(
    look: Look, monkeypatch: pytest.MonkeyPatch, left: float | None, result: str, said: str
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    if left is not None:
        ends = datetime.now(UTC) + timedelta(seconds=left)
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with emulator() as service:
        found = look(endpoint_url=service.url, only="credentials")
    assert (found["credentials"].result, said in found["credentials"].found) == (result, True)
    assert "a-session-token" not in text_of(found)


def test_renewable_keys_pass_however_soon_they_expire(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {
        "Version": 1,
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "x",
        "SessionToken": "y",
        "Expiration": ends,
    }
    Path("keys.json").write_text(json.dumps(keys))
    Path("config").write_text(f"[profile crm]\ncredential_process = cat {Path('keys.json').absolute()}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(Path("config").absolute()))
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with emulator() as service:
        found = look(endpoint_url=service.url, profile="crm", only="credentials")["credentials"]
        nobody = look(endpoint_url=service.url, profile="nobody", only="credentials")["credentials"]
    assert (found.result, found.mend) == ("ok", "")
    assert re.fullmatch(
        r"From a process named by the profile, valid until \S+ \(0:\d\d:\d\d left\), renewed automatically",
        found.found,
    )
    assert (nobody.result, "nobody" in nobody.found) == ("failed", True)


def test_an_unknown_origin_of_credentials_is_shown_as_it_is() -> None:
    assert lifetime_of(
        Provenance("oracle", temporary=False, renews=False, expires=None), 0.0
    ).found.startswith("From oracle,")


# The checkpoint


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that we cannot write to, also as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, mode in (("anyone.log", 0o666), ("others.log", 0o444)):
            (folder / file).touch()
            (folder / file).chmod(mode)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)


def test_a_checkpoint_and_results_in_a_read_only_folder_fail(look: Look, others_folder: Path) -> None:
    found = look(
        checkpoint=str(others_folder / "a.db"),
        results=others_folder / "out",
        health_file=others_folder / "health.json",
        only=f"{CHECKPOINT}|results|health",
    )
    assert results(found, "checkpoint", "owner", "sender", "results", "health file") == [
        *("failed", "skipped", "skipped", "failed", "failed")
    ]
    assert f"because {others_folder} is not writable" in found["checkpoint"].found
    assert "--checkpoint" in found["checkpoint"].mend
    assert "--results" in found["results"].mend


def test_results_need_a_directory_that_exists_or_can_be_created(look: Look) -> None:
    Path("out").mkdir()
    for name, found in (("out", "out is writable"), ("new", "new will be created")):
        assert look(results=Path(name), only="results")["results"].found == found


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/a.db", "The checkpoint file/a.db cannot be used: part of its path is a file, not a directory"),
        ("file", "not a database"),
        ("folder", "cannot be used"),
        ("other.db", "a database of another program"),
        ("newer.db", "has version 99"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_left_unchanged(look: Look, place: str, said: str) -> None:
    Path("file").write_text("a,b,c\n" * 1000)
    Path("folder").mkdir()
    Place("other.db").run("CREATE TABLE other (x TEXT)")
    with writing(Place("newer.db")):
        pass
    Place("newer.db").run("UPDATE about SET value = '99' WHERE key = 'version'")
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    found = look(checkpoint=place, only=CHECKPOINT)
    assert results(found, "checkpoint", "owner") == ["failed", "skipped"]
    assert said in found["checkpoint"].found
    assert {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


def test_a_checkpoint_belongs_to_a_catalog_and_an_account(look: Look) -> None:
    with writing(Place("a.db"), Owner("111122223333", "b" * 64)):
        pass
    with writing(Place("other.db"), OWNER):
        pass
    before = Path("a.db").read_bytes()
    with emulator() as service:
        ours, others, live, unknown = (
            look(endpoint_url=service.url),
            look(endpoint_url=service.url, checkpoint="other.db"),
            look(only=CHECKPOINT, catalog="AWS"),
            look(only=CHECKPOINT),
        )
    assert "a.db: version 3, journal mode wal" in ours["checkpoint"].found
    assert results(ours, "owner", "sender") == ["ok", "ok"]
    assert ours["owner"].found == "It belongs to catalog Sandbox and account 111122223333"
    assert ours["sender"].found == "No sender is using it"
    assert (
        others["owner"].result,
        "credentials belong to account 111122223333" in others["owner"].found,
    ) == (*("failed", True),)
    assert (live["owner"].result, "catalog Sandbox, not AWS" in live["owner"].found) == ("failed", True)
    assert unknown["owner"].result == "warning"
    assert Path("a.db").read_bytes() == before


_HOLDING = """
    import sys, time
    from bulk_invite.checkpoint.writer import CheckpointWriter
    with CheckpointWriter.open(sys.argv[1], catalog="Sandbox") as writer:
        writer.begin_run(0.0)
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_sender_that_holds_the_checkpoint_is_named_and_not_disturbed(look: Look) -> None:
    with python(_HOLDING, "a.db") as sender:
        assert first_line(sender) == "held\n"
        held = look(only=CHECKPOINT)
        assert sender.poll() is None
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        free = look(only=CHECKPOINT)
    assert results(held, "owner", "sender") == ["ok", "warning"]
    assert "version 3" in held["checkpoint"].found
    who = f"Held by process {sender.pid} of {re.escape(socket.gethostname())}"
    assert re.fullmatch(rf"{who} \(user \S+\), since \S+Z", held["sender"].found)
    assert "--wait-for-lock" in held["sender"].mend
    assert free["sender"].result == "ok"


def test_a_checkpoint_locked_by_another_program_fails(look: Look) -> None:
    with writing(Place("a.db")):
        pass
    with closing(sqlite3.connect("a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = look(only=CHECKPOINT)["checkpoint"]
    assert (found.result, "is locked" in found.found) == ("failed", True)
    assert "Another program has locked the file" in found.mend


MOUNTS = """
/dev/vda / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/with\\040space nfs4 rw 0 0
/dev/vdb /mnt/with\\040space/local xfs rw 0 0
"""


def test_unsuitable_file_systems_fail() -> None:
    def reported(folder: str) -> str:
        return problem_of(kind_of(Path(folder), MOUNTS.strip()))

    assert reported("/data") == ""
    assert "restart" in reported("/run/bulk-invite")
    assert "network" in reported("/mnt/with space/folder")
    assert reported("/mnt/with space/local/x") == ""
    assert "container" in problem_of("overlay")
    assert "network" in problem_of("fuse.sshfs")


def test_free_disk_space_is_checked(tmp_path: Path) -> None:
    assert judged("", 99_000_000).result is Result.FAILED
    assert judged("", 999_000_000).result is Result.WARNING
    assert judged("", 1_000_000_000).result is Result.OK
    assert check_free_space(Path("/proc"), tmp_path).result is Result.FAILED
    assert str(tmp_path) in check_free_space(None, tmp_path / "not" / "yet").found
    assert [size_text(size) for size in (999, 1000, 123_456, 12_345_678_901)] == [
        *("999 B", "1.0 kB", "123 kB", "12.3 GB")
    ]


# Sources


def test_file_sources_are_checked(look: Look) -> None:
    write_rows(Path("good1.ndjson"), make_rows(1))
    write_rows(Path("good2.ndjson"), make_rows(1, start=1))
    write_rows(Path("bad.ndjson"), ['{"EngagementIdentifier": "a-secret-value"}'])
    Path("empty.ndjson").touch()
    mistyped = "postgresql:/crm:a-secret-password@db"
    found = look("good*.ndjson", "bad.ndjson", "empty.ndjson", "away.ndjson", mistyped, only="source")
    assert [(name, each.result.value) for name, each in found.items() if name.startswith("source")] == [
        ("source good*.ndjson", "ok"),
        ("source bad.ndjson", "warning"),
        ("source empty.ndjson", "warning"),
        ("source away.ndjson", "failed"),
        ("source a database", "failed"),
    ]
    assert found["source good*.ndjson"].found.startswith("2 files, ")
    assert "bad.ndjson:1, is not valid (" in found["source bad.ndjson"].found
    assert "validate" in found["source bad.ndjson"].mend
    assert "a-secret" not in text_of(found)


def test_a_fifo_is_not_opened(look: Look) -> None:
    os.mkfifo("fifo")
    found = look("fifo", deadline=2.0, only="source")
    assert found["source fifo"].result == "ok"
    with pytest.raises(OSError, match="No such device"):  # as it is while no reader has it open
        os.open("fifo", os.O_WRONLY | os.O_NONBLOCK)


def _crm(look: Look, db: Database, **options: Any) -> dict[str, Finding]:
    return look(db.reader, only="source|write-back", **{"table": "invitations", "key": "id", **options})


def test_a_database_source_and_its_outcome_table_are_checked(
    look: Look, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    filled(db, 2)
    bare = _crm(look, db, write_back="outcomes")
    with_outcomes(db)
    well = _crm(look, db, write_back="outcomes")
    db.run(f"REVOKE INSERT ON outcomes FROM {db.role}")
    closed = _crm(look, db, write_back="outcomes")
    assert bare["source a database"].result == "ok"
    name = f"postgresql:{db.name}/public.invitations/id"
    assert re.fullmatch(
        rf"{name}, PostgreSQL \S+.*; the first row, {name}:1, is valid", well["source a database"].found
    )
    assert (bare["write-back"].result, "init-db" in bare["write-back"].mend) == ("failed", True)
    assert well["write-back"].result == "ok"
    assert (closed["write-back"].result, "permission denied" in closed["write-back"].found) == (
        "failed",
        True,
    )
    for each in (bare, well, closed):
        assert PASSWORD not in text_of(each)
        assert "127.0.0.1:" + db.url.rpartition(":")[2].partition("/")[0] not in text_of(each)


def test_an_unreadable_database_source_fails(
    look: Look, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(db, 1)
    monkeypatch.setenv("PGPASSWORD", "not-the-password")
    locked_out = _crm(look, db, write_back="outcomes")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    db.run(
        "CREATE TABLE empty (id bigint PRIMARY KEY, request jsonb);"
        " CREATE TABLE closed (id int, request text)"
    )
    db.run(
        "CREATE VIEW twice AS SELECT 1 AS id, request FROM invitations"
        " UNION ALL SELECT 1, request FROM invitations"
    )
    db.run(f"GRANT SELECT ON empty, twice TO {db.role}")
    cases = {
        "no_such": ("failed", "There is no table no_such"),
        "closed": ("failed", "permission denied"),
        "empty": ("warning", "no rows"),
        "twice": ("failed", "two rows have the same id"),
    }
    for table, (result, said) in cases.items():
        found = _crm(look, db, table=table)["source a database"]
        assert (found.result, said in found.found) == (result, True), found
    no_column = _crm(look, db, key="number")["source a database"]
    assert (no_column.result, "has no column number" in no_column.found) == ("failed", True)
    assert results(locked_out, "source a database", "write-back") == ["failed", "skipped"]
    assert "not-the-password" not in text_of(locked_out)


def test_a_slow_check_of_the_key_is_skipped(
    look: Look, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(db, 2)
    monkeypatch.setenv("PGOPTIONS", "-c enable_seqscan=off -c enable_bitmapscan=off")
    query = "SELECT id, request FROM invitations WHERE id < 2 OR pg_sleep(5) IS NOT NULL ORDER BY id"
    found = look(db.url, only="source", query=query, key="id", deadline=0.8)["source a database"]
    assert (found.result, "the key is unique" in found.found) == ("warning", True), found
    assert "1, is valid" in found.found
    assert "unique index" in found.mend


# A shared checkpoint


def test_a_shared_checkpoint_is_checked(look: Look, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    looked = partial(look, checkpoint=db.reader, only=f"{CHECKPOINT}|disk")
    closed = looked()
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    empty = looked()
    with writing(Place(db.reader, "bulk_invite"), Owner("111122223333", "")):
        held = looked()
    well = looked()
    db.run("ALTER TABLE bulk_invite.log OWNER TO CURRENT_USER")
    taken = looked()
    db.run("CREATE SCHEMA other; CREATE TABLE other.things (x int)")
    db.run(f"GRANT ALL ON SCHEMA other TO {db.role}")
    other = looked(checkpoint_schema="other")
    name = f"postgresql:{db.name}/bulk_invite"
    assert (closed["checkpoint"].result, "GRANT" in closed["checkpoint"].mend.upper()) == ("failed", True)
    assert f"Schema bulk_invite does not exist, and {db.role} may not create it" in closed["checkpoint"].found
    assert (empty["checkpoint"].result, empty["checkpoint"].found) == ("ok", f"{name} will be created")
    assert "disk" not in empty
    assert results(held, "checkpoint", "owner", "sender") == ["ok", "warning", "warning"]
    assert f"{name}: version 3, PostgreSQL" in held["checkpoint"].found
    assert re.fullmatch(
        rf"Held by process \d+ of {re.escape(socket.gethostname())} "
        rf"\(database user {db.role}, from 127\.0\.0\.1\), since \S+Z",
        held["sender"].found,
    )
    assert results(well, "checkpoint", "sender") == ["ok", "ok"]
    assert (taken["checkpoint"].result, "tables of schema bulk_invite: log" in taken["checkpoint"].found) == (
        *("failed", True),
    )
    assert (other["checkpoint"].result, "another program" in other["checkpoint"].found) == ("failed", True)
    for each in (closed, empty, held, well, taken, other):
        assert PASSWORD not in text_of(each)


# The channels of monitoring


def test_the_control_port_is_checked(look: Look) -> None:
    def at(address: str) -> Finding:
        return look(listen=address, only="control")["control port"]

    port, other = free_port(), socket.create_server(("127.0.0.1", 0))
    with other, start_blocking_portal() as portal:
        assert at(f"127.0.0.1:{port}").result == "ok"
        view = HealthView(ready=True, reasons={}, at=0.0)
        run_there = portal.start_task_soon(serve, "127.0.0.1", port, health_routes(lambda: view))
        wait_until(lambda: at(f"127.0.0.1:{port}").result != "ok")
        ours = at(f"127.0.0.1:{port}")
        run_there.cancel()
        others = at(f"127.0.0.1:{other.getsockname()[1]}")
    assert (ours.result, "Another run is already listening" in ours.found) == ("warning", True)
    assert (others.result, "another program" in others.found) == ("failed", True)
    away = at("192.0.2.1:8081")
    assert (away.result, "192.0.2.1" in away.found, "--listen" in away.mend) == ("failed", True, True)


def test_the_health_file_is_checked(look: Look) -> None:
    def at(path: str) -> Finding:
        return look(health_file=path, only="health")["health file"]

    def written(path: str, at: datetime) -> None:
        Path(path).write_text(json.dumps({"ready": True, "at": at.isoformat(), "reasons": {}}))

    written("live.json", datetime.now(UTC))
    written("stale.json", datetime.now(UTC) - timedelta(hours=1))
    Path("other.json").write_text("{}")
    assert at("new.json").result == "ok"
    assert (at("live.json").result, "is updating" in at("live.json").found) == ("warning", True)
    assert (at("stale.json").result, "has ended" in at("stale.json").found) == ("ok", True)
    assert (at("other.json").result, "not a health file" in at("other.json").found) == ("failed", True)
    assert at("away/health.json").result == "failed"


def test_the_channels_of_monitoring_are_checked(look: Look, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "token").write_text("0123456789abcdef")
    for name in ("short", "token"):
        (tmp_path / name).chmod(0o600)
    telling = {"listen": "127.0.0.1:0", "log_file": tmp_path / "log"}
    checks = ("control token", "log file")
    only = "control|log"
    assert results(look(only=only, **telling), *checks) == ["ok", "ok"]
    assert results(look(only=only, **telling, control_token_file=tmp_path / "token"), *checks) == [
        "ok",
        "ok",
    ]
    wrong = {**telling, "log_file": tmp_path / "nowhere" / "log", "control_token_file": tmp_path / "short"}
    found = look(only=only, **wrong)
    assert results(found, *checks) == ["failed", "failed"]
    assert "16 characters" in found["control token"].mend
    (tmp_path / "token").chmod(0o644)
    readable = look(only=only, listen="127.0.0.1:0", control_token_file=tmp_path / "token")["control token"]
    assert (readable.result, "chmod 600" in readable.mend.lower()) == ("warning", True)


def test_the_webhook_is_connected_to_and_not_called(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(always(b"")) as hook:
        url = f"{hook.url}/services/secret"
        up = look(notify_url=url, only="webhook")["webhook"]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        proxied = look(notify_url=url.replace("127.0.0.1", "hooks.example.com"), only="webhook")["webhook"]
        monkeypatch.delenv("http_proxy")
        assert sum(hook.heard) == 0
    down = look(notify_url=url, only="webhook")["webhook"]
    assert [each.result for each in (up, proxied, down)] == ["ok", "warning", "warning"]
    assert "cannot be reached (connection refused)" in down.found
    assert proxied.found.startswith("The proxy http://127.0.0.1:")
    assert all("secret" not in each.found for each in (up, proxied, down))


def test_a_webhook_that_can_have_no_address_is_a_warning(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = look(notify_url=f"http://{'a' * 64}.example.com/hook", only="webhook")["webhook"]
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:99999")
    proxied = look(notify_url="http://hooks.example.com/hook", only="webhook")["webhook"]
    for each in (nameless, proxied):
        assert (each.result, "cannot be reached (no valid address)" in each.found) == ("warning", True)
        assert "secret" not in each.found


def test_a_log_file_that_exists_is_appended(look: Look, tmp_path: Path) -> None:
    written = tmp_path / "written.log"
    written.touch()
    found = look(log_file=written, only="log")["log file"]
    assert (found.result, "is appended" in found.found) == ("ok", True)
    for path, expected in ((tmp_path, "failed"), (Path("/dev/null"), "ok")):
        assert look(log_file=path, only="log")["log file"].result == expected


def test_a_log_file_in_a_read_only_folder_is_checked(look: Look, others_folder: Path) -> None:
    for name, expected in (("new.log", "failed"), ("others.log", "failed"), ("anyone.log", "warning")):
        assert look(log_file=others_folder / name, only="log")["log file"].result == expected


def test_a_checkpoint_that_may_be_older_than_the_last_call_is_reported(look: Look, tmp_path: Path) -> None:
    with writing(Place(str(tmp_path / "a.db"))):
        pass
    checks = f"{CHECKPOINT}|disk"
    before = look(checkpoint=str(tmp_path / "a.db"), only=checks)["checkpoint"]
    assert "older" not in before.found
    (tmp_path / "a.db.last").unlink()
    after = look(checkpoint=str(tmp_path / "a.db"), only=checks)["checkpoint"]
    assert after.result == "warning"
    assert "moved without a.db.last" in after.found
    assert "looked up" in after.mend
    assert not (tmp_path / "a.db.last").exists()


def test_a_checkpoint_that_is_older_than_the_last_call_fails(look: Look, tmp_path: Path) -> None:
    place = str(tmp_path / "a.db")
    with writing(Place(place)):
        pass
    beside = LastTransactionFile(tmp_path / "a.db.last")
    known = beside.known()
    assert known is not None
    beside.keep(replace(known, number=known.number + 1, calls=7))
    beside.close()
    found = look(checkpoint=place, only=f"{CHECKPOINT}|disk")["checkpoint"]
    assert found.result == "warning"
    assert "is older than the last call: a.db.last records later transactions, and 7 calls are" in found.found
    assert "looked up" in found.mend


def test_a_check_that_times_out_names_what_it_waited_for(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for name, value in process(tmp_path, "sleep 60").items():
        monkeypatch.setenv(name, value)
    found = look(only="credentials", deadline=0.5)["credentials"]
    assert found.result == "failed"
    assert found.found == "No answer within 0.5 s, waiting for credentials from credential_process."
