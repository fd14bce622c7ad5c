"""`config/compose.yaml` without containers: its commands and settings, on servers of the tests."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from command import emulator, run, running, wait_until
from database import Database
from rows import make_rows

from bulk_invite.settings import ENVIRONMENT_PREFIX, Settings, key

CONFIG = Path(__file__).parent.parent / "config"
COMPOSE = (CONFIG / "compose.yaml").read_text()


def _commands() -> dict[str, list[str]]:
    """The command of each service that has one."""
    services = re.split(
        r"^  (\w+):\n", COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0], flags=re.MULTILINE
    )[1:]
    pairs = zip(services[::2], services[1::2], strict=True)
    found = {name: re.search(r"^    command: (\[.*\])$", text, re.MULTILINE) for name, text in pairs}
    return {name: json.loads(command[1]) for name, command in found.items() if command}


def _settings() -> dict[str, str]:
    """All that is set for the sender, in whatever order."""
    return dict(re.findall(r"^\s+([A-Z_]+): \"?([^\"\n{}]+?)\"?$", COMPOSE, re.MULTILINE))


def test_its_settings_are_settings() -> None:
    known = {f"{ENVIRONMENT_PREFIX}{key(name).upper()}" for name in Settings.model_fields}
    named = set(re.findall(rf"{ENVIRONMENT_PREFIX}[A-Z_]+", COMPOSE))
    assert len(named) > 5
    assert named <= known


def test_what_it_starts_follows_the_table_and_writes_back(db: Database, tmp_path: Path) -> None:
    db.run((CONFIG / "compose.sql").read_text())
    commands = _commands()
    assert set(commands) == {"emulator", "outcomes", "sender"}
    with emulator() as service:
        env = {**_settings(), "BULK_INVITE_ENDPOINT_URL": service.url, "BULK_INVITE_CHECKPOINT": db.url}
        env["BULK_INVITE_HEALTH_FILE"] = str(tmp_path / "health.json")
        here = {"postgresql://crm@database/crm": db.url}
        outcomes, sender = (
            [here.get(word, word) for word in commands[name]] for name in ("outcomes", "sender")
        )
        made = run(*outcomes, cwd=tmp_path, env=env)
        assert made.code == 0, made.stderr
        with running(*sender, cwd=tmp_path, env=env) as serving:
            wait_until(lambda: run("health", cwd=tmp_path, env=env).code == 0)
            (row,) = make_rows(1)
            db.run("INSERT INTO invitations (request) VALUES (%s)", (json.dumps(row),))
            told = "SELECT key, state FROM outcomes WHERE invitation_id IS NOT NULL"
            wait_until(lambda: db.run(told) == [(1, "created")], within=10)
            serving.signal(signal.SIGTERM)
            assert serving.ended().code == 0
        assert len(service.invitations()) == 1


def test_its_emulator_is_one(tmp_path: Path) -> None:
    words = [word for word in _commands()["emulator"][1:] if word.startswith("--")]
    explained = run("emulator", "--help", cwd=tmp_path).stdout
    assert all(word in explained for word in words)
