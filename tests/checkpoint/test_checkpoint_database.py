"""Faults of a checkpoint in PostgreSQL: a cut connection, a server that goes down, other programs."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Self, cast
from urllib.parse import urlsplit

import psycopg
import pytest
from checkpoints import NOW, OWNER, Place, admit, overview_of, records_of, settle, writing
from command import free_port, wait_until
from database import PASSWORD, Database, database, server
from fakes import invitation

from bulk_invite.checkpoint.storage.postgres import PostgresSchema
from bulk_invite.checkpoint.storage.watchdog import Watchdog
from bulk_invite.domain.admissions import AlreadySettled, ToSend
from bulk_invite.domain.errors import CheckpointError, CheckpointHeldError, UsageError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.records import BEFORE_ALL_CHANGES, Owner, PacingState
from bulk_invite.domain.verdicts import State


@pytest.fixture
def place(db: Database) -> Place:
    return Place(db.url, "checkpoint")


def _sessions(db: Database) -> list[int]:
    """Servers' processes of programs that hold a checkpoint."""
    found = db.run(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'bulk-invite checkpoint%'"
    )
    return [pid for (pid,) in found]


def _cut(db: Database) -> None:
    for pid in _sessions(db):
        db.run("SELECT pg_terminate_backend(%s)", (pid,))
    wait_until(lambda: not _sessions(db))


def test_a_sender_that_is_cut_off_never_writes_again_and_another_can_at_once(
    db: Database, place: Place
) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"), invitation("b", line=2))
        writer.record([Sent("a", NOW)])
        _cut(db)
        with writing(place) as second:
            assert admit(second, invitation("a")) == [ToSend(invitation("a"), NOW, NOW)]
        with pytest.raises(CheckpointError, match="terminating connection due to administrator command"):
            writer.record([Sent("b", NOW)])
        for _ in range(2):  # and it does not get a new connection, although one is available
            with pytest.raises(CheckpointError) as raised:
                writer.record([Sent("b", NOW)])
            assert raised.value.retryable
    assert "lock" in str(raised.value)
    assert [(each.client_token, each.state) for each in records_of(place)] == [
        ("a", State.IN_DOUBT),
        ("b", State.PENDING),
    ]


def test_the_session_that_holds_the_lock_proves_it(db: Database, place: Place) -> None:
    with writing(place) as writer:
        writer.prove()
        admit(writer, invitation("a"))  # and no transaction stays open by that
        writer.prove()
        _cut(db)
        with pytest.raises(CheckpointError) as raised:
            writer.prove()
        assert raised.value.retryable


