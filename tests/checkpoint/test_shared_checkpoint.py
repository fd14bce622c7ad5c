"""Senders on several machines with one checkpoint in a real PostgreSQL, killed and cut off."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from command import FAST, Emulator, emulator, run, running, wait_until
from database import PASSWORD, Database, database, server
from rows import make_rows, messages, write_rows

SLOW = ("--rate", "60", "--daily-quota", "none", "--json")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.ndjson", make_rows(300))


def _shared(db: Database) -> tuple[str, str]:
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    return ("--checkpoint", db.reader)


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


def _says(event: str, stderr: Path) -> bool:
    return event in stderr.read_text()


@pytest.fixture
def service() -> Iterator[Emulator]:
    with emulator(latency=0.1) as running_service:
        yield running_service


def test_a_shared_checkpoint_works_like_a_file_and_shows_no_password(
    db: Database, service: Emulator, source: Path, tmp_path: Path
) -> None:
    at = _shared(db)
    command = ("send", source, *at, "--endpoint-url", service.url)
    rehearsed = run(*command, "--dry-run", "--json", cwd=tmp_path, env=db.env)
    assert (rehearsed.code, rehearsed.json["pending"]) == (0, 300), rehearsed.stderr
    assert db.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'bulk_invite'") == [(0,)]
    first = run(*command, *FAST, "--limit", "100", cwd=tmp_path, env=db.env)
    assert (first.code, first.json["created"]) == (0, 100), first.stderr
    rehearsed = run(*command, "--dry-run", "--json", cwd=tmp_path, env=db.env)
    assert (rehearsed.json["pending"], rehearsed.json["already_created"]) == (200, 100)
    second = run(*command, *FAST, cwd=tmp_path, env=db.env)
    assert (second.json["created"], second.json["already_created"]) == (200, 100)
    status = run("status", *at, "--json", cwd=tmp_path, env=db.env)
    assert (status.json["created"], status.json["checkpoint"], status.json["sending"]) == (
        300,
        f"postgresql:{db.name}/bulk_invite",
        False,
    )
    exported = run("export", *at, "--state", "created", cwd=tmp_path, env=db.env)
    assert len(exported.lines) == 300
    settled = run("reconcile", *at, "--endpoint-url", service.url, cwd=tmp_path, env=db.env)
    assert settled.code == 0
    for ran in (first, second, status, exported, settled, rehearsed):
        assert PASSWORD not in ran.stdout + ran.stderr
    assert service.messages() == Counter(messages(make_rows(300)))
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".db"] == []


def test_a_second_sender_is_refused_and_a_standby_takes_over_from_a_killed_one(
    db: Database, service: Emulator, source: Path, tmp_path: Path
) -> None:
    command = ("send", source, *_shared(db), "--endpoint-url", service.url, *SLOW)
    with running(*command, "--rate", "20", cwd=tmp_path, env=db.env) as first:
        wait_until(partial(_has_calls, service, 40))
        refused = run(*command, cwd=tmp_path, env=db.env)
        assert (refused.code, "Another sender is working" in refused.said) == (4, True)
        assert re.search(r"/bulk_invite: process \d+ of .*, since 2", refused.said)
        with running(*command, "--wait-for-lock", cwd=tmp_path, env=db.env) as second:
            wait_until(lambda: db.senders() == 2)
            calls = len(service.calls())
            first.signal(signal.SIGKILL)
            killed = time.monotonic()
            wait_until(partial(_has_calls, service, calls + 40))
            assert time.monotonic() - killed < 15
            ran = second.ended()
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(make_rows(300)))


def test_a_standby_ends_on_a_signal_without_having_begun(
    db: Database, service: Emulator, source: Path, tmp_path: Path
) -> None:
    command = ("send", source, *_shared(db), "--endpoint-url", service.url, *SLOW)
    with running(*command, cwd=tmp_path, env=db.env) as first:
        wait_until(partial(_has_calls, service, 10))
        with running(*command, "--wait-for-lock", cwd=tmp_path, env=db.env) as second:
            wait_until(lambda: db.senders() == 2)
            second.signal(signal.SIGTERM)
            assert second.ended(within=5).code == 75
        assert first.ended().code == 0


@pytest.mark.parametrize("how", ["cut", "killed"])
def test_a_sender_that_loses_the_database_stops_and_the_next_one_continues(
    how: str, service: Emulator, source: Path, tmp_path: Path
) -> None:
    with server() as postgres, database(postgres.url) as db:
        command = ("send", source, *_shared(db), "--endpoint-url", service.url, *SLOW)
        with running(*command, cwd=tmp_path, env=db.env) as sender:
            wait_until(partial(_has_calls, service, 60))
            if how == "killed":
                postgres.kill()
            else:
                db.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (db.role,)
                )
            lost = sender.ended()
        assert lost.code == 4, lost.stderr
        assert json.loads(lost.stdout)["created"] > 0
        if how == "killed":
            postgres.start()
        ran = run(*command, cwd=tmp_path, env=db.env)
        assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(make_rows(300)))
