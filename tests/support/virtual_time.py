"""An event loop whose clock jumps to the next timer, so that a test of hours takes no time.

Threads live in real time: while one works under a limiter that the loop knows, the clock does not jump.
Sockets and subprocesses do not belong here.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable

import anyio

_STEP = 1e-6
"""Seconds that every turn of the loop takes: aiolimiter may wait for less than the clock can resolve."""

_DEADLOCK = 2.0
"""Real seconds without a timer, a thread or anything ready, after which nothing can come any more."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`granularity`: seconds between two ticks of its clock, by which timers are late, as under uvloop."""

    def __init__(self, granularity: float = 0.0) -> None:
        self._now = 0.0
        self._granularity = granularity
        self._limiters: list[anyio.CapacityLimiter] = []
        super().__init__(_Selector(self._pass_time, self._has_threads_at_work))

    def time(self) -> float:
        return self._now

    def wait_for_threads_of(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiters.append(limiter)

    def _has_threads_at_work(self) -> bool:
        return any(limiter.borrowed_tokens for limiter in self._limiters)

    def _pass_time(self, seconds: float) -> None:
        later = self._now + max(seconds, _STEP)
        self._now = math.ceil(later / self._granularity) * self._granularity if self._granularity else later


class _Selector(selectors.DefaultSelector):
    def __init__(self, pass_time: Callable[[float], None], has_threads_at_work: Callable[[], bool]) -> None:
        super().__init__()
        self._pass_time = pass_time
        self._has_threads_at_work = has_threads_at_work

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            return ready
        if timeout is None or (timeout > 0 and self._has_threads_at_work()):
            if ready := super().select(_DEADLOCK if timeout is None else timeout):
                return ready
            if timeout is None and not self._has_threads_at_work():
                raise RuntimeError("Deadlock: every task waits; neither timer nor thread will wake one.")
        self._pass_time(timeout or 0.0)
        return []


VIRTUAL_TIME = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""For `anyio_backend`."""


def running_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop
