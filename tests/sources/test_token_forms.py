"""Other texts would be other tokens: a checkpoint keeps the settings that it was begun with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from command import FAST, emulator, run
from crm import READ, filled
from database import Database


def _times(db: Database, count: int) -> list[Any]:
    """Rows whose keys are times, and whose messages are."""
    rows = filled(db, count)
    db.run("ALTER TABLE invitations ADD COLUMN at timestamptz")
    db.run("UPDATE invitations SET at = '2026-02-03 04:05:06+00'::timestamptz + id * interval '1 h'")
    db.run("ALTER TABLE invitations ALTER COLUMN at SET NOT NULL")
    return rows


_ELSEWHERE: Final = {
    "PGTZ": "Asia/Kolkata",
    "PGDATESTYLE": "German",
    "PGOPTIONS": "-c IntervalStyle=sql_standard",
}

_BY_TIMES: Final = ("--table", "invitations", "--key", "at", "--token-from", "key")

_BY_QUERY: Final = (
    "--key",
    "id",
    "--query",
    (
        "SELECT id, jsonb_set(request, '{Invitation,Message}', to_jsonb('Until ' || at)) AS request"
        " FROM invitations"
    ),
)


def _forget_session(folder: Path) -> None:
    """As an earlier version has left it."""
    with closing(sqlite3.connect(folder / "bulk-invite.db")) as checkpoint, checkpoint:
        changed = checkpoint.execute("DELETE FROM about WHERE key LIKE 'session %'")
        assert changed.rowcount == 1


@pytest.mark.parametrize("read", [_BY_TIMES, _BY_QUERY])
def test_a_run_on_another_machine_invites_no_row_twice(
    db: Database, tmp_path: Path, read: tuple[str, ...]
) -> None:
    rows = _times(db, 20)
    with emulator() as service:
        command = (db.reader, *read, "--endpoint-url", service.url, *FAST)
        first = run("send", *command, cwd=tmp_path, env=db.env)
        assert (first.code, first.json["created"]) == (0, 20), first.stderr
        second = run("send", *command, cwd=tmp_path, env={**db.env, **_ELSEWHERE})
        assert (second.code, second.json["already_created"]) == (0, 20), second.stderr
        assert len(service.calls()) == len(rows)


@pytest.mark.parametrize("read", [_BY_TIMES, _BY_QUERY])
def test_a_checkpoint_begun_under_other_settings_is_refused_with_a_remedy(
    db: Database, tmp_path: Path, read: tuple[str, ...]
) -> None:
    _times(db, 5)
    with emulator() as service:
        command = (db.reader, *read, "--endpoint-url", service.url, *FAST)
        theirs = ("--session-settings", '{"timezone": "Asia/Kolkata"}')
        assert run("send", *command, *theirs, cwd=tmp_path, env=db.env).json["created"] == 5
        keep = """Keep --session-settings '{"TimeZone":"Asia/Kolkata"}'"""
        for more in ((), ("--session-settings", '{"TimeZone": "Asia/Tokyo"}'), ("--dry-run",)):
            other = run("send", *command, *more, cwd=tmp_path, env=db.env)
            assert (other.code, keep in other.said) == (2, True), other.stderr
        _forget_session(tmp_path)
        if read == _BY_TIMES:  # the keys show that it is not so
            wrong = run(
                "send", *command, "--session-settings", '{"TimeZone": "UTC"}', cwd=tmp_path, env=db.env
            )
            assert (wrong.code, "formatted differently" in wrong.said) == (2, True), wrong.stderr
        unknown = run("send", *command, cwd=tmp_path, env=db.env)
        assert (unknown.code, "Name the settings of that session" in unknown.said) == (2, True), (
            unknown.stderr
        )
        again = run("send", *command, *theirs, cwd=tmp_path, env=db.env)
        assert (again.code, again.json["already_created"]) == (0, 5), again.stderr
        assert len(service.calls()) == 5


def test_values_that_no_setting_changes_continue_from_an_earlier_version(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 5)
    with emulator() as service:
        command = (db.reader, *READ, "--endpoint-url", service.url, *FAST)
        assert run("send", *command, "--limit", "2", cwd=tmp_path, env=db.env).json["created"] == 2
        _forget_session(tmp_path)
        ran = run("send", *command, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["created"]) == (0, 3), ran.stderr


def test_keys_whose_text_has_changed_are_noticed(db: Database, tmp_path: Path) -> None:
    filled(db, 5)
    db.run("ALTER TABLE invitations ALTER COLUMN id TYPE numeric")
    with emulator() as service:
        command = (db.reader, *READ, "--token-from", "key", "--endpoint-url", service.url, *FAST)
        assert run("send", *command, cwd=tmp_path, env=db.env).json["created"] == 5
        db.run("ALTER TABLE invitations ALTER COLUMN id TYPE numeric(10, 2)")
        for more in ((), ("--dry-run",)):
            ran = run("send", *command, *more, cwd=tmp_path, env=db.env)
            assert (ran.code, "formatted differently" in ran.said) == (2, True), ran.stderr
        assert len(service.calls()) == 5
