"""Detect a checkpoint that lacks its latest transactions, when it is opened and at every commit.

The evidence: this program's memory, a file beside the checkpoint, and what the database says of itself. If
the file beside a checkpoint is missing, that proves nothing by itself; but a copy without it may be an old
one, and an invitation cannot be revoked. So this also counts as a gap until its rows have been looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from bulk_invite.checkpoint.older import Findings, why_older
from bulk_invite.checkpoint.recent_writes import RecentWrites, calls_of
from bulk_invite.checkpoint.storage.last_transaction import LastTransaction
from bulk_invite.checkpoint.tables import figures, gaps, generation
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.values import Gap, Generation, UncertainPeriod, is_later
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event, Sent
from bulk_invite.domain.rows import Invitation


class Lineage:
    """The history of a checkpoint that this sender holds.

    lost: missing calls that are not recorded in it yet.

    Every method except `admitted` and `keep` runs inside a transaction. Raises CheckpointError.
    """

    def __init__(self, name: str, last_transaction: LastTransaction, recent_writes: RecentWrites) -> None:
        """name: how errors call the checkpoint."""
        self.uncertain_period: UncertainPeriod | None = None
        self.lost = 0
        self._name = name
        self._last_transaction = last_transaction
        self._recollection = recent_writes
        self._step = generation.step({})
        self._findings: Findings | None = None
        self._asked_at: float | None = None
        self._last = Generation("", 0, 0, None)

    def begin(self, connection: Connection) -> None:
        """Start the history of a new checkpoint."""
        self._last = generation.begin(connection)
        later = max((self._last_transaction.known(), self._recollection.last), key=_calls)
        if later is not None and later.calls:
            why = "it is new, but its predecessor had made calls"
            gaps.note(connection, Gap(0.0, None, later.calls, why))
        else:
            # Before the first commit: if the file is missing later, it was removed.
            self._last_transaction.keep(self._last)
        self._stamp(connection)

    def examine(self, connection: Connection) -> None:
        """Find out what an existing checkpoint lacks. Changes nothing: it may turn out not to be ours."""
        kept = figures.generation(query_of(connection))
        self._findings = self._judge(connection, kept)
        self.lost = self._findings.lost(kept) or 0

    def enter(self, connection: Connection, change: int) -> None:
        """Record what is missing and restore what is remembered, before anything else is written."""
        if self._findings is None:
            return
        kept = self._last = figures.generation(query_of(connection))
        written: Sequence[Event] = ()
        if self._findings.why:
            written = self._recover(connection, kept, self._findings, change)
        elif self._last_transaction.known() is None:
            self._last_transaction.keep(kept)  # as in `begin`
        self._findings, self.lost = None, 0
        self._stamp(connection, written)

    def begin_run(self, connection: Connection, now: float, *, look_up_first: bool | None) -> list[Gap]:
        """See `CheckpointWriter.begin_run`."""
        found = gaps.close(connection, now)
        if look_up_first:
            self._asked_at = now if self._asked_at is None else self._asked_at
            self.uncertain_period = UncertainPeriod(0.0, self._asked_at)
        else:
            self.uncertain_period = None if look_up_first is False else gaps.uncertain_period(connection)
        return found

    def admitted(self, rows: Iterable[Invitation], receivers: Mapping[str, str], campaign: str) -> None:
        """Remember rows that are about to be sent. receivers: hashes by token."""
        self._recollection.admitted(rows, receivers, campaign)

    def advance(self, connection: Connection, events: Sequence[Event] = ()) -> None:
        """Advance at the end of a transaction. Raises CheckpointError if the last one was not ours."""
        at = max((event.at for event in events if isinstance(event, Sent)), default=None)
        new = generation.advance(connection, self._last, calls=calls_of(events), at=at, step=self._step)
        if new is None:
            raise CheckpointError(
                f"The checkpoint {self._name} has changed since this program last wrote it: another program "
                "restored or changed it.",
                hint="Run the same command again: it detects what is missing and looks those rows up first.",
                topic="unknown-outcomes",
                retryable=True,
            )
        self._last = new

    def keep(self, run: int, events: Sequence[Event] = ()) -> None:
        """Note the transaction as durable, after its commit. Raises CheckpointError."""
        self._recollection.wrote(self._last, run, events)
        self._last_transaction.keep(self._last)

    def _judge(self, connection: Connection, kept: Generation) -> Findings:
        remembered, beside = self._recollection.last, self._last_transaction.known()
        if remembered is not None and remembered.checkpoint != kept.checkpoint:
            return Findings("it is not the checkpoint that this program wrote before", None)
        ahead = (each for each in (remembered, beside) if is_later(each, kept))
        later = max(ahead, key=_number, default=None)
        if self._recollection.missing(connection):
            why = "it lacks calls and answers that this program remembers"
            return Findings(why, later or remembered)
        evidence = partial(self._last_transaction.copy_evidence, connection)
        why = why_older(self._last_transaction.beside, beside, kept, evidence)
        return Findings(why or ("it lacks transactions that this program remembers" if later else ""), later)

    def _recover(
        self, connection: Connection, kept: Generation, examined: Findings, change: int
    ) -> Sequence[Event]:
        """Record a gap, restore what is remembered of it, and return the restored events."""
        written: Sequence[Event] = ()
        lost: int | None = None
        if examined.later is not None:
            self._last = generation.skip_to(connection, kept, max(kept.number, examined.later.number))
            if batches := self._recollection.missing(connection):
                written = self._recollection.write_back(connection, batches, change)
            lost = max(0, examined.later.calls - kept.calls - calls_of(written))
        gaps.note(connection, Gap(0.0 if kept.at is None else kept.at, None, lost, examined.why))
        return written

    def _stamp(self, connection: Connection, written: Sequence[Event] = ()) -> None:
        """Record where the checkpoint is stored now, so that copies can be told apart."""
        self._step = generation.step(self._last_transaction.stamp(connection))
        self.advance(connection, written)


def _number(known: Generation | None) -> int:
    return 0 if known is None else known.number


def _calls(known: Generation | None) -> int:
    return 0 if known is None else known.calls
