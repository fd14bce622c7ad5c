"""The outcome table in a real PostgreSQL: created, checked and written to."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from command import free_port, wait_until
from database import PASSWORD, Database, Server
from structlog.testing import capture_logs

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError, UsageError
from bulk_invite.domain.records import Record
from bulk_invite.domain.rows import Position, RowError
from bulk_invite.domain.verdicts import State
from bulk_invite.sources.postgres.outcomes_table import OutcomeTable
from bulk_invite.sources.postgres.selection import Selection

EVERY_COLUMN = (
    "key, campaign, state, client_token, invitation_id, arn, code, errors, attempts,"
    " extract(epoch FROM first_sent)::float8, extract(epoch FROM last_sent)::float8"
)
AS_MADE = (
    "key bigint NOT NULL, campaign text, state text, client_token text, invitation_id text,"
    " arn text, code text, errors jsonb, attempts integer, first_sent timestamptz, last_sent timestamptz,"
    " updated timestamptz"
)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def rows(db: Database, *, key: str = "bigint") -> None:
    db.run(f"CREATE TABLE invitations (id {key} PRIMARY KEY, request jsonb)")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")


def table(url: str, name: str = "outcomes", *, campaign: str = "", query: str | None = None) -> OutcomeTable:
    selection = Selection("invitations" if query is None else None, query, "id")
    return OutcomeTable(url, name, selection, campaign, Backoff(0.05, 0.2), lambda: 1.0)


def made(db: Database, name: str = "outcomes", **options: Any) -> OutcomeTable:
    """A table of outcomes that belongs to the owner of everything, and may be written to by the role."""
    assert table(db.url, name, **options).create()
    db.run(f"GRANT SELECT, INSERT, UPDATE ON {name} TO {db.role}")
    return table(db.reader, name, **options)


def record(key: str, state: State = State.CREATED, **values: Any) -> Record:
    """A row that was created by one call, but for `values`."""
    created: dict[str, Any] = {
        "client_token": f"token-{key}",
        "engagement": "eng-1",
        "payload_type": "LeadInvitation",
        "invitation_id": f"engi-{key}",
        "arn": f"arn:{key}",
        "code": "",
        "errors": (),
        "attempts": 1,
        "first_sent": 1_800_000_000.25,
        "last_sent": 1_800_000_001.5,
        "evidence": "",
    }
    return Record(state=state, position=Position("postgresql:x/y/id", key=key), **{**created, **values})


def pending(key: str) -> Record:
    nothing = {"invitation_id": "", "arn": "", "attempts": 0, "first_sent": None, "last_sent": None}
    return record(key, State.PENDING, **nothing)


def never() -> bool:
    return False


def written(to: OutcomeTable, *records: Record) -> None:
    assert to.write(records, never)
    to.pause()


# What is written


def test_keys_keep_their_meaning_whatever_the_role_says(db: Database) -> None:
    rows(db, key="text[]")
    db.run(f"ALTER ROLE {db.role} SET array_nulls = off")
    written(made(db), record("{a,NULL}"))
    assert db.run("SELECT key FROM outcomes") == [(["a", None],)]


def test_the_outcome_of_a_row_is_written_by_its_key(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(db)
    outcomes = made(db, campaign="spring")
    errors = (RowError("$.Жdd\0one", "unknown_member", ""), RowError("$", "second", ""))
    rejected = {"client_token": "", "invitation_id": "", "arn": "", "attempts": 0, "code": "x"}
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")  # which has not all the letters of a row
    outcomes.check()
    written(
        outcomes,
        record("1"),
        record("-7", State.REJECTED, **rejected, errors=errors, first_sent=None, last_sent=None),
    )
    monkeypatch.delenv("PGCLIENTENCODING")
    times = (1_800_000_000.25, 1_800_000_001.5)
    wrong = [{"path": "$.Жdd\ufffdone", "code": "unknown_member"}, {"path": "$", "code": "second"}]
    assert db.run(f"SELECT {EVERY_COLUMN} FROM outcomes ORDER BY key") == [
        (-7, "spring", "rejected", None, None, None, "x", wrong, 0, None, None),
        (1, "spring", "created", "token-1", "engi-1", "arn:1", None, None, 1, *times),
    ]
    assert db.run("SELECT bool_and(now() - updated < interval '1 minute') FROM outcomes") == [(True,)]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("bigint", ["-9223372036854775808", "10"]),
        ("uuid", ["00000000-0000-0000-0000-000000000001", "a0000000-0000-0000-0000-000000000000"]),
        ("text", ["Ä'\"\\%s", "b c"]),
        ("char(4)", ["ab", "abc"]),
        ("numeric", ["-1.50", "2"]),
        ("timestamptz", ["2026-01-01 00:00:00.000001+00", "2026-02-01 00:00:00+00"]),
    ],
)
def test_the_key_has_the_type_of_the_source_column(db: Database, kind: str, keys: list[str]) -> None:
    rows(db, key=kind)
    for key in keys:
        db.run("INSERT INTO invitations VALUES (%s, '{}')", (key,))
    outcomes = made(db)
    outcomes.check()
    all_keys = [key for (key,) in db.run("SELECT id::text FROM invitations ORDER BY id")]
    for _ in range(2):
        written(outcomes, *map(record, all_keys))
    joined = db.run("SELECT id::text, client_token FROM invitations JOIN outcomes ON key = id ORDER BY id")
    assert joined == [(key, f"token-{key}") for key in all_keys]
    assert db.run("SELECT count(*) FROM outcomes") == [(len(keys),)]


def versions(db: Database) -> dict[int, list[Any]]:
    return {
        key: version for key, *version in db.run("SELECT key, xmin::text, ctid::text, updated FROM outcomes")
    }


def test_correct_outcomes_are_untouched_and_wrong_ones_repaired(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    everything = [*(record(str(n)) for n in range(1, 400)), pending("400")]
    written(outcomes, *everything)
    first = versions(db)
    written(outcomes, *everything)
    assert versions(db) == first
    db.run("UPDATE outcomes SET invitation_id = 'wrong' WHERE key = 7")
    db.run("UPDATE outcomes SET attempts = NULL WHERE key = 8")
    db.run("DELETE FROM outcomes WHERE key = 9")
    written(outcomes, *everything[:-1], record("400"))
    now = versions(db)
    assert {key for key, version in now.items() if version != first[key]} == {7, 8, 9, 400}
    assert db.run("SELECT count(*) FROM outcomes WHERE invitation_id = 'engi-' || key AND attempts = 1") == [
        (400,)
    ]
    assert now[400][2] > first[400][2]


def test_the_later_of_two_records_of_a_key_wins_however_the_key_is_written(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    written(outcomes, pending("1"), record("2"), record("1", attempts=2), record("+2", State.FAILED))
    assert db.run("SELECT key, state, attempts FROM outcomes ORDER BY key") == [
        (1, "created", 2),
        (2, "failed", 1),
    ]
    written(outcomes)
    assert db.run("SELECT count(*) FROM outcomes") == [(2,)]


def test_every_campaign_has_rows_of_its_own(db: Database) -> None:
    rows(db)
    spring = made(db, campaign="it's 100 %s")
    written(spring, record("1"))
    written(table(db.reader), pending("1"))
    assert db.run("SELECT campaign, state FROM outcomes ORDER BY campaign") == [
        ("", "pending"),
        ("it's 100 %s", "created"),
    ]


def test_names_are_found_as_the_database_would_find_them(db: Database) -> None:
    rows(db)
    db.run('CREATE SCHEMA "Odd""One"')
    db.run(f'GRANT USAGE ON SCHEMA "Odd""One" TO {db.role}')
    odd = made(db, '"Odd""One"."A %s table"')
    odd.check()
    written(odd, record("1"))
    assert db.run('SELECT key FROM "Odd""One"."A %%s table"', ()) == [(1,)]
    written(made(db, "public.OutComes", query="SELECT 1::bigint AS id, '{}' AS request"), record("2"))
    assert db.run("SELECT key FROM outcomes") == [(2,)]


def test_a_table_is_created_once_with_a_comment(db: Database) -> None:
    rows(db)
    outcomes = table(db.url)
    assert outcomes.create()
    written(outcomes, record("1"))
    assert not outcomes.create()
    outcomes.check()
    assert db.run("SELECT count(*) FROM outcomes") == [(1,)]
    ((about,),) = db.run("SELECT obj_description('outcomes'::regclass)")
    assert f"postgresql:{db.name}/public.invitations/id" in about
    assert (
        db.run(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'outcomes'::regclass AND attnum > 0"
            " AND coalesce(col_description(attrelid, attnum), '') = ''"
        )
        == []
    )


def test_a_table_without_our_column_for_labels_is_written_to_and_a_column_of_the_user_is_left_alone(
    db: Database,
) -> None:
    rows(db)
    made(db)
    for own, added in (("", True), (", ADD label text DEFAULT 'mine'", False)):
        db.run(f"ALTER TABLE outcomes DROP COLUMN label{own}")
        writer = table(db.reader)
        writer.check()
        with capture_logs() as logged:
            written(writer, record("1", label="North"), record("2", label="South"))
            written(writer, record("1", state=State.FAILED, label="North"))
        assert [each["event"] for each in logged] == ["write_back.no_labels"]
        assert not writer.add_label()  # the role does not own the table
        assert table(db.url).add_label() == added
    assert db.run("SELECT DISTINCT label FROM outcomes") == [("mine",)]


def test_the_printed_sql_creates_the_same_table_and_grants_writing(db: Database) -> None:
    rows(db)
    shown = table(db.reader).statements()
    assert db.run("SELECT to_regclass('outcomes')") == [(None,)]
    for _ in range(2):
        db.run(shown)
    outcomes = table(db.reader)
    outcomes.check()
    written(outcomes, record("1"))


# What is refused


def test_a_table_that_cannot_hold_outcomes_is_reported_with_a_remedy(db: Database) -> None:
    rows(db)
    identity = "PRIMARY KEY (key, campaign)"
    cases = {
        "CREATE TABLE other (n int)": r"no table outcomes in database .* init-db .* --write-back outcomes",
        "CREATE TABLE outcomes (key bigint)": r"outcomes has no column campaign\..*--print",
        f"CREATE TABLE outcomes ({AS_MADE.replace('attempts integer', 'attempts text')}, {identity})": (
            "column attempts of type text, not integer"
        ),
        f"CREATE TABLE outcomes ({AS_MADE.replace('key bigint', 'key integer')}, {identity})": (
            "column key of type integer, not bigint"
        ),
        f"CREATE TABLE outcomes ({AS_MADE})": r"unique index on \(key, campaign\)",
        f"CREATE TABLE outcomes ({AS_MADE}, PRIMARY KEY (key))": r"unique index on \(key, campaign\)",
    }
    for statement, said in cases.items():
        db.run(statement)
        with pytest.raises(SourceError, match=said) as raised:
            table(db.url).check()
        assert not raised.value.retryable
        db.run("DROP TABLE IF EXISTS outcomes")


def test_a_missing_privilege_is_reported_before_anything_is_written(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    for missing in ("SELECT", "INSERT", "UPDATE"):
        outcomes.check()
        db.run(f"REVOKE {missing} ON outcomes FROM {db.role}")
        with pytest.raises(SourceError, match=r"permission denied .* Grant .* SELECT, INSERT and UPDATE"):
            outcomes.check()
        with pytest.raises(SourceError, match="permission denied"):
            outcomes.write([record("1")], never)
        db.run(f"GRANT {missing} ON outcomes TO {db.role}")


def test_a_check_leaves_nothing_behind_and_accepts_a_view_or_more_columns(db: Database) -> None:
    rows(db)
    made(db)
    db.run(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN INSERT INTO fired VALUES (1); RETURN NULL; END'"
    )
    db.run("CREATE TABLE fired (n int)")
    db.run("CREATE TRIGGER each AFTER INSERT ON outcomes EXECUTE FUNCTION tell()")
    db.run("ALTER TABLE outcomes ADD note text DEFAULT 'mine'")
    db.run("CREATE VIEW shown AS SELECT * FROM outcomes")
    view = table(db.url, "shown")
    view.check()
    assert db.run("SELECT count(*) FROM fired") == [(0,)]
    written(view, record("1"))
    assert db.run("SELECT note FROM outcomes") == [("mine",)]


def test_the_source_table_is_refused_for_outcomes(db: Database) -> None:
    rows(db)
    for name in ("invitations", "public.Invitations"):
        for what in (OutcomeTable.create, OutcomeTable.check, OutcomeTable.statements):
            with pytest.raises(UsageError, match="from which the rows are read"):
                what(table(db.url, name))


def test_an_impossible_table_name_is_reported(db: Database) -> None:
    rows(db)
    for name in ("a b", "a.b.c", "a..b", ""):
        with pytest.raises(SourceError, match="with double quotes"):
            table(db.url, name).create()
    with pytest.raises(SourceError, match="Create the schema"):
        table(db.url, "nowhere.outcomes").create()


def test_a_role_that_may_not_create_gets_an_alternative(db: Database) -> None:
    rows(db)
    db.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(SourceError, match=r"permission denied for schema public.*init-db --print"):
        table(db.reader).create()
    with pytest.raises(SourceError, match=r"cannot be read.*Check --table or --query"):
        table(db.reader, query="SELECT 1 AS id FROM nowhere").create()


def test_an_unreachable_server_is_a_transient_error(db: Database) -> None:
    rows(db)
    with pytest.raises(SourceError, match="that the server is running") as raised:
        table(f"postgresql://me@127.0.0.1:{free_port()}/{db.name}").check()
    assert raised.value.retryable


def test_a_read_only_database_is_reported(db: Database) -> None:
    rows(db)
    made(db)
    db.run(f"ALTER ROLE {db.role} SET default_transaction_read_only = on")
    with pytest.raises(SourceError, match="needs the primary"):
        table(db.reader).check()


def test_rows_refused_by_the_database_end_the_writing_and_are_not_shown(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    db.run("ALTER TABLE outcomes ADD CHECK (invitation_id <> 'engi-5')")
    with pytest.raises(SourceError, match="Compare it with") as raised:
        outcomes.write([record("5")], never)
    with pytest.raises(SourceError, match="SQLSTATE 22P02") as other:
        outcomes.write([record("no number")], never)
    for each in (raised.value, other.value):
        assert not {"engi-5", "no number"} & {*str(each).split('"')}
        assert each.__suppress_context__
    assert db.run("SELECT count(*) FROM outcomes") == [(0,)]


@pytest.mark.parametrize("password", [PASSWORD, "wrong-Secret"])
def test_no_error_shows_password_or_address(
    db: Database, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    rows(db)
    monkeypatch.setenv("PGPASSWORD", "no")
    quoted = password.replace("%", "%25")
    right = db.reader.replace("@", f":{quoted}@")
    for url in (right, right.replace(db.name, "nowhere"), right.replace("@", f"@{quoted}@")):
        with pytest.raises((SourceError, UsageError)) as raised:
            table(url).check()
        assert password not in str(raised.value)
        assert quoted not in str(raised.value)


# A broken line


@pytest.mark.parametrize("how", ["restarted", "cut"])
def test_a_broken_connection_is_reestablished(own_server: tuple[Server, Database], how: str) -> None:
    running, db = own_server
    rows(db)
    outcomes = made(db)
    assert outcomes.write([record("1")], never)
    if how == "cut":
        db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (db.role,))
    else:
        running.stop()
    starter = threading.Timer(0.6, running.start)
    if how != "cut":
        starter.start()
    with capture_logs() as logs:
        assert outcomes.write([record("2")], never)
    if how != "cut":
        starter.join()
    outcomes.pause()
    assert db.run("SELECT key FROM outcomes ORDER BY key") == [(1,), (2,)]
    assert {each["event"] for each in logs} == {"write_back.unreachable"}
    assert logs[0]["table"] == "outcomes"
    assert PASSWORD not in str(logs)


def test_a_stop_ends_a_write_that_waits_and_a_wait_for_the_server(
    own_server: tuple[Server, Database],
) -> None:
    running, db = own_server
    rows(db)
    outcomes = made(db)
    outcomes.check()
    with db.connection() as connection:
        connection.execute("LOCK TABLE outcomes")
        assert stopped_after(0.3, outcomes) < 1.5
    running.stop()
    assert stopped_after(0.3, outcomes) < 1.5
    running.start()
    assert db.run("SELECT count(*) FROM outcomes") == [(0,)]


def stopped_after(seconds: float, outcomes: OutcomeTable) -> float:
    """How long it takes to end, all in all."""
    began = time.monotonic()
    assert not outcomes.write([record("1")], lambda: time.monotonic() > began + seconds)
    return time.monotonic() - began


def test_the_writer_waits_for_a_server_that_becomes_a_standby(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    outcomes.check()
    read_only = "ALTER ROLE {} SET default_transaction_read_only = {}"
    db.run(read_only.format(db.role, "on"))
    writing = threading.Thread(target=written, args=(outcomes, record("1")))
    with capture_logs() as logs:
        writing.start()
        wait_until(lambda: logs)
        db.run(read_only.format(db.role, "off"))
        writing.join()
    assert db.run("SELECT key FROM outcomes") == [(1,)]
    assert "read-only" in logs[0]["reason"]


def test_between_two_writes_no_transaction_is_open_and_after_a_pause_no_connection(db: Database) -> None:
    rows(db)
    outcomes = made(db)
    sessions = ("SELECT state FROM pg_stat_activity WHERE usename = %s", (db.role,))
    for n in range(8):  # more often than it takes to prepare a statement
        assert outcomes.write([record(str(n))], never)
        assert db.run(*sessions) == [("idle",)]
    assert db.run("SELECT application_name FROM pg_stat_activity WHERE usename = %s", (db.role,)) == [
        ("bulk-invite",)
    ]
    outcomes.pause()
    wait_until(lambda: not db.run(*sessions))
