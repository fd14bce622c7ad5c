"""A pool of one worker per row in flight; it follows changes of the limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

MAX_IN_FLIGHT: Final = 1000
"""Maximum limit of rows in flight; each row uses its own connection."""


class InFlight:
    """The current limit, from 1 to `MAX_IN_FLIGHT`; outlives the pools that observe it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._notify: Callable[[], None] = lambda: None

    def change(self, limit: int) -> None:
        """An increase takes effect immediately, a decrease as rows end."""
        self.limit = limit
        self._notify()

    def on_change(self, notify: Callable[[], None]) -> None:
        """Register the callback of the active pool; every change calls it."""
        self._notify = notify


class WorkerPool:
    """Workers that process rows until none are left.

    work: the loop of one worker; processes rows while its argument returns True (pool within its limit).
    max_workers: more workers would have nothing to do.
    """

    def __init__(
        self,
        group: TaskGroup,
        in_flight: InFlight,
        work: Callable[[Callable[[], bool]], Awaitable[None]],
        *,
        max_workers: int = MAX_IN_FLIGHT,
    ) -> None:
        self._group = group
        self._in_flight = in_flight
        self._work = work
        self._max_workers = max_workers
        self._size = 0
        self._all_done = anyio.Event()

    async def run(self) -> None:
        """Return when the last worker is done."""
        self._in_flight.on_change(self._fill)
        self._fill()
        if self._size:
            await self._all_done.wait()

    def _fill(self) -> None:
        # A worker that finds no rows exits. Once all have exited, no new one starts.
        while self._size < min(self._in_flight.limit, self._max_workers) and not self._all_done.is_set():
            self._size += 1
            self._group.start_soon(self._worker)

    async def _worker(self) -> None:
        try:
            await self._work(self._has_room)
        finally:
            self._size -= 1
            if self._size == 0:
                self._all_done.set()

    def _has_room(self) -> bool:
        return self._size <= self._in_flight.limit
