"""Token buckets and windows. Pure; the time is an argument.

Times are seconds of one clock; if it is set back, nothing is refilled. `wait` checks for room and `take` uses
it, because the caller may have to check another limit in between.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Protocol

from bulk_invite.rehearsal.emulator.rate_trace import RateTrace

# Epoch seconds as floats are 0.2 microseconds apart: a bucket may hold 0.999999 instead of 1.
_ROUNDING: Final = 1e-5
# Likewise, a call may seem to arrive this much before the window that it waited for.
_TICK: Final = 1e-6


class Limit(Protocol):
    """A limit of calls per time."""

    def wait(self, now: float) -> float:
        """Seconds until there is room for a call; 0.0 if there is room now."""

    def take(self, tokens: float = 1.0) -> None:
        """Use the room found by `wait`, or take `tokens` for a refused call."""


class TokenBucket:
    """At most `burst` at once and `rate` per second on average; full at the start."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def wait(self, now: float) -> float:
        if self._filled_at is not None:
            elapsed = max(0.0, now - self._filled_at)
            self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._filled_at = now
        missing = 1 - self._tokens
        return 0.0 if missing <= _ROUNDING else missing / self._rate

    def take(self, tokens: float = 1.0) -> None:
        """May make the level negative: by rounding for granted calls, by up to a burst for refused ones."""
        self._tokens = max(self._tokens - tokens, -self._burst)


class TracedBucket:
    """A token bucket whose rate follows a trace from the first `wait` on.

    It is a bucket of one token per second on a clock that runs at the rate of the trace, so a refill across a
    change of the rate is exact.
    """

    def __init__(self, trace: RateTrace, burst: float) -> None:
        self._trace = trace
        self._bucket = TokenBucket(1.0, burst)
        self._began: float | None = None

    def wait(self, now: float) -> float:
        if self._began is None:
            self._began = now
        time = now - self._began
        tokens = self._trace.tokens(time)
        missing = self._bucket.wait(tokens)
        return 0.0 if missing == 0.0 else self._trace.time(tokens + missing) - time

    def take(self, tokens: float = 1.0) -> None:
        self._bucket.take(tokens)


def calls_per_window(rate: float, length: float) -> int:
    # A product such as 0.29 * 100 may be slightly less than 29.
    return max(1, math.floor(rate * length + 1e-9))


class FixedWindow:
    """At most rate * length calls in each window, which starts at a multiple of `length` on the clock."""

    def __init__(self, rate: float, length: float) -> None:
        self._limit = calls_per_window(rate, length)
        self._length = length
        self._taken = 0.0
        self._end = -math.inf

    def wait(self, now: float) -> float:
        moment = now + _TICK
        if moment >= self._end:
            self._end = (moment // self._length + 1) * self._length
            self._taken = 0.0
        return 0.0 if self._taken < self._limit else self._end - now

    def take(self, tokens: float = 1.0) -> None:
        self._taken += tokens


class RollingWindow:
    """Counts the events of the last `length` seconds; each expires exactly `length` after it was added."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._times: deque[float] = deque()

    def count(self, now: float) -> int:
        # The same sum as in `wait`: another form might round differently.
        while self._times and self._times[0] + self._length <= now:
            self._times.popleft()
        return len(self._times)

    def wait(self, limit: int, now: float) -> float:
        """Seconds until fewer than `limit` are in the window; 0.0 if that is so now."""
        count = self.count(now)
        if count < limit:
            return 0.0
        return self._times[count - limit] + self._length - now

    def add(self, now: float) -> None:
        self._times.append(now)
