"""The figures of a checkpoint file for `status`, read by SQLite's own driver: see tables/query.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bulk_invite.checkpoint.older import find_gap
from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.storage.base import empty, read_about
from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.checkpoint.tables import figures
from bulk_invite.checkpoint.tables.query import Query, query_of_file
from bulk_invite.checkpoint.tables.values import Gap
from bulk_invite.domain.records import Overview

if TYPE_CHECKING:
    from bulk_invite.checkpoint.reader import CheckpointReader


def figures_at(place: str | Path, schema: str) -> FileFigures | CheckpointReader:
    """Open a checkpoint for its figures. Raises as `CheckpointReader` does."""
    database = database_at(place, schema)
    if isinstance(database, SqliteFile):
        return FileFigures(database)
    from bulk_invite.checkpoint.reader import CheckpointReader  # noqa: PLC0415 - imports SQLAlchemy

    return CheckpointReader(place, schema)


class FileFigures:
    """The same as `CheckpointReader`, of a file and for its figures only. Raises CheckpointError."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self.incomplete = ""
        with ExitStack() as undo, file.translated():
            self._driver = file.looking()
            undo.callback(self._driver.close)
            with self._transaction() as query:
                self._about = read_about(file, query)
                if self._about:
                    self.incomplete = file.incomplete(query)
            if not self._about:
                raise empty(file.name)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.close()

    @property
    def name(self) -> str:
        """Display name of the checkpoint."""
        return self._file.name

    def overview(self, now: float) -> Overview:
        """Return the totals of the whole checkpoint; `now` in epoch seconds."""
        with self._transaction() as query:
            return figures.overview(query, self._about, now, active=self._file.has_sender())

    def older(self) -> Gap | None:
        """Return a gap that no sender has noticed yet, or None."""
        last_transaction = self._file.last_transaction()
        beside = last_transaction.known()  # read this first: a run may be writing both
        with self._transaction() as query:
            return find_gap(last_transaction.beside, beside, figures.generation(query))

    @contextmanager
    def _transaction(self) -> Iterator[Query]:
        with self._file.translated():
            self._driver.execute("BEGIN")
            try:
                yield query_of_file(self._driver)
            finally:
                self._driver.rollback()
