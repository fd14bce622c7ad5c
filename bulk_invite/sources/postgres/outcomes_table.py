"""What became of rows, written back into a table of the database that they were read from.

Invariant: the table follows the checkpoint and decides nothing. Everything may be written to it again, in
whole or in part; what is right already is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import DatabaseSourceError, UsageError
from bulk_invite.domain.records import Record
from bulk_invite.libpq import check_address
from bulk_invite.sources.postgres.columns import of_table
from bulk_invite.sources.postgres.connection import cancelled_by, connect, connect_to_write, refusal
from bulk_invite.sources.postgres.outcomes_sql import (
    Place,
    is_passing_for_a_writer,
    made_by,
    misshapen,
    outcome_refusal,
)
from bulk_invite.sources.postgres.reconnecting import Reconnecting
from bulk_invite.sources.postgres.selection import Selection


class OutcomeTable:
    """One table of outcomes for one source and campaign. name: the table as the operator calls it.

    Raises UsageError for the address and for a table that is the source, SourceError for all else. It is used
    by one thread at a time.
    """

    def __init__(
        self,
        url: str,
        table: str,
        selection: Selection,
        campaign: str,
        backoff: Backoff,
        random: Callable[[], float],
    ) -> None:
        """backoff: seconds until a connection that broke is made again; random: uniform in [0, 1)."""
        check_address(url)
        self.name = table
        self._url = url
        self._selection = selection
        self._campaign = campaign
        self._connection: psycopg.Connection[Any] | None = None
        self._place: Place | None = None
        self._reconnecting = Reconnecting(
            "write_back.unreachable",
            {"table": table},
            partial(outcome_refusal, table),
            backoff,
            random,
            is_passing_for_a_writer,
        )

    def create(self) -> bool:
        """Make the table, where it is not there; whether it was made."""
        with self._told(), connect_to_write(self._url) as connection, connection.transaction():
            place = self._placed(connection)
            if self._oid(connection) is not None:
                return False
            for statement in place.creation():
                connection.execute(statement)
        return True

    def statements(self) -> str:
        """The SQL that makes the table and lets the user of the address write to it, for somebody else."""
        with self._told(), connect(self._url) as connection:
            place = self._placed(connection)
            statements = [*place.creation(), *place.grants(connection.info.user)]
            return "".join(f"{each.as_string(connection)};\n" for each in statements)

    def check(self) -> None:
        """See whether it can be written to."""
        self._place = self._checked()

    def write(self, records: Sequence[Record], stop: Callable[[], bool]) -> bool:
        """Write them, however often the connection breaks; False when `stop()` came first."""
        self._place = self._place or self._checked()
        statement = self._place.upsert(self._campaign, records)
        return self._reconnecting.tried(partial(self._run, statement, stop), stop) or False

    def pause(self) -> None:
        """Leave the database alone until something is written again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _run(self, statement: sql.Composed, stop: Callable[[], bool]) -> bool:
        try:
            connection = self._connection = self._connection or connect_to_write(self._url)
            with cancelled_by(stop, connection), connection.transaction():
                self._selection.session.pin(connection)
                connection.execute(statement)
        except psycopg.Error:
            self.pause()  # it may be of no use any more
            raise
        return True

    def _checked(self) -> Place:
        with self._told(), connect_to_write(self._url) as connection, connection.transaction():
            place = self._placed(connection)
            if (oid := self._oid(connection)) is None:
                raise DatabaseSourceError(
                    f"There is no table {self.name} in database {connection.info.dbname}.",
                    hint=made_by(self.name),
                )
            if other := place.kept_for_another(_comment(connection, oid)):
                raise DatabaseSourceError(
                    f"The table {self.name} is kept for {other}.",
                    hint="Name a table of its own with --write-back.",
                )
            if wrong := place.wrong(_types(connection, place)):
                raise misshapen(self.name, wrong)
            # The server itself says best what it will not do.
            with connection.transaction(force_rollback=True):
                connection.execute(place.upsert(self._campaign, []))
        return place

    def _placed(self, connection: psycopg.Connection[Any]) -> Place:
        """Where the table is, or would be made."""
        try:
            found = self._selection.found(connection)
        except psycopg.Error as error:
            raise refusal("The database cannot be read", error) from None
        source = self._selection.table
        if source is not None and self._oid(connection) == _oid(connection, source):
            raise UsageError(
                f"{self.name} is the table that the rows are read from.",
                hint="Name a table of its own with --write-back.",
                topic="postgresql",
            )
        named = connection.execute("SELECT parse_ident(%s)", (self.name,)).fetchone()
        (parts,) = named or ([],)
        return Place(tuple(parts), found.key_type.name, found.name)

    def _oid(self, connection: psycopg.Connection[Any]) -> int | None:
        return _oid(connection, self.name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            # Without its traceback: the driver's error carries the statement.
            raise outcome_refusal(self.name, error) from None


def _oid(connection: psycopg.Connection[Any], table: str) -> int | None:
    (oid,) = connection.execute("SELECT to_regclass(%s)::oid", (table,)).fetchone() or (None,)
    return oid


def _comment(connection: psycopg.Connection[Any], table: int) -> str:
    (comment,) = connection.execute("SELECT obj_description(%s, 'pg_class')", (table,)).fetchone() or ("",)
    return comment or ""


def _types(connection: psycopg.Connection[Any], place: Place) -> dict[str, str]:
    columns = of_table(connection, place.name.as_string(connection))
    return {column: kind.name for column, kind in columns.items()}
