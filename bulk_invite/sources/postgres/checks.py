"""Check a database before a run, within a time limit: whether its rows can be read, and the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from bulk_invite.domain.rows import Row
from bulk_invite.libpq import check_address
from bulk_invite.sources.postgres.connection import connect, refusal
from bulk_invite.sources.postgres.pages import row_of
from bulk_invite.sources.postgres.selection import ResolvedSelection, Selection

_UNIQUE: Final = """
SELECT EXISTS (
    SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid = to_regclass(%s) AND indisunique AND indisvalid AND indpred IS NULL AND indnkeyatts = 1
        AND attname = %s AND attnotnull)
"""


@dataclass(frozen=True, slots=True)
class Examined:
    """name: of the source. server: its version. first: the first row, if any.

    unique: whether the key is known to be unique; False if the time did not suffice to find out.
    """

    name: str
    server: str
    first: Row | None
    unique: bool


def examine(url: str, selection: Selection, seconds: float) -> Examined:
    """Examine the first row and the key. seconds: for each statement.

    Raises UsageError for an invalid URL, SourceError for anything that would keep a run from reading.
    """
    check_address(url)
    try:
        with connect(url) as connection:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", (f"{seconds * 1000:.0f}ms",)
            )
            found = selection.resolve(connection)
            first = _first(connection, found)
            connection.commit()
            return Examined(found.name, _version(connection), first, _is_unique(connection, found))
    except psycopg.Error as error:
        # Without its traceback: the driver's error contains the statement.
        raise refusal("The database cannot be read", error) from None


def _version(connection: psycopg.Connection[Any]) -> str:
    return f"PostgreSQL {connection.info.parameter_status('server_version')}"


def _first(connection: psycopg.Connection[Any], found: ResolvedSelection) -> Row | None:
    one = sql.SQL("SELECT * FROM ({rows}) AS rows LIMIT 1").format(rows=found.rows(found.after(None)))
    row = connection.cursor(binary=True).execute(one).fetchone()
    return None if row is None else row_of(found.name, *row)


def _is_unique(connection: psycopg.Connection[Any], found: ResolvedSelection) -> bool:
    """Determine it by a unique index, otherwise by reading every key."""
    if connection.execute(_UNIQUE, (found.relation, found.key)).fetchone() == (True,):
        return True
    try:
        found.require_unique(connection)
    except errors.QueryCanceled:
        return False
    return True
