"""A token bucket whose rate may change at any moment. Pure.

Tokens are counted at the last call and grow from then on at the rate of now. So a new rate holds at once,
also for a call that waits already, and neither a rise nor a cut gives a call away.
"""

from __future__ import annotations

import math
from typing import Final

_CATCH_UP: Final = 0.05
"""Seconds of lateness that the default burst makes up for: timers are about a millisecond coarse, so an even
1,000 calls per second needs room for some calls at once; up to 20 per second it means no burst at all."""


class TokenBucket:
    """burst: calls that may leave at once; None for as few as work. Rates in calls per second."""

    def __init__(self, burst: float | None) -> None:
        self._burst = burst
        self._tokens = 0.0
        self._at = -math.inf

    def earliest(self, rate: float) -> float:
        """When the next call may leave."""
        return self._at + max(0.0, 1.0 - self._tokens) / rate

    def take(self, now: float, rate: float) -> None:
        """A call leaves."""
        size = self._burst if self._burst is not None else max(1.0, rate * _CATCH_UP)
        self._tokens = min(size, self._tokens + rate * (now - self._at)) - 1.0
        self._at = now

    def empty(self, now: float) -> None:
        """Let no more leave than the rate allows from now on."""
        self._tokens, self._at = 0.0, now

    def forfeit(self) -> None:
        """Give up what was left at the last call: the bucket of the service is empty."""
        self._tokens = min(self._tokens, 0.0)
