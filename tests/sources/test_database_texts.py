"""Which texts of a database are shown: names and states, never data of a row."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from database import PASSWORD, Database
from structlog.testing import capture_logs
from test_outcome_table import made, never, record, rows

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError
from bulk_invite.libpq import error_text
from bulk_invite.runs.output import logs
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.source import PostgresSource

SECRET = "Jane Doe 4711"


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def read(db: Database, query: str) -> None:
    selection = Selection(None, query, "id")
    for _ in PostgresSource(db.reader, selection, Backoff(0.05, 0.2), lambda: 1.0).batches(10, 1 << 20):
        pass


RAISING = [
    ("P0001", f"BEGIN RAISE EXCEPTION '{SECRET}'; END"),
    ("42501", f"BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = 'insufficient_privilege'; END"),
    ("57014", f"BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = 'query_canceled'; END"),
    ("P0004", f"BEGIN ASSERT false, '{SECRET}'; END"),
    ("22P02", f"BEGIN RETURN '{SECRET}'::int; END"),
    ("42P01", f"BEGIN EXECUTE 'SELECT 1 FROM \"{SECRET}\"'; END"),
]


@pytest.mark.parametrize(("state", "body"), RAISING)
def test_texts_of_a_custom_function_are_not_shown(db: Database, state: str, body: str) -> None:
    rows(db)
    db.run("INSERT INTO invitations VALUES (1, '{}')")
    db.run(f"CREATE FUNCTION looked(bigint) RETURNS bigint LANGUAGE plpgsql AS $$ {body} $$")
    with pytest.raises(SourceError, match=f"SQLSTATE {state}") as reading:
        read(db, "SELECT id, looked(id)::text AS request FROM invitations")
    table = made(db)
    db.run(f"CREATE FUNCTION watched() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    db.run("CREATE TRIGGER watched BEFORE INSERT ON outcomes FOR EACH ROW EXECUTE FUNCTION watched()")
    with (
        capture_logs() as logged,
        pytest.raises(SourceError, match=f"The table outcomes cannot be used: .*SQLSTATE {state}") as writing,
    ):
        table.write([record("1")], never)
    assert SECRET not in f"{reading.value} {reading.value.hint} {writing.value} {writing.value.hint} {logged}"


@pytest.mark.parametrize(
    "value", ["'4711999999999'::int", "'2026-02-4711'::date", "'[4711, '::json", "to_date('4711', 'DD')"]
)
def test_a_value_that_does_not_fit_is_not_shown(db: Database, value: str) -> None:
    with pytest.raises(SourceError, match="SQLSTATE 22") as caught:
        read(db, f"SELECT 1 AS id, ({value})::text AS request")
    assert "4711" not in str(caught.value)


def test_texts_of_the_server_about_names_are_shown(db: Database) -> None:
    with pytest.raises(SourceError, match='relation "nowhere" does not exist'):
        read(db, "SELECT 1 AS id, x AS request FROM nowhere")


def test_a_refused_login_is_reported_without_its_context() -> None:
    error = psycopg.OperationalError(f"FATAL: {SECRET}\nCONTEXT: PL/pgSQL function login()")
    assert error_text(error) == "OperationalError (message hidden: it may contain values of a row)"


_REFUSED = 'connection to server at "127.0.0.1", port {} failed: Connection refused'
_ADVICE = "\n\tIs the server running on that host and accepting TCP/IP connections?"
_HOST = "\n- host: '127.0.0.1', port: '{}', hostaddr: '127.0.0.1': connection failed: "


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("connection failed: " + _REFUSED.format(1) + _ADVICE, _REFUSED.format(1)),
        (
            (
                f"connection failed: {_REFUSED.format(2)}{_ADVICE}\n"
                f"Multiple connection attempts failed. All failures were:"
                f"{_HOST.format(1)}{_REFUSED.format(1)}{_ADVICE}{_HOST.format(2)}{_REFUSED.format(2)}{_ADVICE}"
            ),
            f"{_REFUSED.format(1)}; {_REFUSED.format(2)}",
        ),
        (
            "failed to resolve host 'db.invalid': [Errno -2] Name or service not known",
            "failed to resolve host 'db.invalid': Name or service not known",
        ),
        (
            (
                "consuming input failed: server closed the connection unexpectedly\n"
                "\tThis probably means the server terminated abnormally\n"
                "\tbefore or while processing the request."
            ),
            "consuming input failed: server closed the connection unexpectedly",
        ),
        ("the connection is closed", "the connection is closed"),
    ],
)
def test_a_message_of_the_driver_becomes_one_sentence(message: str, sentence: str) -> None:
    assert error_text(psycopg.OperationalError(message)) == sentence


@pytest.fixture
def _logging() -> Iterator[None]:
    """Other tests read events of every level."""
    handlers = logging.getLogger().handlers[:]
    logs.configure("json", "info")
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.mark.usefixtures("_logging")
def test_warnings_of_libraries_are_shown_without_their_values(capfd: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logged:
        logging.getLogger("psycopg").warning("error ignored in rollback on %s: %s", "connection", SECRET)
        failed = ValueError(SECRET)
        logging.getLogger("sqlalchemy.pool").error("Exception during reset or similar", exc_info=failed)
        logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: {SECRET}")  # noqa: G004 - as it does
        logging.getLogger("psycopg").info(SECRET)
    assert [(each["event"], each["library"], each["reason"], each.get("kind")) for each in logged] == [
        ("library.warning", "psycopg", "error ignored in rollback on %s: %s", None),
        ("library.warning", "sqlalchemy.pool", "Exception during reset or similar", "ValueError"),
        ("library.warning", "asyncio", "Task exception was never retrieved", None),
    ]
    assert SECRET not in "".join(capfd.readouterr())