def test_a_session_that_a_proof_has_found_lost_is_given_up_for_good(
    db: Database, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(place) as writer:
        _cut(db)
        with pytest.raises(CheckpointError, match="terminating connection"):
            writer.prove()
    assert not caplog.records  # otherwise SQLAlchemy logs a traceback
    with writing(place) as writer:
        _cut(db)
        with pytest.raises(CheckpointError):
            writer.prove()
        with pytest.raises(CheckpointError, match="and its lock with it"):
            writer.prove()
    assert not caplog.records


class _Canceled(psycopg.Cursor[Any]):
    def execute(self, *_: Any, **__: Any) -> Self:
        return super().execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(20)")


def test_what_waits_for_the_session_has_transactions_after_a_canceled_proof(db: Database) -> None:
    schema = PostgresSchema(db.url, "checkpoint")
    with schema.held() as engine, engine.connect() as connection:
        session = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        session.cursor_factory = _Canceled
        with pytest.raises(CheckpointError, match="canceling statement") as raised, schema.translated():
            schema.prove(connection)
        assert not session.autocommit
    assert raised.value.hint == "Run the same command again."


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_commits_survive_a_crash_of_the_server(how: str) -> None:
    with server() as running, database(running.url) as db:
        place = Place(db.url, "checkpoint")
        with writing(place) as writer:
            admit(writer, invitation("a"), invitation("b", line=2))
            settle(writer, "a")
            if how == "killed":
                running.kill()
            else:
                running.stop("immediate")
            with pytest.raises(CheckpointError) as raised:
                writer.record([Sent("b", NOW)])
            assert raised.value.retryable
        with pytest.raises(CheckpointError) as down:
            place.writer()
        assert down.value.retryable
        running.start()
        with writing(place) as writer:
            first, second = admit(writer, invitation("a"), invitation("b", line=2))
            assert isinstance(first, AlreadySettled)
            assert second == ToSend(invitation("b", line=2))


def test_the_session_keeps_its_lock_and_its_commits_durable_whatever_the_role_says(
    db: Database,
) -> None:
    for setting in ("synchronous_commit = off", "idle_session_timeout = '200ms'", "statement_timeout = 100"):
        db.run(f"ALTER ROLE {db.role} SET {setting}")
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    own = _own(db)
    with writing(own) as writer:
        (pid,) = _sessions(db)
        time.sleep(0.5)
        admit(writer, invitation("a"))
        assert _sessions(db) == [pid]
        with writer._transactions.begin() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


def test_times_are_stored_exactly_whatever_the_role_says(db: Database) -> None:
    db.run(f"ALTER ROLE {db.role} SET extra_float_digits = -9")
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    own, at = _own(db), NOW + 3600.123456
    with writing(own) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", at)])
    assert [each.last_sent for each in records_of(own, State.IN_DOUBT)] == [at]


def test_one_account_cannot_use_two_schemas_at_a_time(db: Database) -> None:
    first, second = Place(db.url, "spring"), Place(db.url, "autumn")
    with writing(first) as one, second.writer() as other:
        admit(one, invitation("a"))
        with pytest.raises(CheckpointHeldError, match=rf"account 123456789012 .*: process {os.getpid()} of"):
            other.claim(OWNER)
        other.claim(Owner("999999999999", "b" * 64))
    with writing(replace(second, schema="winter")):
        pass
    with second.writer("Sandbox") as other, pytest.raises(CheckpointError, match="belongs to account"):
        other.claim(OWNER)
    assert records_of(second) == []
    assert overview_of(first).active is False


def test_a_missing_privilege_is_reported_with_its_grant(db: Database) -> None:
    own = _own(db)
    with pytest.raises(CheckpointError, match="Grant the user") as raised:
        own.writer()
    assert not raised.value.retryable
    db.run(f"CREATE SCHEMA checkpoint AUTHORIZATION {db.role}")
    with writing(own) as writer:  # nothing else is needed
        admit(writer, invitation("a"))


def test_a_schema_of_another_program_is_left_unchanged(db: Database, place: Place) -> None:
    db.run("CREATE SCHEMA checkpoint")
    db.run("CREATE TABLE checkpoint.stock (id int)")
    for opened in (place.reader, place.writer):
        with pytest.raises(CheckpointError, match="tables of another program"):
            opened()
    assert db.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'checkpoint'") == [(1,)]


def test_no_error_shows_password_or_address(db: Database) -> None:
    wrong = db.reader.replace("@", ":a-Wrong%25secret@")
    with pytest.raises(CheckpointError) as raised:
        Place(wrong, "checkpoint").writer()
    assert "Wrong" not in str(raised.value)
    with pytest.raises(UsageError) as unreadable:
        Place("postgresql://crm:a-Secret@of@tests/crm", "checkpoint").writer()
    assert "Secret" not in str(unreadable.value)


def _own(db: Database) -> Place:
    """For the role, with its password."""
    return Place(db.reader.replace("@", f":{PASSWORD.replace('%', '%25')}@"), "checkpoint")


def test_a_refused_connection_is_final_and_an_unreachable_server_is_transient(db: Database) -> None:
    for wrong in (db.reader.replace("@", ":wrong@"), f"{db.url}_that_is_not_there"):
        with pytest.raises(CheckpointError) as refused:
            Place(wrong, "checkpoint").writer()
        assert not refused.value.retryable
        assert "Check the URL, user and password" in str(refused.value)
    with pytest.raises(CheckpointError) as away:
        Place(f"postgresql://127.0.0.1:{free_port()}/nowhere", "checkpoint").writer()
    assert away.value.retryable


def test_a_role_that_may_create_in_the_schema_cannot_take_the_lock(db: Database, place: Place) -> None:
    db.run("CREATE SCHEMA checkpoint")
    db.run(
        "CREATE FUNCTION checkpoint.pg_advisory_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT NULL::void'"
    )
    with writing(place), pytest.raises(CheckpointHeldError):
        place.writer()


def test_a_sender_is_recognized_by_account_or_key(db: Database) -> None:
    first, second = Place(db.url, "spring"), Place(db.url, "autumn")
    with first.writer() as one, second.writer() as other:
        one.claim(Owner("123456789012", "a" * 64))
        for same in (Owner("", "a" * 64), Owner("123456789012", "")):
            with pytest.raises(CheckpointHeldError):
                other.claim(same)
        other.claim(Owner("999999999999", "b" * 64))


class _Pooler:
    """A proxy before a server that reports its own number for the backend process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for source, target, change in ((client, server, False), (server, client, True)):
                    threading.Thread(target=_passed_on, args=(source, target, change), daemon=True).start()


def _passed_on(source: socket.socket, target: socket.socket, change: bool) -> None:  # noqa: FBT001 - an argument of a thread
    with suppress(OSError):
        while data := source.recv(65536):
            # BackendKeyData: 'K', length 12, process, secret.
            at = data.find(b"K\x00\x00\x00\x0c") if change else -1
            if at >= 0:
                data = data[: at + 5] + b"\x00\x00\x00\x01" + data[at + 9 :]
            target.sendall(data)
    target.close()


def test_a_pooler_is_refused(db: Database) -> None:
    parts = urlsplit(db.url)
    assert parts.port is not None
    pooler = _Pooler(parts.port)
    with closing(pooler), pytest.raises(CheckpointError, match="through a connection pooler") as refused:
        Place(db.url.replace(f":{parts.port}", f":{pooler.port}"), "checkpoint").writer()
    assert not refused.value.retryable


def test_a_database_without_all_characters_is_refused(db: Database) -> None:
    db.run(f"CREATE DATABASE {db.name}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(CheckpointError, match="encoding LATIN1"):
            Place(f"{db.url}_latin", "checkpoint").writer()
    finally:
        db.run(f"DROP DATABASE {db.name}_latin WITH (FORCE)")


def test_numbers_of_any_size_are_kept(place: Place) -> None:
    with writing(place) as writer:
        writer.save_pacing(PacingState(NOW, 1.0, daily_quota=3_000_000_000, counted=3_000_000_000))
        admit(writer, invitation("a", line=3_000_000_000))
        memory = writer.load_pacing()
    assert memory is not None
    assert memory.daily_quota == 3_000_000_000
    assert [each.position.line for each in records_of(place)] == [3_000_000_000]


def test_reading_takes_no_lock_that_blocks_vacuum(db: Database, place: Place) -> None:
    with writing(place) as writer:
        writer.open_keys("db", "", "", 10)
        writer.changes("db", "", BEFORE_ALL_CHANGES, 10)
        with db.connection() as other:
            other.execute("LOCK TABLE checkpoint.invitations IN SHARE UPDATE EXCLUSIVE MODE")
            assert writer.open_keys("db", "", "", 10) == []
            assert writer.changes("db", "", BEFORE_ALL_CHANGES, 10) == (BEFORE_ALL_CHANGES, [])


def test_a_connection_to_a_server_that_hangs_is_closed(db: Database, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as line:
        line.connect(silent.getsockname())
        dog = Watchdog(line.fileno(), limit=0.2)
        with dog.watching(), dog.timing():
            assert line.recv(1) == b""  # it would wait forever
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as line:
        line.connect(silent.getsockname())
        dog = Watchdog(line.fileno(), limit=0.2)
        with dog.watching():
            time.sleep(0.5)  # no caller waits for an answer
            line.send(b"x")
    assert db.name in place.name
