"""`init-db` and `send --write-back` on a real PostgreSQL, as an operator runs them."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

from command import FAST, emulator, run, running, together, wait_until
from crm import READ, filled, with_outcomes
from database import Database

TO = ("--write-back", "outcomes")


def in_table(db: Database) -> dict[str, tuple[Any, ...]]:
    """The outcome of each row in the table."""
    columns = "state, client_token, invitation_id, arn, attempts, errors"
    return {key: tuple(values) for key, *values in db.run(f"SELECT key::text, {columns} FROM outcomes")}


def in_checkpoint(cwd: Path) -> dict[str, tuple[Any, ...]]:
    """The outcome of each row in `export`, in the same form."""
    return {
        each["position"]["key"]: (
            each["state"],
            *(each[name] for name in ("token", "Id", "Arn")),
            each["attempts"],
            each["errors"] or None,
        )
        for each in run("export", cwd=cwd).lines
    }


def test_the_table_agrees_with_the_checkpoint_even_after_a_kill(db: Database, tmp_path: Path) -> None:
    filled(db, 200)
    with_outcomes(db)
    db.run("UPDATE invitations SET request = '{}' WHERE id = 7")
    with emulator(latency=0.05) as service:
        command = (db.reader, *READ, *TO, "--endpoint-url", service.url, "--json")
        with running("send", *command, "--rate", "100", cwd=tmp_path, env=db.env) as sender:
            wait_until(lambda: db.run("SELECT count(*) > 20 FROM outcomes WHERE state = 'created'")[0][0])
            sender.signal(signal.SIGKILL)
        ran = run("send", *command, *FAST, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["rejected"]) == (1, 1), ran.stderr
        assert in_table(db) == in_checkpoint(tmp_path)
        assert len(in_table(db)) == 200
        versions = "SELECT key, xmin::text FROM outcomes ORDER BY key"
        before = db.run(versions)
        db.run("UPDATE outcomes SET state = 'failed' WHERE key = 9")
        again = run("send", *command, *FAST, cwd=tmp_path, env=db.env)
        assert (again.code, again.json["attempts"]) == (1, 0)
        changed = {key for key, _ in {*db.run(versions)} - {*before}}
        assert changed == {9}
        assert in_table(db) == in_checkpoint(tmp_path)


def test_a_run_stopped_before_the_table_is_complete_says_so(db: Database, tmp_path: Path) -> None:
    filled(db, 20)
    with_outcomes(db)
    with emulator() as service:
        command = (db.reader, *READ, *TO, "--endpoint-url", service.url, *FAST)
        log = ("--log-format", "json")
        with (
            running("send", *command, *log, cwd=tmp_path, env=db.env) as sender,
            db.connection() as connection,
        ):
            wait_until(service.calls)
            connection.execute("LOCK TABLE outcomes")
            wait_until(lambda: len(service.calls()) == 20)
            assert sender.process.stderr is not None
            sender.signal(signal.SIGTERM)
            for line in sender.process.stderr:
                if "run.draining" in line:
                    break
            sender.signal(signal.SIGTERM)  # it would try once more for some seconds
            ran = sender.ended()
        assert (ran.code, ran.json["created"]) == (130, 20), ran.stderr
        (left,) = (each for each in ran.events if each["event"] == "write_back.incomplete")
        assert 0 < left["rows"] <= 20


def test_the_table_is_created_once_and_its_sql_printed_without_the_privilege(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 1)
    init = partial(run, "init-db", *READ, *TO, cwd=tmp_path)
    shown, refused = together(
        partial(init, db.reader, "--print", env=db.env), partial(init, db.reader, env=db.env)
    )
    assert (shown.code, "CREATE TABLE IF NOT EXISTS" in shown.stdout) == (0, True)
    assert (refused.code, "init-db --print" in refused.stderr) == (4, True)
    assert db.run("SELECT to_regclass('outcomes')") == [(None,)]
    made = init(db.url)
    again = init(db.url)
    assert (made.code, made.stdout) == (0, "Table outcomes created; it is writable.\n")
    assert (again.code, "already exists" in again.stdout) == (0, True)


def test_an_unwritable_table_ends_the_run_before_anything_is_sent(db: Database, tmp_path: Path) -> None:
    filled(db, 1)
    (tmp_path / "rows.ndjson").write_text("{}")
    with emulator() as service:
        options = ("--endpoint-url", service.url, *FAST)
        send = partial(run, "send", *READ, *options, cwd=tmp_path, env=db.env)
        init = partial(run, "init-db", *READ, cwd=tmp_path, env=db.env)
        missing, files, itself, unnamed, rehearsed = together(
            partial(send, db.reader, *TO),
            partial(send, db.reader, "rows.ndjson", *TO),
            partial(send, db.reader, "--write-back", "public.invitations"),
            partial(init, db.reader),
            partial(send, db.reader, *TO, "--dry-run"),
        )
        assert not service.calls()
    assert (missing.code, "Create it with: bulk-invite init-db" in missing.said) == (4, True)
    assert (files.code, "--results and bulk-invite export" in files.said) == (2, True)
    assert (itself.code, "from which the rows are read" in itself.said) == (2, True)
    assert (unnamed.code, "--write-back TABLE" in unnamed.said) == (2, True)
    assert (rehearsed.code, rehearsed.json["pending"]) == (0, 1)
    assert "write_back.not_ready" in rehearsed.stderr


def test_a_table_dropped_during_a_run_ends_it_with_an_error(db: Database, tmp_path: Path) -> None:
    filled(db, 400)
    with_outcomes(db)
    with emulator() as service:
        command = (db.reader, *READ, *TO, "--endpoint-url", service.url, "--rate", "100", "--json")
        with running("send", *command, cwd=tmp_path, env=db.env) as sender:
            wait_until(lambda: len(service.calls()) > 20)
            db.run("DROP TABLE outcomes")
            ran = sender.ended()
        assert ran.code == 4, ran.stderr
        assert 20 < ran.json["created"] == len(service.calls()) < 400
        assert "Traceback" not in ran.stderr
    assert "Create it with: bulk-invite init-db" in ran.said


def test_an_edit_that_is_undone_is_undone_in_the_table(db: Database, tmp_path: Path) -> None:
    filled(db, 3)
    with_outcomes(db)
    with emulator() as service:
        command = (db.reader, *READ, *TO, "--endpoint-url", service.url, *FAST, "--token-from", "key")
        for message, errors in (("", 0), ("another", 1), ("", 0)):
            if message:
                db.run("CREATE TABLE kept AS SELECT * FROM invitations")
                db.run("UPDATE invitations SET request = '{}' WHERE id = 2")
                edited = (
                    """jsonb_set((SELECT request FROM kept WHERE id = 2), '{Invitation,Message}', '"z"')"""
                )
                db.run(f"UPDATE invitations SET request = {edited} WHERE id = 2")
            elif db.run("SELECT to_regclass('kept') IS NOT NULL") == [(True,)]:
                db.run(
                    "UPDATE invitations SET request = (SELECT request FROM kept WHERE id = 2) WHERE id = 2"
                )
            run("send", *command, cwd=tmp_path, env=db.env)
            query = "SELECT count(*) FROM outcomes WHERE errors IS NOT NULL AND state = 'created'"
            assert db.run(query) == [(errors,)]
        assert len(service.calls()) == 3


def test_the_table_of_another_source_is_left_unchanged(db: Database, tmp_path: Path) -> None:
    filled(db, 2)
    with_outcomes(db)
    db.run("CREATE TABLE others AS SELECT * FROM invitations")
    db.run(f"GRANT SELECT ON others TO {db.role}")
    with emulator() as service:
        ran = run(
            *("send", db.reader, "--table", "others", "--key", "id", *TO, "--endpoint-url", service.url),
            cwd=tmp_path,
            env=db.env,
        )
        assert (ran.code, "holds the outcomes of" in ran.said) == (4, True)
        assert not service.calls()
