"""Rows of a real PostgreSQL: reading, refusals, and broken connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
import pytest
from command import free_port
from database import PASSWORD, Database, Server
from psycopg.types.json import Jsonb
from rows import make_rows
from structlog.testing import capture_logs

from bulk_invite.delivery.intake.source import CountedSource, KeyedSource
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError, UsageError
from bulk_invite.sources.postgres.connection import connect
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.source import PostgresSource

TABLE = Selection("invitations", None, "id")


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def source(url: str, selection: Selection = TABLE) -> PostgresSource:
    return PostgresSource(url, selection, Backoff(0.05, 0.2), lambda: 1.0)


def table(db: Database, count: int = 0, *, key: str = "bigint PRIMARY KEY", request: str = "jsonb") -> None:
    """A table `invitations` with keys from 1 on that the role may read."""
    db.run(f"CREATE TABLE invitations (id {key}, request {request})")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    if count:
        db.run(
            "INSERT INTO invitations SELECT n, jsonb_build_object('n', n) FROM generate_series(1, %s) n",
            (count,),
        )


def read(of: PostgresSource, **options: Any) -> list[tuple[str, Any]]:
    return [(row.position.key, orjson.loads(row.data)) for batch in of.batches(**options) for row in batch]


# What is read


def test_rows_have_keys(db: Database) -> None:
    """The flow asks by its members: without one of them, open rows would not be read again by their keys."""
    table(db)
    assert isinstance(source(db.reader), KeyedSource)


def test_rows_are_counted_from_a_key_on_unless_that_takes_too_long(db: Database) -> None:
    table(db, 9)
    of_table = source(db.reader)
    assert isinstance(of_table, CountedSource)
    never = partial(bool, 0)
    db.run("DELETE FROM invitations WHERE id = 4")
    assert of_table.all_rows == 9
    assert [of_table.rows_after(key, 3.0, never) for key in ("3", "4", "9")] == [5, 5, 0]
    slow = source(db.reader, Selection(None, "SELECT *, pg_sleep(0.05) FROM invitations WHERE id < 4", "id"))
    assert (slow.rows_after("2", 0.02, never), slow.rows_after("2", 3.0, never)) == (None, 1)


def test_rows_come_in_the_order_of_the_key_as_its_type_has_it(db: Database) -> None:
    table(db, 12_345)
    rows = read(source(db.reader))
    assert [key for key, _ in rows] == [str(n) for n in range(1, 12_346)]
    assert rows[41] == ("42", {"n": 42})


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("integer", ["-5", "9", "10"]),
        ("numeric", ["-1.50", "2", "10.25"]),
        ("uuid", ["00000000-0000-0000-0000-000000000001", "a0000000-0000-0000-0000-000000000000"]),
        ("text", ["Ä'\"\\%", "a", "b c"]),
        ("char(4)", ["ab", "abc", "b"]),
        ("timestamptz", ["2026-01-01 00:00:00.000001+00", "2026-02-01 00:00:00+00"]),
    ],
)
def test_any_type_with_an_order_may_be_the_key(db: Database, kind: str, keys: list[str]) -> None:
    table(db, key=f"{kind} PRIMARY KEY")
    for key in keys:
        db.run("INSERT INTO invitations VALUES (%s, '{}')", (key,))
    expected = [key for (key,) in db.run("SELECT id::text FROM invitations ORDER BY invitations.id")]
    everything = source(db.reader)
    assert [key for key, _ in read(everything)] == expected
    for number, key in enumerate(expected):
        assert [each for each, _ in read(everything, after=key)] == expected[number + 1 :]
    assert [row.position.key for row in everything.rows([*expected, *expected])] == expected


@pytest.mark.parametrize("kind", ["json", "jsonb", "text", "varchar"])
def test_a_request_is_the_value_of_its_column(db: Database, kind: str) -> None:
    table(db, request=kind)
    (row,) = make_rows(1)
    db.run("INSERT INTO invitations VALUES (1, %s), (2, NULL)", (orjson.dumps(row).decode(),))
    assert read(source(db.reader)) == [("1", row), ("2", None)]


def test_a_request_over_the_limit_is_oversized_and_not_carried(db: Database) -> None:
    table(db, request="text")
    db.run("INSERT INTO invitations VALUES (1, repeat('x', 1048576)), (2, repeat('x', 1048577))")
    (batch,) = source(db.reader).batches(max_bytes=1 << 30)
    assert [(row.oversized, len(row.data)) for row in batch] == [(False, 1048576), (True, 0)]


def test_batches_keep_to_their_limits(db: Database) -> None:
    table(db, 12_000)
    sizes = [len(batch) for batch in source(db.reader).batches(max_rows=700)]
    assert sum(sizes) == 12_000
    assert max(sizes) == 700
    assert [len(batch) for batch in source(db.reader).batches(max_bytes=1)] == [1] * 12_000


def test_a_query_may_be_any_select(db: Database) -> None:
    table(db, 10)
    query = "SELECT id * 2 AS key, request AS body FROM invitations WHERE id > 7 ORDER BY id DESC -- so\n;"
    rows = read(source(db.reader, Selection(None, query, "key", "body")))
    assert rows == [("16", {"n": 8}), ("18", {"n": 9}), ("20", {"n": 10})]


def test_members_come_from_columns_and_constants(db: Database) -> None:
    db.run(
        "CREATE TABLE leads (id int PRIMARY KEY, engagement text, account char(12), amount numeric,"
        " day date, people jsonb, tags text[], note text)"
    )
    db.run(f"GRANT SELECT ON leads TO {db.role}")
    db.run(
        "INSERT INTO leads VALUES (1, 'eng-1', '111122223333', 12.50, '2027-01-31', %s, '{a,b}', NULL)",
        (Jsonb([{"FirstName": "Ann"}]),),
    )
    selection = Selection(
        "leads",
        None,
        "id",
        columns={
            "EngagementIdentifier": "engagement",
            "Invitation.Receiver.Account.AwsAccountId": "account",
            "Invitation.Amount": "amount",
            "Invitation.Day": "day",
            "Invitation.Contacts": "people",
            "Invitation.Tags": "tags",
            "Invitation.Note": "note",
        },
        constants={"Invitation.Message": 'It\'s "so"', "Invitation.Roles": ["Reseller"]},
    )
    assert read(source(db.reader, selection)) == [
        (
            "1",
            {
                "EngagementIdentifier": "eng-1",
                "Invitation": {
                    "Receiver": {"Account": {"AwsAccountId": "111122223333"}},
                    "Amount": "12.50",
                    "Day": "2027-01-31",
                    "Contacts": [{"FirstName": "Ann"}],
                    "Tags": ["a", "b"],
                    "Message": 'It\'s "so"',
                    "Roles": ["Reseller"],
                },
            },
        )
    ]


def test_a_table_is_found_as_the_database_would_find_it(db: Database) -> None:
    table(db, 1)
    db.run('CREATE SCHEMA "Odd""One"')
    db.run('CREATE TABLE "Odd""One"."A table" AS SELECT * FROM invitations')
    db.run(f'GRANT USAGE ON SCHEMA "Odd""One" TO {db.role}')
    db.run(f'GRANT SELECT ON "Odd""One"."A table" TO {db.role}')
    odd = source(db.reader, Selection('"Odd""One"."A table"', None, "id"))
    assert odd.name == f'postgresql:{db.name}/Odd"One.A table/id'
    assert len(read(odd)) == 1
    assert source(db.reader, Selection("INVITATIONS", None, "id")).name.endswith("/public.invitations/id")


def test_some_columns_are_enough_where_no_others_may_be_read(db: Database) -> None:
    db.run("CREATE TABLE leads (secret text, id int PRIMARY KEY, request jsonb DEFAULT '{}')")
    db.run("INSERT INTO leads VALUES ('x', 1), ('y', 2)")
    db.run(f"GRANT SELECT (id, request) ON leads TO {db.role}")
    assert read(source(db.reader, Selection("leads", None, "id"))) == [("1", {}), ("2", {})]
    with pytest.raises(SourceError, match="or on the columns to read"):
        source(db.reader, Selection("leads", None, "id", "secret"))
    looks = iter([False] * 100)
    following = source(db.reader, Selection("leads", None, "id"))
    following.poll = following.whole_every = 0.01
    seen = following.follow(10, 1 << 20, lambda: next(looks, True), mark=None)
    assert {row.position.key for rows, _ in seen for row in rows} == {"1", "2"}


@pytest.fixture
def ascii_only(db: Database) -> Iterator[str]:
    """The URL of a database whose texts are bytes of no known encoding."""
    db.run(f"CREATE DATABASE {db.name}_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        yield f"{db.url}_ascii"
    finally:
        db.run(f"DROP DATABASE {db.name}_ascii WITH (FORCE)")


def test_bytes_of_unknown_encoding_are_utf8_or_their_row_is_rejected(ascii_only: str) -> None:
    with psycopg.connect(ascii_only, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE invitations (id text PRIMARY KEY, request text)")
        connection.execute("INSERT INTO invitations VALUES ('ä', '{\"a\": \"ä\"}')".encode())
        connection.execute(b"INSERT INTO invitations VALUES ('b', '{\"a\": \"\xe4\"}')")
        everything = source(ascii_only)
        found = [(row.position.key, row.data) for batch in everything.batches() for row in batch]
        assert found == [("b", b'{"a": "\xe4"}'), ("ä", '{"a": "ä"}'.encode())]
        assert [row.position.key for row in everything.rows(["ä"])] == ["ä"]
        connection.execute(b"INSERT INTO invitations VALUES ('\xe4', '{}')")
        with pytest.raises(SourceError, match="bytes that are not UTF-8"):
            read(everything)


# What is refused


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection("nothing", None, "id"), "no table nothing"),
        (Selection("invitations", None, "nothing"), "no column nothing. It has id, request"),
        (Selection("invitations", None, "id", "nothing"), "no column nothing"),
        (Selection("invitations", None, "id", "id"), "of type bigint"),
        (Selection("hidden", None, "id"), "permission denied .* Grant"),
        (Selection("twice", None, "id"), "two rows have the same id"),
        (Selection("twice", None, "other"), "a row has no other"),
        (Selection("twice", None, "place"), "a sortable type"),
        (Selection("twice", None, "empty"), "a row has no empty"),
        (Selection(None, "SELECT FROM nowhere", "id"), "does not exist"),
        (Selection(None, "SELECT 1 FORM x", "id"), "syntax error .* one SELECT"),
        (Selection(None, "DELETE FROM invitations RETURNING *", "id"), "syntax error|only read"),
        (Selection(None, "SELECT 'secret'::int AS id, '{}' AS request", "id"), "SQLSTATE 22P02"),
    ],
)
def test_an_unreadable_selection_is_reported_with_a_remedy(
    db: Database, selection: Selection, said: str
) -> None:
    table(db, 3)
    db.run("CREATE TABLE hidden AS SELECT * FROM invitations")
    db.run(
        "CREATE TABLE twice AS SELECT 1 AS id, NULL::int AS other, point(1, 1) AS place, '' AS empty,"
        " '{}'::jsonb AS request FROM generate_series(1, 2)"
    )
    db.run(f"GRANT SELECT ON twice TO {db.role}")
    with pytest.raises(SourceError, match=said) as raised:
        source(db.reader, selection)
    assert "secret" not in str(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_nothing_can_be_written_through_a_query(db: Database) -> None:
    table(db, 3)
    db.run("CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'DELETE FROM invitations; SELECT 1'")
    with pytest.raises(SourceError, match="read-only"):
        source(db.url, Selection(None, "SELECT sneak() AS id, '{}' AS request", "id"))
    assert db.run("SELECT count(*) FROM invitations") == [(3,)]


@pytest.mark.parametrize("password", [PASSWORD, "wrong-Secret"])
def test_no_error_shows_password_or_address(
    db: Database, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("PGPASSWORD", "no")
    quoted = password.replace("%", "%25")
    right = db.reader.replace("@", f":{quoted}@")
    if password == PASSWORD:
        table(db, 1)
        assert len(read(source(right))) == 1
    for url in (right.replace(db.name, "nowhere"), right + f"?{quoted}=1", right.replace("@", f"@{quoted}@")):
        with pytest.raises((SourceError, UsageError)) as raised:
            source(url)
        assert password not in str(raised.value)
        assert quoted not in str(raised.value)


@pytest.mark.parametrize(
    ("table_name", "query", "key"), [(None, None, "id"), ("a", "SELECT 1", "id"), ("a", None, "")]
)
def test_a_selection_reports_what_it_lacks(table_name: str | None, query: str | None, key: str) -> None:
    with pytest.raises(UsageError, match=r"--table or --query|--key"):
        Selection(table_name, query, key)


def test_constants_alone_are_refused() -> None:
    with pytest.raises(UsageError, match="without columns"):
        Selection("a", None, "id", constants={"Invitation.Message": "x"})


@pytest.mark.parametrize(
    "columns", [{"A": "x", "A.B": "y"}, {"A.B": "y", "A": "x"}, {"A..B": "x"}, {"": "x"}]
)
def test_unknown_members_are_reported(columns: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="has no place"):
        Selection("a", None, "id", columns=columns)


# A broken line


def _later(seconds: float, do: Callable[[], object]) -> threading.Thread:
    def wait() -> None:
        time.sleep(seconds)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("how", ["restarted", "killed", "cut"])
@pytest.mark.parametrize("slow", [True, False])
def test_a_broken_connection_loses_and_repeats_no_row(
    own_server: tuple[Server, Database], how: str, *, slow: bool
) -> None:
    running, db = own_server
    table(db, 30_000)
    everything = source(db.reader)
    seen: list[str] = []
    starter: threading.Thread | None = None
    with capture_logs() as logs:
        for number, batch in enumerate(everything.batches(max_rows=1000)):
            seen += [row.position.key for row in batch]
            if slow and number in {3, 4, 5}:
                time.sleep(1.1)
            if number == 7:
                if how == "cut":
                    db.run(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                        (db.role,),
                    )
                    continue
                running.kill() if how == "killed" else running.stop()
                starter = _later(1.0, running.start)
    if starter is not None:
        starter.join()
    assert seen == [str(n) for n in range(1, 30_001)]
    assert {each["event"] for each in logs} <= {"source.unreachable"}
    assert how == "cut" or logs
    assert PASSWORD not in str(logs)


def test_a_stop_ends_a_query_that_takes_long_and_a_wait_for_the_server(
    own_server: tuple[Server, Database],
) -> None:
    running, db = own_server
    table(db, 3)
    db.run("CREATE TABLE nap AS SELECT 0 AS seconds")
    db.run("CREATE VIEW sleepy AS SELECT i.* FROM invitations i, nap, pg_sleep(nap.seconds)")
    db.run(f"GRANT SELECT ON sleepy TO {db.role}")
    sleepy = source(db.reader, Selection("sleepy", None, "id"))
    db.run("UPDATE nap SET seconds = 20")
    assert _stopped_after(0.5, sleepy) < 2.0
    running.stop()
    assert _stopped_after(0.5, sleepy) < 2.0
    running.start()


def _stopped_after(seconds: float, of: PostgresSource) -> float:
    """How long it takes to end, all in all."""
    began = time.monotonic()
    stopped = threading.Event()
    stopper = _later(seconds, stopped.set)
    assert list(of.batches(stop=stopped.is_set)) == []
    assert of.rows(["1"], stopped.is_set) == []
    stopper.join()
    return time.monotonic() - began


def test_no_transaction_is_open_while_rows_wait(db: Database) -> None:
    table(db, 12_000)
    batches = source(db.reader).batches(max_rows=1000)
    for _ in range(8):
        next(batches)
        time.sleep(0.3)
        assert not db.run(
            "SELECT state FROM pg_stat_activity WHERE usename = %s AND state LIKE 'idle in%%'", (db.role,)
        )
    batches.close()


def test_a_session_has_a_name_and_timeouts(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(url: str) -> dict[str, str]:
        names = "('application_name', 'statement_timeout', 'transaction_read_only')"
        with connect(url) as connection:
            return dict(
                connection.execute(f"SELECT name, setting FROM pg_settings WHERE name IN {names}").fetchall()
            )

    ours = {"application_name": "bulk-invite", "statement_timeout": "900000", "transaction_read_only": "on"}
    assert settings(db.reader) == ours
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=5s")
    monkeypatch.setenv("PGAPPNAME", "crm")
    assert settings(db.reader) == {**ours, "application_name": "crm", "statement_timeout": "5000"}


def test_libpq_finds_its_service_file_and_tries_several_hosts(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(db, 3)
    parts = urlsplit(db.reader)
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{parts.port}"
    assert len(read(source(f"postgresql://{db.role}@{hosts}/{db.name}"))) == 3
    service = f"[crm]\nhost=127.0.0.1\nport={parts.port}\ndbname={db.name}\nuser={db.role}\n"
    (tmp_path / "services").write_text(service + f"password={PASSWORD}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.delenv("PGPASSWORD")
    assert len(read(source("postgresql:///?service=crm"))) == 3


def test_keys_that_are_not_unique_end_the_read(db: Database) -> None:
    table(db, 20_000, key="bigint")
    batches = source(db.reader).batches(max_rows=1000)
    next(batches)
    db.run("INSERT INTO invitations VALUES (12000, '{}')")
    with pytest.raises(SourceError, match="two rows have the same id"):
        list(batches)
    db.run("DELETE FROM invitations WHERE id = 12000")
    db.run("INSERT INTO invitations VALUES (10000, '{}')")  # where a page begins
    with pytest.raises(SourceError, match="two rows have the same id"):
        source(db.reader)
