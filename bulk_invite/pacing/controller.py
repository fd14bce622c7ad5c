"""The rate at which calls leave, decided from what comes back. Pure: time is an argument.

Theory: additive increase, multiplicative decrease. A throttle says that the bucket over there is empty,
so the rate is cut and nothing is sent for a moment; without throttles it climbs back towards its ceiling.

Invariants: never above `ceiling`; one cut per round trip, because throttles of calls that left before the
last cut speak of the old rate; only throttles cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulk_invite.outcome import Signal

_CUT: Final = 0.7
"""Factor on the rate at a throttle; gentler than TCP's half, because a token bucket has no queue to drain."""

_CLIMB: Final = 0.02
"""Share of itself by which the rate grows per second without a throttle: from a cut back in some 18 s."""

_DOUBLING: Final = 1.0
"""Seconds in which the rate doubles while no throttle was ever seen and the rate is still sought."""

_LONGEST_HOLD: Final = 8.0
"""Seconds of silence after a throttle, at most (rate-limited servers that charge refused calls need it)."""

_LONGEST_RETRY_AFTER: Final = 900.0
"""Seconds; a server that names more is asked again all the same."""

_FLOOR: Final = 0.02
"""Calls per second, at least: a rate of nearly nothing would need hours to see that the quota is back."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """`start` and `ceiling` in calls per second; equal when the operator named a fixed rate."""

    start: float
    ceiling: float


class RateController:
    """Observes the signal of every attempt and says how fast and how soon the next one may leave."""

    def __init__(self, limits: RateLimits) -> None:
        self._ceiling = limits.ceiling
        self._rate = min(limits.start, limits.ceiling)
        self._seeking = True
        self._grown_at: float | None = None
        self._cut_at = float("-inf")
        self._throttled_in_a_row = 0
        self._silent_until = float("-inf")

    def rate(self, now: float) -> float:
        """Calls per second at `now` (seconds on a clock that never jumps)."""
        self._grow(now)
        return self._rate

    def earliest(self) -> float:
        """The time before which no call may leave."""
        return self._silent_until

    def observe(
        self, signal: Signal, *, sent_at: float, answered_at: float, retry_after: float | None = None
    ) -> None:
        """Learn from one attempt; `retry_after` (seconds) is a floor for the next call."""
        if signal is Signal.SUCCESS and sent_at > self._cut_at:
            self._throttled_in_a_row = 0
        if signal is not Signal.THROTTLED:
            return
        if retry_after is not None:
            self._silent_until = max(self._silent_until, answered_at + min(retry_after, _LONGEST_RETRY_AFTER))
        if sent_at <= self._cut_at:
            return
        self._cut(answered_at)

    def _cut(self, now: float) -> None:
        self._grow(now)
        self._cut_at = now
        self._seeking = False
        # Not above what it was: the operator may have asked for less than the floor.
        self._rate = max(min(_FLOOR, self._rate), self._rate * _CUT)
        hold = min(_LONGEST_HOLD, 2.0 ** min(self._throttled_in_a_row, 60) / self._rate)
        self._throttled_in_a_row += 1
        self._silent_until = max(self._silent_until, now + hold)

    def _grow(self, now: float) -> None:
        """Growth is by time, not by successes: at one call a second it must not take an hour."""
        since = max(self._grown_at if self._grown_at is not None else now, self._silent_until)
        if now > since:
            elapsed = now - since
            factor = 2.0 ** min(elapsed / _DOUBLING, 60) if self._seeking else (1 + _CLIMB) ** elapsed
            self._rate = min(self._ceiling, self._rate * factor)
        self._grown_at = max(now, since)
