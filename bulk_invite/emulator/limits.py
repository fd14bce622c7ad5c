"""The quotas of one account: a token bucket per second and a rolling day. Pure; the time is an argument.

A call is granted only when the bucket and the day both have room, and only a granted call takes from them:
refused calls cost nothing. Times are seconds of one clock; where that clock is set back nothing is refilled.
"""

from __future__ import annotations

from collections import deque

# Epoch seconds as floats are 0.2 microseconds apart: a bucket may hold 0.999999 where paper says 1.
_ROUNDING = 1e-5


class TokenBucket:
    """At most `burst` at once and `rate` per second in the long run; full at the start."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0.0 when one is there now."""
        if self._filled_at is not None:
            elapsed = max(0.0, now - self._filled_at)
            self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._filled_at = now
        missing = 1 - self._tokens
        return 0.0 if missing <= _ROUNDING else missing / self._rate

    def take(self) -> None:
        """Take the token that `wait` has found; what it lacked by rounding stays owed."""
        self._tokens -= 1


class RollingWindow:
    """Counts what happened in the last `length` seconds; an event leaves exactly `length` after it came."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._times: deque[float] = deque()

    def count(self, now: float) -> int:
        # The same sum as in `wait`: another form of it might round to the other side.
        while self._times and self._times[0] + self._length <= now:
            self._times.popleft()
        return len(self._times)

    def wait(self, limit: int, now: float) -> float:
        """Seconds until fewer than `limit` are in the window; 0.0 when they are now."""
        count = self.count(now)
        if count < limit:
            return 0.0
        return self._times[count - limit] + self._length - now

    def add(self, now: float) -> None:
        self._times.append(now)


class Quota:
    """What one account may call: bucket (or None) and rolling day (limit or None), together."""

    def __init__(self, bucket: TokenBucket | None, daily: int | None, day: float) -> None:
        self._bucket = bucket
        self._daily = daily
        self._day = RollingWindow(day)

    def take(self, now: float) -> float:
        """Grant a call and return 0.0, or refuse it and return the seconds until one would be granted."""
        wait = 0.0 if self._bucket is None else self._bucket.wait(now)
        if self._daily is not None:
            wait = max(wait, self._day.wait(self._daily, now))
        if wait == 0.0:
            if self._bucket is not None:
                self._bucket.take()
            self.restore(now)
        return wait

    def restore(self, time: float) -> None:
        """Count a call that was granted at `time`, by an earlier process perhaps."""
        if self._daily is not None:
            self._day.add(time)
