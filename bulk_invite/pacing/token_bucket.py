"""A token bucket whose rate may change at any moment. Pure.

Tokens are counted at the last call and grow from then on at the current rate. So a new rate applies at once,
even to a call that is already waiting, and neither an increase nor a cut allows an extra call.
"""

from __future__ import annotations

import math
from typing import Final

_CATCH_UP: Final = 0.05
"""Seconds of lateness that the default burst compensates: timers have a resolution of about a millisecond, so
an even 1,000 calls per second needs some calls at once; up to 20 per second it means no burst at all."""


class TokenBucket:
    """burst: calls that may leave at once; None for the minimum that works. Rates are calls per second."""

    def __init__(self, burst: float | None) -> None:
        self._burst = burst
        self._tokens = 0.0
        self._at = -math.inf

    def earliest(self, rate: float) -> float:
        """When the next call may leave."""
        return self._at + max(0.0, 1.0 - self._tokens) / rate

    def take(self, now: float, rate: float) -> None:
        """Count a call that leaves."""
        size = self._burst if self._burst is not None else max(1.0, rate * _CATCH_UP)
        self._tokens = min(size, self._tokens + rate * (now - self._at)) - 1.0
        self._at = now

    def empty(self, now: float) -> None:
        """Allow no more than the rate from now on."""
        self._tokens, self._at = 0.0, now

    def forfeit(self) -> None:
        """Drop what was left at the last call: the service's bucket is empty."""
        self._tokens = min(self._tokens, 0.0)
