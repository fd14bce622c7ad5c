"""What the runs of a checkpoint have read of files, and of it what the current run need not read again."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from bulk_invite.checkpoint.tables import finished_read, read_position, read_prefix
from bulk_invite.checkpoint.tables.finished_read import FinishedRead
from bulk_invite.checkpoint.tables.read_prefix import Recognized
from bulk_invite.checkpoint.transactions import Transactions
from bulk_invite.domain.admissions import SkippedRow
from bulk_invite.domain.records import KnownPrefix, Prefix, PrefixRows, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection
from bulk_invite.domain.verdicts import State


class ReadPrefixes:
    """Part of the writer. Methods that take a connection run within one of its transactions.

    Invariant: a prefix is stored only if each of its lines was read from the same bytes since `first_run`. A
    run that has not recognized a prefix deletes it before it stores the first row of that file.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._basis = ""
        self._own: set[str] = set()
        self._finished: dict[str, int] = {}
        self.recognized = Recognized()

    def begin_run(self, basis: str) -> None:
        """basis: a digest of what decides what a line becomes."""
        self._basis = basis
        self._own.clear()
        self._finished.clear()
        self.recognized = Recognized()

    def known(self, source: str, campaign: str) -> KnownPrefix | None:
        """What earlier runs have read of a file that this run begins to read."""
        if source in self._own:
            return None
        with self._transactions.begin() as connection:
            found = read_prefix.stored(connection, source, campaign)
        return None if found is None else KnownPrefix(found.prefix, found.basis == self._basis)

    def rows(self, source: str, campaign: str, *, failed_again: bool) -> PrefixRows | None:
        """Find the settled rows of a prefix; None if there are too many others.

        failed_again: failed rows must be read again.
        """
        with self._transactions.begin() as connection:
            found = read_prefix.stored(connection, source, campaign)
            return None if found is None else read_prefix.rows_of(connection, found, _settled(failed_again))

    def recognize(self, source: str, campaign: str, *, failed_again: bool) -> None:
        """Skip the settled rows of a prefix that the file still begins with: they count as read."""
        with self._transactions.begin() as connection:
            found = read_prefix.stored(connection, source, campaign)
        if found is not None:
            self._own.add(source)
            self.recognized.add(found, _settled(failed_again))

    def created_rows(self, source: str, after: str, limit: int) -> list[SkippedRow]:
        """Of the skipped rows of a file, those with an invitation; see `read_prefix.created_rows`."""
        with self._transactions.begin() as connection:
            found = self.recognized.of(source)
            return read_prefix.created_rows(connection, found, after, limit, run=self._transactions.run)

    def finished(self, source: str, campaign: str) -> str | None:
        """The mark up to which earlier runs read a database completely.

        None if its rows would become others today, and if this run has read it already.
        """
        if source in self._finished:
            return None
        with self._transactions.begin() as connection:
            found = finished_read.stored(connection, source, campaign)
        return None if found is None or found.basis != self._basis else found.mark

    def recognize_finished(self, source: str, campaign: str, unchanged: int) -> bool:
        """Skip the rows with an invitation of a database that was read completely.

        Returns False if not all of its known rows are among the unchanged ones: some were changed or deleted.
        """
        with self._transactions.begin() as connection:
            found = finished_read.stored(connection, source, campaign)
            is_whole = found is not None and finished_read.count_known(connection, found) == unchanged
        if found is not None and is_whole:
            self._finished[source] = found.first_run
            self.recognized.add_keyed(source, campaign, found.first_run)
        return is_whole

    def first_run(self, source: str) -> int:
        """The run since which the rows of a database are known as they are; 0 if only some of them are."""
        return self._finished.get(source, 0)

    def finish(self, source: str, campaign: str, mark: str) -> None:
        """Note that a database was read completely, up to a mark."""
        first_run = self._finished.get(source, self._transactions.run)
        read = FinishedRead(source, campaign, mark, self._basis, first_run)
        with self._transactions.begin() as connection:
            finished_read.note(connection, read)

    def enter(self, connection: Connection, batch: Iterable[Invitation | Rejection], campaign: str) -> None:
        """Before rows are stored: delete the prefixes of files that this run reads from the beginning."""
        for source in {each.row.position.source for each in batch} - self._own:
            read_prefix.forget(connection, source, campaign)
            self._own.add(source)

    def note(self, connection: Connection, reached: Prefix | Position | SourceCursor, campaign: str) -> None:
        """Record how far a source is read, once the rows up to there are stored."""
        if not isinstance(reached, Prefix):
            read_position.note(connection, reached, campaign)
        elif reached.source in self.recognized.returned:
            read_prefix.forget(connection, reached.source, campaign)
        else:
            read_prefix.note(connection, reached, campaign, self._basis, run=self._transactions.run)


def _settled(failed_again: bool) -> frozenset[State]:  # noqa: FBT001 - as its only argument
    return frozenset({State.CREATED} if failed_again else {State.CREATED, State.FAILED})
