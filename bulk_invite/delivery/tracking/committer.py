"""Group commit: a single committer writes the events of many rows in one durable transaction.

Invariants: `commit` returns only after its event is on disk. After a failed write, nothing more is committed
and every waiting task gets the error. One thread at a time uses the writer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from bulk_invite.delivery.tracking.batch import Batch
from bulk_invite.delivery.tracking.journal import Journal, RunInThread
from bulk_invite.domain.admissions import Admission
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.records import (
    Change,
    Prefix,
    Record,
    SourceCursor,
)
from bulk_invite.domain.rows import Invitation, Position, Rejection

_INTERVAL: Final = 0.01
"""Minimum seconds between two commits. A single event is written immediately; under load, the events of ten
milliseconds share one fsync, which costs a call less than a tenth of a round trip."""


_GONE: Final = "The program ended before it could write to the checkpoint."

_Answer = TypeVar("_Answer")


class Committer:
    """Commits the events of all workers. `run` it in the task group; `close` ends it once all is written.

    in_thread: runs blocking calls. elapsed: seconds of a clock that cannot be set and that counts system
    sleep.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        campaign: str,
        retry_failed: bool,
        elapsed: Callable[[], float],
        in_thread: RunInThread = to_thread.run_sync,
        observer: Observer | None = None,
    ) -> None:
        self.campaign = campaign
        self.retry_failed = retry_failed
        self._journal = journal
        self._in_thread = in_thread
        self._observer = observer or Observer()
        self._one_thread = anyio.CapacityLimiter(1)
        self._gathering = Batch()
        self._asking = Batch()
        self._work = anyio.Event()
        self._elapsed = elapsed
        self._proven_at = -math.inf
        self._busy_since: float | None = None
        self._last_write = -math.inf
        self._uses = 0
        self._closing = False
        self._failure: CheckpointError | None = None

    @property
    def failed(self) -> bool:
        """Whether a write has failed; nothing is written after that."""
        return self._failure is not None and self._failure.args != (_GONE,)

    def busy_for(self) -> float:
        """Seconds that the current journal call has taken so far; 0 between calls."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def proof_age(self) -> float:
        """Seconds since the start of the last write or query that proved ownership of the checkpoint."""
        return self._elapsed() - self._proven_at

    async def prove(self, within: float) -> None:
        """Prove that this sender holds the checkpoint, unless the last proof is at most `within` seconds old.

        Raises CheckpointError if it does not. The caller only waits for the committer: its task may be
        cancelled while a thread is still using the journal.
        """
        if self.proof_age() > within:
            await self._join(self._asking).wait()  # one answer serves all who wait

    async def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        reached: Position | SourceCursor | Prefix | None = None,
        *,
        follows: bool = False,
    ) -> list[Admission]:
        """Classify a batch of rows and store the new ones. Raises CheckpointError.

        reached: the position in the source after this batch, if reading or following can resume from it.
        follows: the source is polled, so the same row may come again.
        """
        return await self.ask(
            lambda journal: journal.admit(
                batch,
                campaign=self.campaign,
                retry_failed=self.retry_failed,
                reached=reached,
                follows=follows,
            )
        )

    async def changes(self, source: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        """See `write_back.Changes`. Raises CheckpointError."""
        return await self._use(lambda journal: journal.changes(source, self.campaign, after, limit))

    async def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        """The rows of some engagements: those in doubt, those with an invitation. Raises CheckpointError."""
        return await self.ask(lambda journal: journal.rows_of(engagements))

    async def ask(self, question: Callable[[Journal], _Answer]) -> _Answer:
        """Use the checkpoint in its thread, between commits. After a failure, raises CheckpointError."""
        try:
            return await self._use(question)
        finally:
            self._uses += 1

    def uses(self) -> int:
        """How often the checkpoint has been used so far, other than for `changes`."""
        return self._uses

    async def _use(self, question: Callable[[Journal], _Answer]) -> _Answer:
        if self._failure is not None:
            raise self._failure
        try:
            return await self._in_thread(self._answer, question, limiter=self._one_thread)
        except CheckpointError as error:
            self._failure = error
            self._work.set()
            raise

    def _answer(self, question: Callable[[Journal], _Answer]) -> _Answer:
        self._busy_since = time.monotonic()
        try:
            return question(self._journal)
        finally:
            self._busy_since = None

    def _proving(self, write: Callable[[Journal], _Answer]) -> Callable[[Journal], _Answer]:
        """Wrap `write`: its success proves, as of its start, that this sender holds the checkpoint."""

        def proving(journal: Journal) -> _Answer:
            began = self._elapsed()
            written = write(journal)
            self._proven_at = began
            return written

        return proving

    async def commit(self, event: Event) -> bool:
        """Return when the event is durable. False: another row has its Id, so `event.instead` was written.

        Raises CheckpointError if it cannot be written. If the caller is cancelled, this returns nevertheless,
        since its counts must match the checkpoint; the cancellation comes again at its next wait.
        """
        self._gathering.events.append(event)
        batch = self._join(self._gathering)
        try:
            substituted = await batch.wait()
        except anyio.get_cancelled_exc_class():
            # Shielded from here on: from the start, that takes 3 us of each of two commits per row.
            with anyio.CancelScope(shield=True):
                substituted = await batch.wait()
        return event.client_token not in substituted

    def _join(self, batch: Batch) -> Batch:
        if self._failure is not None:
            raise self._failure
        if not batch.is_wanted:
            batch.is_wanted = True
            self._work.set()
        return batch

    async def run(self) -> None:
        """Write until `close`; shielded, so that a cancelled run still commits its events."""
        with anyio.CancelScope(shield=True):
            try:
                while not (self._closing and not self._gathering.events):
                    await self._work.wait()
                    if self._failure is not None:
                        return
                    self._work = anyio.Event()
                    await self._write_gathered()
            finally:
                # No task may wait for a committer that has ended.
                self._failure = self._failure or CheckpointError(_GONE)
                for batch in (self._gathering, self._asking):
                    batch.finish(self._failure)

    def close(self) -> None:
        """Announce that no more events will come; `run` returns once the last is written."""
        self._closing = True
        self._work.set()

    async def _write_gathered(self) -> None:
        while (self._gathering.is_wanted or self._asking.is_wanted) and self._failure is None:
            # Before a write, not after it: a slow pace then wakes the loop once less for each commit.
            early = self._last_write + _INTERVAL - anyio.current_time()
            if early > 0 and not self._closing:
                await anyio.sleep(early)
            self._last_write = anyio.current_time()
            # A proof ages from its start, so it goes first and does not wait for a commit on a slow disk.
            if self._asking.is_wanted:
                asked, self._asking = self._asking, Batch()
                await self._complete(asked, lambda journal: journal.prove())
            if self._gathering.is_wanted and self._failure is None:
                batch, self._gathering = self._gathering, Batch()
                await self._write(batch)

    async def _write(self, batch: Batch) -> None:
        began = anyio.current_time()
        if await self._complete(batch, lambda journal: journal.record(batch.events)):
            self._observer.committed(anyio.current_time() - began, len(batch.events))

    async def _complete(self, batch: Batch, write: Callable[[Journal], frozenset[str] | None]) -> bool:
        """Write a batch and release the tasks that wait for it; False if it failed."""
        # If this is interrupted, the events count as not written.
        failure: CheckpointError | None = CheckpointError(_GONE)
        try:
            written: frozenset[str] | None = await self.ask(self._proving(write))
            batch.substituted, failure = written or frozenset(), None
        except CheckpointError as error:
            failure = error
        finally:
            self._failure = self._failure or failure
            batch.finish(failure)
        return failure is None
