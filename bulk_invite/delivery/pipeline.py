"""The stages of one run in one task group: read, validate and admit, pace, call, commit.

Every queue between stages is bounded, so memory does not grow with the source. The first stop request drains
the run: no new calls start, and calls in flight finish and are committed. The second aborts it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulk_invite.delivery.intake.admit_batch import HandOver
from bulk_invite.delivery.sending.deliverer import Deliverer
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.delivery.worker_pool import InFlight, WorkerPool
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.errors import BulkInviteError, CheckpointError, TooManyFailuresError

Opening = Callable[[], Awaitable[None]]
"""A step that must succeed before the first row is read, such as identifying the account."""

Ending = Callable[[], Awaitable[None]]
"""A step after the last row, also in a run that drains. It watches the stop switch itself."""

Watcher = Callable[[], Coroutine[Any, Any, None]]
"""A background task, such as progress; it is cancelled at the end of the run."""


class Intake(Protocol):
    """Reads rows and hands them over. all_read: it has read everything it was asked to read.

    is_resumed: another intake of the same process will read on, and read open rows again.
    """

    all_read: bool

    @property
    def is_resumed(self) -> bool: ...

    async def run(self, hand_over: HandOver) -> None: ...


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """The number of failed rows, or their share of the ended rows, at which a run stops."""

    _MIN_ENDED = 20
    """Ended rows below which a share is not evaluated."""

    count: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        return str(self.count) if self.share is None else f"{100 * self.share:g}%"

    def reached(self, counts: Counts) -> bool:
        if self.count is not None:
            return counts.failed_now >= self.count
        if self.share is not None and counts.ended_now >= self._MIN_ENDED:
            return counts.failed_now >= self.share * counts.ended_now
        return False


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a run: rows in flight and failures."""

    in_flight: InFlight
    failures: FailureLimit


class Pipeline:
    """Connects the stages. Call `run` once."""

    def __init__(
        self,
        intakes: Sequence[Intake],
        committer: Committer,
        deliverer: Deliverer,
        tally: Tally,
        stop: StopSwitch,
        bounds: Bounds,
    ) -> None:
        self._intakes = intakes
        self._committer = committer
        self._deliverer = deliverer
        self._tally = tally
        self._stop = stop
        self._bounds = bounds
        self._refill = anyio.Lock()
        self._ready: deque[ToSend] = deque()
        self._handed_over = 0

    @property
    def finished(self) -> bool:
        """Whether this run has done all it can for every row."""
        return (
            all(each.all_read for each in self._intakes) and self._handed_over == self._tally.counts.ended_now
        )

    async def run(self, opening: Opening, *watchers: Watcher, ending: Ending = _nothing) -> None:
        """Run `opening`, send every row of the sources, then run `ending`; `watchers` run throughout.

        Returns when every row is settled, deferred or in doubt, or when the stop switch was used. Raises
        BulkInviteError after committing everything that can be committed.
        """
        async with anyio.create_task_group() as group:
            try:
                group.start_soon(self._committer.run)
                for watcher in watchers:
                    group.start_soon(self._watch, watcher)
                with self._halting(), self._stop.until_drain():
                    await opening()
                await self._flow(group)
                with self._halting():
                    await ending()
            finally:
                self._stop.drain()  # a source that waits for rows in a thread polls this switch
                self._committer.close()
                group.cancel_scope.cancel()
        if self._stop.reason is not None:
            raise self._stop.reason

    async def _watch(self, watcher: Watcher) -> None:
        with self._halting():
            await watcher()

    async def _flow(self, group: TaskGroup) -> None:
        """Admit and deliver concurrently; return when the last worker is done."""
        send, receive = anyio.create_memory_object_stream[list[ToSend]](1)
        with send, receive:
            for intake in self._intakes:
                group.start_soon(self._take_in, intake, send.clone())
            send.close()
            await WorkerPool(group, self._bounds.in_flight, partial(self._work, receive)).run()
        if not self._stop.draining:
            await self._retry_rows_on_hold(group)
        if not self._stop.draining:
            with self._halting(), self._stop.until_abort():
                await self._deliverer.settle_denied()
                self._check_failures()

    async def _retry_rows_on_hold(self, group: TaskGroup) -> None:
        another_follows = any(each.is_resumed for each in self._intakes)
        for rows in self._deliverer.last_rounds(another_follows=another_follows):
            if rows:
                work = partial(self._work_again, rows)
                await WorkerPool(group, self._bounds.in_flight, work, max_workers=len(rows)).run()
            if self._stop.draining:
                return

    async def _take_in(self, intake: Intake, send: MemoryObjectSendStream[list[ToSend]]) -> None:
        """Admit rows until the source ends or the run drains."""

        async def hand_over(rows: list[ToSend]) -> None:
            self._handed_over += len(rows)
            await send.send(rows)

        with send, self._halting(), self._stop.until_drain():
            await intake.run(hand_over)
        self._tally.counts.all_read = all(each.all_read for each in self._intakes)

    async def _work(
        self, receive: MemoryObjectReceiveStream[list[ToSend]], has_room: Callable[[], bool]
    ) -> None:
        """Deliver new rows, one at a time."""
        with self._halting(), self._stop.until_abort():
            while has_room() and (to_send := await self._next(receive)) is not None:
                await self._deliverer.deliver(self._deliverer.track(to_send))
                self._check_failures()

    async def _work_again(self, rows: deque[TrackedRow], has_room: Callable[[], bool]) -> None:
        """Deliver rows that were on hold, one at a time."""
        with self._halting(), self._stop.until_abort():
            while rows and has_room() and not self._stop.draining:
                await self._deliverer.deliver(rows.popleft())
                self._check_failures()

    async def _next(self, receive: MemoryObjectReceiveStream[list[ToSend]]) -> ToSend | None:
        """The next row; None at the end of the sources or when the run drains."""
        if self._ready and not self._stop.draining:
            return self._ready.popleft()
        with self._stop.until_drain():
            async with self._refill:
                try:
                    while not self._ready:
                        self._ready.extend(await receive.receive())
                except anyio.EndOfStream:
                    return None
                return self._ready.popleft()
        return None

    def _check_failures(self) -> None:
        if self._bounds.failures.reached(self._tally.counts):
            counts = self._tally.counts
            raise TooManyFailuresError(counts.failed_now, counts.ended_now, str(self._bounds.failures))

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Drain the run if a row or stage raises an error."""
        try:
            yield
        except BulkInviteError as error:
            self._stop.drain(error)
            if isinstance(error, CheckpointError):
                # Answers to the calls in flight can no longer be committed; their rows stay in doubt.
                self._stop.abort()
