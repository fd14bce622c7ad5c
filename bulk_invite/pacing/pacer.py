"""Waiting for the right to call: one at a time, retries first, at the rate the controller decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import structlog
from aiolimiter import AsyncLimiter

from bulk_invite.outcome import Signal
from bulk_invite.pacing.controller import RateController

_log = structlog.get_logger()

_CATCH_UP: Final = 0.05
"""Seconds of lateness that the default burst makes up for: timers are about a millisecond coarse, so an even
1,000 calls per second needs room for some calls at once; up to 20 per second it means no burst at all."""


class Pacer:
    """Permits to call, spaced by a token bucket whose rate follows the controller.

    The limiter is kept in seconds: it leaks one second per second, a call costs 1/rate seconds and
    `burst` calls fit into it. So the rate can change with every call while what was spent stays spent;
    aiolimiter's leak itself cannot change on a live limiter.
    """

    def __init__(
        self,
        controller: RateController,
        *,
        burst: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._controller = controller
        self._burst = burst
        self._clock = clock
        self._limiter = AsyncLimiter(1.0, 1.0)
        self._turn = _Turn()

    def now(self) -> float:
        """Seconds on the clock that `observe` takes its times from."""
        return self._clock()

    async def permit(self, *, retry: bool, unless: Callable[[], bool] = lambda: False) -> None:
        """Return when a call may leave; a retry goes before every new row that waits.

        unless: asked when its turn has come; true when no call is wanted any more, and nothing is spent.
        """
        await self._turn.take(urgent=retry)
        try:
            if unless():
                return
            await self._acquire()
            while self._controller.earliest() > self._clock():  # a throttle came while we waited
                await self._acquire()
        finally:
            self._turn.pass_on()

    async def _acquire(self) -> None:
        if (wait := self._controller.earliest() - self._clock()) > 0:
            await anyio.sleep(wait)
        rate = self._controller.rate(self._clock())
        burst = self._burst if self._burst is not None else max(1.0, rate * _CATCH_UP)
        self._limiter.max_rate = burst / rate
        await self._limiter.acquire(1.0 / rate)

    def observe(self, signal: Signal, *, sent_at: float, retry_after: float | None) -> None:
        """Tell the controller how an attempt that left at `sent_at` has just ended."""
        now = self._clock()
        rate, earliest = self._controller.rate(now), self._controller.earliest()
        self._controller.observe(signal, sent_at=sent_at, answered_at=now, retry_after=retry_after)
        if self._controller.rate(now) < rate or self._controller.earliest() > earliest:
            _log.info(
                "pacing.slowed",
                rate=round(self._controller.rate(now), 3),
                next_call_s=round(max(0.0, self._controller.earliest() - now), 1),
            )


class _Turn:
    """A lock with two queues: who waits in the urgent one goes first."""

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[anyio.Event] = deque()
        self._others: deque[anyio.Event] = deque()

    async def take(self, *, urgent: bool) -> None:
        if not self._taken:
            self._taken = True
            return
        queue = self._urgent if urgent else self._others
        event = anyio.Event()
        queue.append(event)
        try:
            await event.wait()
        except BaseException:
            # Cancelled while waiting: leave the queue, or hand on the turn if it came in the same instant.
            if event.is_set():
                self.pass_on()
            else:
                queue.remove(event)
            raise

    def pass_on(self) -> None:
        queue = self._urgent or self._others
        if queue:
            queue.popleft().set()  # the lock stays taken, by the one who is woken
        else:
            self._taken = False
