"""Write outcomes back into a table of the database from which the rows were read.

Invariant: the table follows the checkpoint and decides nothing. Everything may be written again, in whole or
in part; correct rows are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import structlog
from psycopg import errors, sql

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import DatabaseSourceError, UsageError
from bulk_invite.domain.records import Record
from bulk_invite.libpq import check_address
from bulk_invite.sources.postgres.columns import of_table
from bulk_invite.sources.postgres.connection import cancelled_by, connect, connect_to_write, refusal
from bulk_invite.sources.postgres.outcomes_sql import (
    LABEL,
    Place,
    is_our_label,
    is_transient_for_writer,
    made_by,
    misshapen,
    outcome_refusal,
)
from bulk_invite.sources.postgres.reconnecting import Reconnecting
from bulk_invite.sources.postgres.selection import Selection

_log = structlog.get_logger()


class OutcomeTable:
    """The outcomes table of one source and campaign. name: as given by the operator.

    Raises UsageError for an invalid URL and for a table that is the source, SourceError for anything else.
    Only one thread at a time may use it.
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
        """backoff: seconds until a broken connection is renewed; random: uniform in [0, 1)."""
        check_address(url)
        self.name = table
        self._url = url
        self._selection = selection
        self._campaign = campaign
        self._connection: psycopg.Connection[Any] | None = None
        self._place: Place | None = None
        self._warned = False
        self._reconnecting = Reconnecting(
            "write_back.unreachable",
            {"table": table},
            partial(outcome_refusal, table),
            backoff,
            random,
            is_transient_for_writer,
        )

    def create(self) -> bool:
        """Create the table if it does not exist; return whether it was created."""
        with self._told(), connect_to_write(self._url) as connection, connection.transaction():
            place = self._placed(connection)
            if self._oid(connection) is not None:
                return False
            for statement in place.creation():
                connection.execute(statement)
        return True

    def add_label(self) -> bool:
        """Add the column for labels to a table of an earlier version; return whether it has one now."""
        with self._told(), connect_to_write(self._url) as connection:
            place = self._placed(connection)
            if LABEL not in _types(connection, place):
                with suppress(errors.InsufficientPrivilege), connection.transaction():
                    for statement in place.labeling():
                        connection.execute(statement)
            return _has_label(connection, self._oid(connection))

    def statements(self) -> str:
        """The SQL that creates the table and grants the user access, for an administrator."""
        with self._told(), connect(self._url) as connection:
            place = self._placed(connection)
            statements = [*place.creation(), *place.grants(connection.info.user)]
            return "".join(f"{each.as_string(connection)};\n" for each in statements)

    def check(self) -> None:
        """Check that it can be written to."""
        self._place = self._checked()

    def write(self, records: Sequence[Record], stop: Callable[[], bool]) -> bool:
        """Write records, renewing broken connections; False if `stop()` came first."""
        self._place = self._place or self._checked()
        if not self._place.has_label and not self._warned and any(record.label for record in records):
            self._warned = True
            _log.warning(
                "write_back.no_labels",
                table=self.name,
                next="bulk-invite init-db adds the column label, unless one of your own has that name",
            )
        statement = self._place.upsert(self._campaign, records)
        return self._reconnecting.retry(partial(self._run, statement, stop), stop) or False

    def pause(self) -> None:
        """Release the database until the next write."""
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
            self.pause()  # it may be unusable now
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
                    f"The table {self.name} holds the outcomes of {other}.",
                    hint="Name a separate table with --write-back.",
                )
            if wrong := place.wrong(_types(connection, place)):
                raise misshapen(self.name, wrong)
            place = replace(place, has_label=_has_label(connection, oid))
            # The server's own message is the most precise.
            with connection.transaction(force_rollback=True):
                connection.execute(place.upsert(self._campaign, []))
        return place

    def _placed(self, connection: psycopg.Connection[Any]) -> Place:
        """Where the table is, or would be created."""
        try:
            found = self._selection.resolve(connection)
        except psycopg.Error as error:
            raise refusal("The database cannot be read", error) from None
        source = self._selection.table
        if source is not None and self._oid(connection) == _oid(connection, source):
            raise UsageError(
                f"{self.name} is the table from which the rows are read.",
                hint="Name a separate table with --write-back.",
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
            # Without its traceback: the driver's error contains the statement.
            raise outcome_refusal(self.name, error) from None


def _oid(connection: psycopg.Connection[Any], table: str) -> int | None:
    (oid,) = connection.execute("SELECT to_regclass(%s)::oid", (table,)).fetchone() or (None,)
    return oid


def _comment(connection: psycopg.Connection[Any], table: int) -> str:
    (comment,) = connection.execute("SELECT obj_description(%s, 'pg_class')", (table,)).fetchone() or ("",)
    return comment or ""


def _has_label(connection: psycopg.Connection[Any], table: int | None) -> bool:
    comment = connection.execute(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = %s AND attname = %s AND NOT attisdropped",
        (table, LABEL),
    ).fetchone()
    return comment is not None and is_our_label(comment[0])


def _types(connection: psycopg.Connection[Any], place: Place) -> dict[str, str]:
    columns = of_table(connection, place.name.as_string(connection))
    return {column: kind.name for column, kind in columns.items()}
