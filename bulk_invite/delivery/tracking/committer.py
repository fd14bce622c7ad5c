"""Group commit: many rows' events in one durable transaction, written by a single committer.

Invariants: who awaits `commit` goes on only when its event is on the disk; after a failed write nothing is
committed any more and everybody who waits gets the error. The writer is used by one thread at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import to_thread

from bulk_invite.delivery.tracking.batch import Batch
from bulk_invite.domain.admissions import Admission, SkippedRow
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.records import Change, PacingState, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection

_INTERVAL: Final = 0.01
"""Seconds from one commit to the next, at least. A lone event is written at once; under load the events of
ten milliseconds share one fsync, which costs a call less than a tenth of a round trip."""


_GONE: Final = "The program ended before it could write to the checkpoint."


_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")


class RunInThread(Protocol):
    """`anyio.to_thread.run_sync`, or what stands in for it where time is not real."""

    async def __call__(
        self,
        call: Callable[[Unpack[_Arguments]], _Answer],
        /,
        *values: *_Arguments,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> _Answer: ...


class Journal(Protocol):
    """What the flow needs of a checkpoint; blocking."""

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | None = None,
        follows: bool = False,
    ) -> list[Admission]: ...

    def watermark(self, source: str, campaign: str) -> str | None: ...

    def source_cursor(self, source: str, campaign: str) -> str | None: ...

    def changes(
        self, source: str, campaign: str, after: Change, limit: int
    ) -> tuple[Change, list[Record]]: ...

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]: ...

    def created_rows(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]: ...

    def record(self, events: Sequence[Event]) -> frozenset[str]: ...

    def end_source(self, source: str, campaign: str) -> None: ...

    def save_pacing(self, memory: PacingState) -> None: ...

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]: ...

    def prove(self) -> None: ...


class Committer:
    """Writes what workers hand in. `run` it in the task group; `close` ends it when all is written.

    in_thread: runs what blocks. elapsed: seconds that nobody can set, on which a suspended machine ages.
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
        self._journal = journal
        self._in_thread = in_thread
        self._observer = observer or Observer()
        self._retry_failed = retry_failed
        self._one_thread = anyio.CapacityLimiter(1)
        self._gathering = Batch()
        self._asking = Batch()
        self._work = anyio.Event()
        self._elapsed = elapsed
        self._proven_at = -math.inf
        self._busy_since: float | None = None
        self._closing = False
        self._failure: CheckpointError | None = None

    @property
    def failed(self) -> bool:
        """Whether a write has failed: then nothing is written any more."""
        return self._failure is not None and self._failure.args != (_GONE,)

    def busy_for(self) -> float:
        """Seconds that the journal has been at what it was asked for last."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def proof_age(self) -> float:
        """Seconds since a write or a question was begun that proved the checkpoint to be ours."""
        return self._elapsed() - self._proven_at

    async def prove(self, within: float) -> None:
        """Prove that the checkpoint is still ours, unless that was done `within` so many seconds.

        Raises CheckpointError when it is not. Who asks only waits, for it may be a task that somebody else
        cancels without regard to the thread that has the journal.
        """
        if self.proof_age() > within:
            await self._join(self._asking)  # one answer serves all who wait

    async def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        reached: Position | SourceCursor | None = None,
        *,
        follows: bool = False,
    ) -> list[Admission]:
        """Look a batch of rows up and note the new ones. Raises CheckpointError.

        reached: how far its source is read by that, where a reading or a following can go on from it.
        follows: the same row may come again, since its source is read again and again.
        """
        return await self.ask(
            lambda journal: journal.admit(
                batch,
                campaign=self.campaign,
                retry_failed=self._retry_failed,
                reached=reached,
                follows=follows,
            )
        )

    async def changes(self, source: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        """See `write_back.Changes`. Raises CheckpointError."""
        return await self.ask(lambda journal: journal.changes(source, self.campaign, after, limit))

    async def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        """The rows in doubt, and those with an invitation, of some engagements. Raises CheckpointError."""
        return await self.ask(lambda journal: journal.rows_of(engagements))

    async def ask(self, question: Callable[[Journal], _Answer]) -> _Answer:
        """Use the checkpoint on its thread, between two commits. Raises CheckpointError, once and for all."""
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
        """The same, where its success proves that the checkpoint is ours: as of its beginning."""

        def proving(journal: Journal) -> _Answer:
            began = self._elapsed()
            written = write(journal)
            self._proven_at = began
            return written

        return proving

    async def commit(self, event: Event) -> bool:
        """Return when the event is durable; False: another row has its Id, and its `instead` is what is.

        Raises CheckpointError when it cannot be written. When the caller is cancelled meanwhile, the event is
        written all the same.
        """
        self._gathering.events.append(event)
        return event.client_token not in await self._join(self._gathering)

    async def _join(self, batch: Batch) -> frozenset[str]:
        if self._failure is not None:
            raise self._failure
        batch.is_wanted = True
        self._work.set()
        return await batch.wait()

    async def run(self) -> None:
        """Write until `close`; shielded, so that a cancelled run still keeps what it knows."""
        with anyio.CancelScope(shield=True):
            try:
                while not (self._closing and not self._gathering.events):
                    await self._work.wait()
                    if self._failure is not None:
                        return
                    self._work = anyio.Event()
                    await self._write_gathered()
            finally:
                # Nobody must wait for a committer that is gone.
                self._failure = self._failure or CheckpointError(_GONE)
                for batch in (self._gathering, self._asking):
                    batch.finish(self._failure)

    def close(self) -> None:
        """No more events will come; `run` returns when the last one is written."""
        self._closing = True
        self._work.set()

    async def _write_gathered(self) -> None:
        while (self._gathering.is_wanted or self._asking.is_wanted) and self._failure is None:
            began = anyio.current_time()
            # A proof counts from its beginning: it must not wait for what a slow disk takes after that.
            if self._asking.is_wanted:
                asked, self._asking = self._asking, Batch()
                await self._complete(asked, lambda journal: journal.prove())
            if self._gathering.is_wanted and self._failure is None:
                batch, self._gathering = self._gathering, Batch()
                await self._write(batch)
            if not self._closing:
                await anyio.sleep(max(0.0, began + _INTERVAL - anyio.current_time()))

    async def _write(self, batch: Batch) -> None:
        began = anyio.current_time()
        if await self._complete(batch, lambda journal: journal.record(batch.events)):
            self._observer.committed(anyio.current_time() - began, len(batch.events))

    async def _complete(self, batch: Batch, write: Callable[[Journal], frozenset[str] | None]) -> bool:
        """Whether the journal has done it; who waits for the batch goes on, or gets the error."""
        # Where this is broken off, they count as not written.
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
