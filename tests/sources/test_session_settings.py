"""The same row reads the same in every session, whatever environment, role and database say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from database import PASSWORD, Database

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import UsageError
from bulk_invite.sources.postgres.connection import connect
from bulk_invite.sources.postgres.pages import Reading
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.session_settings import SessionSettings
from bulk_invite.sources.postgres.source import PostgresSource

_VALUES: Final = {
    "int2": ("-7", "12"),
    "int4": ("-7", "12"),
    "int8": ("-7", "9007199254740993"),
    "numeric": ("-1.50", "1234567.8900"),
    "float4": ("0.1", "1.6777218e+07"),
    "float8": ("0.30000000000000004", "1e-300"),
    "text": ("\\x41", "Ä'\"\\n"),
    "varchar(20)": ("a\\b", "ж"),
    "char(12)": ("ab", "b"),
    '"char"': ("a", "b"),
    "name": ("a", "Ä"),
    "bytea": ("\\x00ff5c41", "\\x4142"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",),
    "date": ("0044-03-15 BC", "2026-02-03"),
    "time": ("01:02:03.4", "23:59:59"),
    "timetz": ("01:02:03+05:30", "23:59:59-08"),
    "timestamp": ("2026-02-03 04:05:06.789", "infinity"),
    "timestamptz": ("2026-02-03 04:05:06+00", "2026-07-08 09:10:11.5+00"),
    "interval": ("-1 years -2 mons +3 days -04:05:06.7", "1 day 02:03:04"),
    "money": ("$1,234.56",),
    "bool": ("true", "false"),
    "inet": ("192.168.0.1/24", "::1/128"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "mood": ("sad", "glad"),
    "moment": ("2026-02-03 04:05:06+00",),
    "pair": ('("2026-02-03 04:05:06+00","1 day 02:03:04")',),
    "timestamptz[]": ('{"2026-02-03 04:05:06+00",NULL}',),
    "float8[]": ("{0.30000000000000004,1e-300}",),
    "bytea[]": ('{"\\\\x00ff"}',),
    "tstzrange": ('["2026-02-03 04:05:06+00","2026-03-04 05:06:07+00")',),
    "daterange": ("[2026-02-03,2026-03-04)",),
    "jsonb": ('{"a": 1.50}',),
    "bit varying(8)": ("101",),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "tsvector": ("'a':1 'b':2",),
}
"""Types, and values of theirs in the form in which they are read."""

_NO_KEYS: Final = {"jsonb"}

_HOSTILE: Final = {
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-5",
    "bytea_output": "escape",
    "client_encoding": "LATIN5",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "xmlbinary": "hex",
    "xmloption": "document",
    "transform_null_equals": "on",
    "lc_monetary": "POSIX",
    "gin_fuzzy_search_limit": "1",
}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def _column(number: int) -> str:
    return f"c{number}"


@pytest.fixture
def everything(db: Database) -> Database:
    """A table of one row for every value, and a column for every type."""
    db.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    db.run("CREATE DOMAIN moment AS timestamptz")
    db.run("CREATE TYPE pair AS (at timestamptz, for_ interval)")
    columns = ", ".join(f"{_column(number)} {kind}" for number, kind in enumerate(_VALUES))
    db.run(f"CREATE TABLE everything (id int PRIMARY KEY, request text DEFAULT '{{}}', {columns})")
    db.run(f"GRANT SELECT ON everything TO {db.role}")
    for row in range(2):
        given = {
            _column(number): values[row]
            for number, values in enumerate(_VALUES.values())
            if row < len(values)
        }
        marks = ", ".join(["%s"] * len(given))
        db.run(
            f"INSERT INTO everything (id, {', '.join(given)}) VALUES ({row + 1}, {marks})",
            list(given.values()),
        )
    return db


_Places = dict[str, Callable[[Database, pytest.MonkeyPatch, Path], str]]


def _options() -> str:
    return " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in _HOSTILE.items())


def _by_environment(db: Database, environment: pytest.MonkeyPatch, _: Path) -> str:
    environment.setenv("PGTZ", _HOSTILE["TimeZone"])
    environment.setenv("PGDATESTYLE", _HOSTILE["DateStyle"])
    environment.setenv("PGCLIENTENCODING", _HOSTILE["client_encoding"])
    environment.setenv("PGOPTIONS", _options())
    return db.reader


def _by_service(db: Database, environment: pytest.MonkeyPatch, folder: Path) -> str:
    parts = urlsplit(db.reader)
    (folder / "services").write_text(
        f"[crm]\nhost=127.0.0.1\nport={parts.port}\ndbname={db.name}\nuser={db.role}\noptions={_options()}\n"
    )
    environment.setenv("PGSERVICEFILE", str(folder / "services"))
    return "postgresql:///?service=crm"


def _by(what: str) -> Callable[[Database, pytest.MonkeyPatch, Path], str]:
    def alter(db: Database, _: pytest.MonkeyPatch, __: Path) -> str:
        name = db.role if what == "ROLE" else db.name
        for setting, value in _HOSTILE.items():
            db.run(f"ALTER {what} {name} SET {setting} = '{value}'")
        return db.reader

    return alter


_PLACES: Final[_Places] = {
    "environment": _by_environment,
    "service file": _by_service,
    "role": _by("ROLE"),
    "database": _by("DATABASE"),
}


def _source(url: str, selection: Selection) -> PostgresSource:
    return PostgresSource(url, selection, Backoff(0.05, 0.2), lambda: 1.0)


def _keys(url: str, kind: str) -> list[str]:
    """Keys as they are read, and found again by their text."""
    column = _column(list(_VALUES).index(kind))
    of = _source(
        url, Selection(None, f"SELECT {column}, request FROM everything WHERE {column} IS NOT NULL", column)
    )
    keys = [row.position.key for batch in of.batches() for row in batch]
    assert [row.position.key for row in of.rows(keys)] == keys, kind
    after = [row.position.key for batch in of.batches(after=keys[0]) for row in batch]
    assert after == keys[1:], kind
    return keys


def _contents(url: str) -> list[bytes]:
    columns = {kind.replace(".", ""): _column(number) for number, kind in enumerate(_VALUES)}
    of = _source(url, Selection("everything", None, "id", columns=columns))
    return [row.data for batch in of.batches() for row in batch]


@pytest.mark.parametrize("place", _PLACES)
def test_columns_of_any_type_read_the_same_whatever_is_set(
    everything: Database, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = _contents(everything.reader)
    assert _contents(_PLACES[place](everything, monkeypatch, tmp_path)) == usual


def test_keys_of_any_type_read_the_same_whatever_is_set(
    everything: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = _PLACES["role"](everything, monkeypatch, tmp_path)
    for kind, values in _VALUES.items():
        if kind not in _NO_KEYS:
            assert sorted(_keys(url, kind)) == sorted(values), kind


def test_a_pooled_session_that_changes_between_transactions_reads_the_same(db: Database) -> None:
    """As behind a pooler."""
    db.run("CREATE TABLE sent (at timestamptz PRIMARY KEY, request text DEFAULT '{}')")
    db.run("INSERT INTO sent VALUES ('2026-02-03 04:05:06+00')")
    found = Selection("sent", None, "at")
    with connect(db.url) as connection:
        rows = found.resolve(connection)
        connection.rollback()
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        connection.commit()
        reading = Reading(db.url, rows, None)
        reading._connection = connection
        assert [row.position.key for row in reading.page(lambda: False)] == ["2026-02-03 04:05:06+00"]
        connection.commit()
        assert connection.execute("SHOW TimeZone").fetchone() == ("Asia/Kolkata",), (
            "it is somebody else's next"
        )
        reading.pause()


_CI = """
CREATE SCHEMA kinds;
CREATE TYPE kinds.ci;
CREATE FUNCTION kinds.ci_in(cstring) RETURNS kinds.ci LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION kinds.ci_out(kinds.ci) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE kinds.ci (INPUT = kinds.ci_in, OUTPUT = kinds.ci_out, LIKE = text, COLLATABLE = true);
CREATE CAST (kinds.ci AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION kinds.ci_cmp(kinds.ci, kinds.ci) RETURNS int LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT btarraycmp(ARRAY[lower(textin(kinds.ci_out($1)))], ARRAY[lower(textin(kinds.ci_out($2)))])';
"""
"""A type like citext, whose order differs from that of a text."""

_CI_OPERATORS: Final = {"<": "lt", "<=": "le", "=": "eq", ">=": "ge", ">": "gt"}


def test_a_custom_order_is_kept_outside_the_search_path(db: Database) -> None:
    db.run(_CI)
    for name in _CI_OPERATORS:
        db.run(
            f"CREATE FUNCTION kinds.{_CI_OPERATORS[name]}(kinds.ci, kinds.ci) RETURNS bool LANGUAGE sql"
            f" IMMUTABLE STRICT AS 'SELECT kinds.ci_cmp($1, $2) {name} 0';"
            f"CREATE OPERATOR kinds.{name} (LEFTARG = kinds.ci, RIGHTARG = kinds.ci,"
            f" FUNCTION = kinds.{_CI_OPERATORS[name]})"
        )
    operators = ", ".join(
        f"OPERATOR {number} kinds.{name}" for number, name in enumerate(_CI_OPERATORS, start=1)
    )
    db.run(
        f"CREATE OPERATOR CLASS kinds.ci_ops DEFAULT FOR TYPE kinds.ci USING btree AS {operators},"
        " FUNCTION 1 kinds.ci_cmp(kinds.ci, kinds.ci)"
    )
    db.run("CREATE TABLE people (name kinds.ci, request text DEFAULT '{}')")
    db.run("INSERT INTO people VALUES ('a'), ('B'), ('c')")
    of = _source(db.url, Selection("people", None, "name"))
    rest = [[row.position.key for batch in of.batches(after=key) for row in batch] for key in ("a", "B")]
    assert rest == [["B", "c"], ["c"]]
    assert [row.position.key for row in of.rows(["A", "b"])] == ["a", "B"]


def test_a_setting_that_does_not_change_texts_is_refused() -> None:
    with pytest.raises(UsageError, match="not a setting of --session-settings"):
        SessionSettings.of({"statement_timeout": "1"})
    assert SessionSettings.of({"timezone": "UTC"}) == SessionSettings(named=True)
