"""Write the outcomes of rows back to the tables they came from, during the run and after it.

Invariant: nothing is queued here. The checkpoint numbers its changes, and each table is complete up to one of
them. Every run starts before the first change, so it also writes what an earlier run missed. A table may be
unavailable or be written twice, and memory stays constant.
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
"""Seconds between two polls for changes."""

_IDLE_POLLS: Final = 30
"""Polls without a change after which the connections are closed."""

_LAST_TRY_TIMEOUT: Final = 5.0
"""Seconds for the last attempt to write each table after a stop."""

_MAX_COUNTED_PAGES: Final = 20
"""Maximum pages of unwritten rows to count; counting millions takes too long."""


Changes = Callable[[str, Change, int], Awaitable[tuple[Change, list[Record]]]]
"""Get (source, change, limit): rows of this campaign that changed after `change`, oldest change first.

Returns the rows in their current state and the change up to which they are complete; the same change if there
is nothing new.
"""


class OutcomeWriter(Protocol):
    """Writes to the table of one source. Blocks; polls `stop` while it waits."""

    name: str

    def write(self, records: Sequence[Record], stop: Callable[[], bool]) -> bool:
        """Write records in order; False if `stop()` turned true first."""
        ...

    def pause(self) -> None:
        """Release connections until the next write."""
        ...


class Target:
    """The table of one source. reached: the change up to which it is complete."""

    def __init__(self, source: str, writer: OutcomeWriter) -> None:
        self.source = source
        self.writer = writer
        self.reached = BEFORE_ALL_CHANGES


class WriteBack:
    """Keeps the tables in step with the checkpoint: `run` during the pipeline, `finish` after the last row.

    The tables are written in turn, so an unavailable table delays the others.

    uses: how often the checkpoint has been used so far, `changes` left out: unless it has been used since, it
    has no change, and is not asked. clock: monotonic seconds; must be safe to call from other threads. Raises
    what `changes` and the writers raise.
    """

    def __init__(
        self,
        changes: Changes,
        targets: Sequence[Target],
        stop: StopSwitch,
        uses: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.complete = True
        self._changes = changes
        self._uses = uses
        self._targets = targets
        self._stop = stop
        self._clock = clock
        self._begun = anyio.Event()
        self._one_at_a_time = anyio.Lock()

    def begin(self) -> None:
        """Allow writing: this sender now holds the checkpoint."""
        self._begun.set()

    async def run(self) -> None:
        """Poll and write until the run drains or this task is cancelled."""
        await self._begun.wait()
        idle_polls = 0
        written = -1
        while self._targets and not self._stop.draining:
            async with self._one_at_a_time:
                before = [each.reached for each in self._targets]
                if (uses := self._uses()) != written:
                    for target in self._targets:
                        await self._catch_up(target, self._drains)
                    written = uses
                idle_polls = idle_polls + 1 if before == [each.reached for each in self._targets] else 0
                if idle_polls == _IDLE_POLLS:
                    await self._pause()
            with self._stop.until_drain():
                await anyio.sleep(_INTERVAL)

    async def finish(self) -> None:
        """Write all remaining changes; once the run drains, only what a few seconds per table allow."""
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
        """Write all pending changes; False if `stop()` turned true first."""
        while not stop():
            reached, records = await self._changes(target.source, target.reached, _PAGE)
            if reached == target.reached:
                return True
            if records and not await run_sync(target.writer.write, records, stop):
                return False
            target.reached = reached
        return False

    async def _count_left(self, target: Target) -> tuple[int, bool]:
        """The number of unwritten rows, and whether the count is complete."""
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
