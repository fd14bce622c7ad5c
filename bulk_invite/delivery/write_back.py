"""Writing back what became of rows, beside the run and after it.

Invariant: nothing is queued here. The checkpoint numbers its changes; each table has everything up to one of
them, and a run begins before the first, which mends whatever an earlier one has left. So a table may be away,
or be written to twice, and memory does not grow with it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import anyio
import structlog
from anyio.to_thread import run_sync

from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.records import BEFORE_ALL_CHANGES, Change, Record

_log = structlog.get_logger()

_PAGE: Final = 500
"""Rows written in one statement."""

_INTERVAL: Final = 1.0
"""Seconds between two looks for changes."""

_IDLE_POLLS: Final = 30
"""Looks without a change after which the connections are closed."""

_LAST_TRY_TIMEOUT: Final = 5.0
"""Seconds that a run which was stopped still gives each table."""

_MAX_COUNTED_PAGES: Final = 20
"""Pages counted, at most, of what is left: to count millions takes longer than anybody waits."""


Changes = Callable[[str, Change, int], Awaitable[tuple[Change, list[Record]]]]
"""So many rows of a source (this campaign) that were changed after a change, oldest change first.

They are as they are now; the change is the one up to which they are complete, the same when nothing is new.
"""


class OutcomeWriter(Protocol):
    """The table of one source. Blocking; `stop` is asked while it waits."""

    name: str

    def write(self, records: Sequence[Record], stop: Callable[[], bool]) -> bool:
        """Write them, in order; False when `stop()` came first."""
        ...

    def pause(self) -> None:
        """Give back what it holds until something is written again."""
        ...


class Target:
    """The table of one source. reached: the change up to which it has everything."""

    def __init__(self, source: str, writer: OutcomeWriter) -> None:
        self.source = source
        self.writer = writer
        self.reached = BEFORE_ALL_CHANGES


class WriteBack:
    """Keeps tables as the checkpoint is. `run` it beside the pipeline, and `finish` it after the last row.

    The tables are served in turn: while one is away, what is for the others waits with it.

    clock: seconds that only move forward, also on other threads. Raises what they raise.
    """

    def __init__(
        self,
        changes: Changes,
        targets: Sequence[Target],
        stop: StopSwitch,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.complete = True
        self._changes = changes
        self._targets = targets
        self._stop = stop
        self._clock = clock
        self._begun = anyio.Event()
        self._one_at_a_time = anyio.Lock()

    def begin(self) -> None:
        """The checkpoint is ours: what it says may be written."""
        self._begun.set()

    async def run(self) -> None:
        """Go on until the run drains or this is cancelled."""
        await self._begun.wait()
        idle_polls = 0
        while self._targets and not self._stop.draining:
            async with self._one_at_a_time:
                before = [each.reached for each in self._targets]
                for target in self._targets:
                    await self._catch_up(target, self._drains)
                idle_polls = idle_polls + 1 if before == [each.reached for each in self._targets] else 0
                if idle_polls == _IDLE_POLLS:
                    await self._pause()
            with self._stop.until_drain():
                await anyio.sleep(_INTERVAL)

    async def finish(self) -> None:
        """Write what is left, as long as it takes; once the run drains, as far as that goes in seconds."""
        if not self._begun.is_set():
            return
        async with self._one_at_a_time:
            for target in self._targets:
                if not await self._catch_up(target, self._drains):
                    await self._try_once_more(target)
            await self._pause()

    async def _try_once_more(self, target: Target) -> None:
        end = self._clock() + _LAST_TRY_TIMEOUT
        if await self._catch_up(target, lambda: self._stop.aborted or self._clock() >= end):
            return
        self.complete = False
        rows, all_counted = await self._count_left(target)
        _log.warning(
            "write_back.incomplete",
            table=target.writer.name,
            rows=rows if all_counted else f"{rows} or more",
            next="the next run writes them",
        )

    async def _catch_up(self, target: Target, stop: Callable[[], bool]) -> bool:
        """Whether everything is written; else `stop()` came first."""
        while not stop():
            reached, records = await self._changes(target.source, target.reached, _PAGE)
            if reached == target.reached:
                return True
            if records and not await run_sync(target.writer.write, records, stop):
                return False
            target.reached = reached
        return False

    async def _count_left(self, target: Target) -> tuple[int, bool]:
        """Rows that are not written, and whether those are all."""
        rows, reached = 0, target.reached
        for _ in range(_MAX_COUNTED_PAGES):
            after = reached
            reached, records = await self._changes(target.source, after, _PAGE)
            if reached == after:
                return rows, True
            rows += len(records)
        return rows, False

    async def _pause(self) -> None:
        for target in self._targets:
            await run_sync(target.writer.pause)

    def _drains(self) -> bool:
        return self._stop.draining
