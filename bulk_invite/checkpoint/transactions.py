"""The transactions of the one sender: numbered, and durable where the checkpoint is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bulk_invite.checkpoint.latest_check import Lineage
from bulk_invite.checkpoint.storage.base import Database
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event


class Transactions:
    """Each is on disk when its block ends. run: the number of the current run, 0 before it begins."""

    def __init__(self, database: Database, engine: Engine, lineage: Lineage) -> None:
        self.run = 0
        self._database = database
        self._engine = engine
        self._connection: Connection | None = None
        self._lineage = lineage
        self._gone: CheckpointError | None = None
        self._changes = 0

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Raises CheckpointError if the checkpoint is gone, now or since an earlier transaction."""
        if self._gone is not None:  # the saved copy must remain the newest one
            raise self._gone
        with self._database.translated(), self._database.timing():
            with self._transaction() as connection:
                yield connection
            # Data on disk is useless unless the checkpoint's name still leads to it.
            try:
                self._database.require_in_place(connection)
            except CheckpointError as error:
                self._gone = error
                raise

    @contextmanager
    def begin_generation(self, events: Sequence[Event] = ()) -> Iterator[Connection]:
        """A transaction that advances the checkpoint's generation."""
        with self.begin() as connection:
            self._lineage.enter(connection, self.next_change())
            yield connection
            self._lineage.advance(connection, events)
        self._lineage.keep(self.run, events)

    def next_change(self) -> int:
        """Number of this transaction; increases with every transaction and across runs."""
        self._changes += 1
        return (self.run << 32) + self._changes

    def prove(self) -> None:
        """Raise CheckpointError if the lock or the storage is lost; takes some system calls or one query."""
        with self._database.translated(), self._database.timing():
            self._database.prove(self._connected())

    def close(self) -> None:
        """Return the connection, so that the engine can close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        """The connection, which is kept: to fetch and return it would cost each transaction 20 us."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = self._connected()
        transaction = connection.begin()
        try:
            yield connection
            transaction.commit()
        except BaseException:
            with suppress(DBAPIError):  # the connection is lost: the first error says why
                transaction.rollback()
            self.close()
            raise
