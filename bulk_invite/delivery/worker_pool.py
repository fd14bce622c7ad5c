"""Workers, as many as rows may be in flight, also when that limit changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

MAX_IN_FLIGHT: Final = 1000
"""The highest limit of rows in flight: each takes a connection of its own."""


class InFlight:
    """The limit, from 1 to `MAX_IN_FLIGHT`; it outlives the pools that keep to it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._notify: Callable[[], None] = lambda: None

    def change(self, limit: int) -> None:
        """Takes effect at once where it is higher, else as rows come to their end."""
        self.limit = limit
        self._notify()

    def on_change(self, notify: Callable[[], None]) -> None:
        """The pool at work now: every change calls it."""
        self._notify = notify


class WorkerPool:
    """Workers that take one row after the other, until none finds any more.

    work: takes rows as long as the function that it gets says there is room for its worker.
    most: workers that could be of use.
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
        # A worker that finds no more rows is gone for good; once all are gone, none starts.
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
