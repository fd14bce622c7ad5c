"""A token bucket whose rate may change while somebody waits for it. One waits at a time.

aiolimiter's leak cannot change on a live limiter, so ours is kept in seconds: it leaks one second per second,
a call costs 1/rate seconds and `burst` calls fit into it. Where the rate has changed much it begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import anyio
from aiolimiter import AsyncLimiter

_CATCH_UP: Final = 0.05
"""Seconds of lateness that the default burst makes up for: timers are about a millisecond coarse, so an even
1,000 calls per second needs room for some calls at once; up to 20 per second it means no burst at all."""

_WORTH_A_NEW_WAIT: Final = 1.05
"""Factor by which the rate has to change for the next call to wait by the new one. A rate that is sought may
double between two calls; where they leave by the old one, the source is taken to be what is slow."""


class Limiter:
    """Spaces calls. rate: calls per second to begin with; burst: calls at once, None for as few as work."""

    def __init__(self, rate: float, burst: float | None, now: Callable[[], float]) -> None:
        self._burst = burst
        self._now = now
        self._bucket, self._is_new = AsyncLimiter(1.0, 1.0), False
        # When the bucket was as spent as one can be, at the last call for instance.
        self._spent_at = -math.inf
        # Who waits for the bucket, and the rate by which he does or the last one did.
        self._waiting: anyio.CancelScope | None = None
        self._rate = rate

    async def wait(self, rate: float) -> bool:
        """Wait for the share of one call, and take it; False where another rate has come meanwhile."""
        burst = self._burst if self._burst is not None else max(1.0, rate * _CATCH_UP)
        self._bucket.max_rate = burst / rate
        if self._is_new:
            self._is_new = False
            spent = burst / rate - (self._now() - self._spent_at)
            if spent > 0:
                await self._bucket.acquire(spent)  # there is room for it: nobody waits here
        with anyio.CancelScope() as scope:
            self._waiting, self._rate = scope, rate
            try:
                await self._bucket.acquire(1.0 / rate)
            finally:
                self._waiting = None
        return not scope.cancelled_caught

    def spent(self) -> None:
        """A call leaves now, or is to count as one: what there was to take is taken."""
        self._spent_at = self._now()

    def follow(self, rate: float) -> None:
        """Let who waits, and who comes next, go by the rate of now, if that is worth it."""
        change = rate / self._rate
        # Where somebody waits, and at a throttle, the last call has taken what there was.
        if change * _WORTH_A_NEW_WAIT < 1 or (self._waiting is not None and change > _WORTH_A_NEW_WAIT):
            self.begin_anew(rate)

    def begin_anew(self, rate: float) -> None:
        """Limit by another rate: what was spent is counted in seconds of the old one.

        A slow call has spent minutes, and a fast one next to nothing.
        """
        self._bucket, self._is_new = AsyncLimiter(1.0, 1.0), True
        self._rate = rate
        if self._waiting is not None:
            self._waiting.cancel()
