"""`config/compose.yaml` without containers: its commands and settings, on servers of the tests."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import yaml
from command import emulator, run, running, wait_until
from database import Database
from deployed import ROOT, image_settings, last, port
from rows import make_rows

from bulk_invite.domain.durations import parse_duration
from bulk_invite.runs.settings.loading import CONTROL_TOKEN
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import ENVIRONMENT_PREFIX, OPTIONS

COMPOSE = (ROOT / "config" / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
"""By name, with shared parts filled in."""


def _commands() -> dict[str, list[str]]:
    """The command of each service that has one."""
    return {name: service["command"] for name, service in SERVICES.items() if "command" in service}


def _settings() -> dict[str, str]:
    """All variables of the sender's container except those from outside."""
    own = SERVICES["sender"]["environment"]
    return {**image_settings(), **{name: value for name, value in own.items() if value is not None}}


def test_every_setting_exists() -> None:
    known = {each.variable for each in OPTIONS.values()}
    named = set(re.findall(rf"{ENVIRONMENT_PREFIX}[A-Z_]+", COMPOSE))
    assert len(named) > 5
    assert named <= known | {CONTROL_TOKEN}


def test_only_services_with_a_health_file_have_a_health_check() -> None:
    disabled = {name for name in _commands() if SERVICES[name].get("healthcheck") == {"disable": True}}
    assert disabled == {"emulator", "outcomes"}
    assert "healthcheck" not in SERVICES["sender"]  # the image's


def test_the_pages_are_published_on_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"sender": [f"127.0.0.1:{port()}:{port()}"]}


def test_services_are_confined_like_the_image_and_have_time_to_drain() -> None:
    settings = Settings.model_validate({})
    assert parse_duration(SERVICES["sender"]["stop_grace_period"]) > settings.call_timeout + 10
    user, group = last("USER").split(":")
    for name in _commands():
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        places = [*SERVICES[name].get("volumes", []), *SERVICES[name].get("tmpfs", [])]
        assert any(last("VOLUME") in place for place in places)
    assert all("no-new-privileges:true" in service["security_opt"] for service in SERVICES.values())
    assert f"{last('VOLUME')}:uid={user},gid={group},mode=0700" in SERVICES["sender"]["tmpfs"]


def test_the_service_follows_the_table_and_writes_back(db: Database, tmp_path: Path) -> None:
    db.run((ROOT / "config" / "compose.sql").read_text())
    commands = _commands()
    assert set(commands) == {"emulator", "outcomes", "sender"}
    with emulator() as service:
        env = {
            **_settings(),
            "BULK_INVITE_ENDPOINT_URL": service.url,
            "BULK_INVITE_CHECKPOINT": db.url,
            "BULK_INVITE_HEALTH_FILE": str(tmp_path / "health.json"),
            "BULK_INVITE_LISTEN": "127.0.0.1:0",
        }
        here = {"postgresql://crm@database/crm": db.url}
        outcomes, sender = (
            [here.get(word, word) for word in commands[name]] for name in ("outcomes", "sender")
        )
        made = run(*outcomes, cwd=tmp_path, env=env)
        assert made.code == 0, made.stderr
        with running(*sender, cwd=tmp_path, env=env) as serving:
            wait_until(lambda: run("health", cwd=tmp_path, env=env).code == 0, step=0.2)
            (row,) = make_rows(1)
            db.run("INSERT INTO invitations (request) VALUES (%s)", (json.dumps(row),))
            query = "SELECT key, state FROM outcomes WHERE invitation_id IS NOT NULL"
            wait_until(lambda: db.run(query) == [(1, "created")], within=10)
            serving.signal(signal.SIGTERM)
            assert serving.ended().code == 0
        assert len(service.invitations()) == 1


def test_the_emulator_command_is_valid(tmp_path: Path) -> None:
    words = [word for word in _commands()["emulator"][1:] if word.startswith("--")]
    explained = run("emulator", "--help-all", cwd=tmp_path).stdout
    assert all(word in explained for word in words)
