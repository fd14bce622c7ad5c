"""When the whole run waits, and until when. Pure.

Three things stop a run for long, apart from the quota per second:

- The daily quota given by the operator. It is never exceeded: calls in flight count, and the next one leaves
  at the moment when the oldest leaves the window.
- An unknown cap. It answers with the same throttle as the quota per second, but does so even after a silence
  in which any bucket would have refilled. Then the calls in the window count as the cap; the run waits until
  one of them leaves it, and tests now and then with a single call (probe) whether the cap still applies. A
  granted probe shows that it does not.
- The whole account is full (ServiceQuotaExceededException from every engagement): probes only.

Invariants: no call exceeds a known quota, not even a probe; one probe at a time; an answer that has nothing
to do with the quota teaches nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.rate_controller import LONGEST_RETRY_AFTER, SILENCE
from bulk_invite.pacing.rolling_window import RollingWindow

_LEAST_SILENCE: Final = 4.0
"""Minimum seconds of a silence: at 50 calls per second, a hiccup of the service is not a cap."""

_EARLY: Final = 15.0
"""The first probe comes after this share of the interval: what looks like a cap is often short-lived."""

_LONG: Final = 60.0
"""Seconds of `x-amz-retry-after` from which it means more than a bucket."""

_TRUSTED: Final = 20
"""Granted calls after a park until a throttle counts as the bucket's again."""


class Why(StrEnum):
    """Why a run is parked."""

    DAILY_QUOTA = "daily_quota"
    UNKNOWN_QUOTA = "unknown_quota"
    ACCOUNT_FULL = "account_full"


@dataclass(frozen=True, slots=True)
class Park:
    """The run waits. Times are seconds on the clock of the pacing.

    next_call: when it calls again, even if only to probe. until: when it resumes by itself; None if unknown.
    """

    why: Why
    next_call: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Permit:
    """The permission for one call, given at `at`.

    silence: seconds since the previous call. probe: it tests whether a park is over. opening: it is the first
    one after a park that ended with the window.
    """

    at: float
    silence: float
    probe: bool
    opening: bool


@dataclass(frozen=True, slots=True)
class DailyLimits:
    """quota: maximum calls in 24 hours, or None. probe_interval: seconds between probes."""

    quota: int | None
    probe_interval: float


class Parking:
    """Counts calls per day, and stops calling when more would be pointless or too many.

    learned: calls in 24 hours that seem to be the account's cap, or None.
    """

    def __init__(self, limits: DailyLimits, window: RollingWindow, learned: int | None = None) -> None:
        self.learned = learned
        self._quota = limits.quota
        self._interval = limits.probe_interval
        self._window = window
        self._in_flight = 0
        self._closed: Why | None = None
        self._probe_at = math.inf
        self._probing = False
        self._said_nothing = False
        self._not_before = -math.inf
        self._opened_by_window = False
        self._last_at: float | None = None
        self._granted_since_park = _TRUSTED

    def count(self, now: float) -> int:
        """Number of calls that count against the day now, including those in flight."""
        return self._window.count(now) + self._in_flight

    def earliest(self, now: float) -> float:
        """The time before which no call may leave; inf if an answer must arrive first."""
        until = -math.inf if self._quota is None else self._room_at(self._quota, now)
        if self._closed is None and self.learned is not None and self._window.count(now) >= self.learned:
            self._close(Why.UNKNOWN_QUOTA, now + self._interval)
        if self._closed is None:
            soft = -math.inf if self.learned is None else self._room_at(self.learned, now)
            return max(until, soft)
        opens_at = max(self._not_before, self._opens_at(now))
        if opens_at <= now:
            self._open()
            self._opened_by_window = True
            return until
        return max(until, math.inf if self._probing else min(self._probe_at, opens_at))

    def park(self, now: float) -> Park | None:
        """What the run waits for, if that takes more than an answer or a moment."""
        next_call = self.earliest(now)
        if self._closed is not None:
            opens_at = max(self._not_before, self._opens_at(now))
            next_call = next_call if next_call < math.inf else now
            return Park(self._closed, next_call, opens_at if opens_at < math.inf else None)
        if self._quota is not None and self._window.count(now) >= self._quota:
            frees_at = self._window.frees_at(self._quota, now)
            return Park(Why.DAILY_QUOTA, frees_at, frees_at)
        return None

    def leave(self, now: float) -> Permit:
        """Count a call that leaves; `earliest` has allowed it."""
        self.earliest(now)  # it may be late, and the window may have opened since
        # Calls before the first one of a run are unknown, so no silence precedes it.
        silence = 0.0 if self._last_at is None else now - self._last_at
        permit = Permit(now, silence, probe=self._closed is not None, opening=self._opened_by_window)
        self._opened_by_window = False
        self._in_flight += 1
        self._last_at = now
        self._probing = self._probing or permit.probe
        self._said_nothing = self._said_nothing and not permit.probe
        return permit

    def unused(self, permit: Permit) -> None:
        """Undo `leave`: the call was not made."""
        self._in_flight -= 1
        if permit.probe:
            self._probing = False

    def close(self, why: Why, now: float) -> None:
        """Stop all calls except probes: the first one soon, each further one after the interval."""
        if self._closed is None:
            self._close(why, now + self._interval / _EARLY)
        elif self._said_nothing:  # the probe has, and no call that was in flight
            self._close(why, now + self._interval)

    def reopen(self, why: Why) -> bool:
        """Allow calls again if they were stopped for this reason; whether they were."""
        was_closed = self._closed is why
        if was_closed:
            self._open()
        return was_closed

    def stay_closed(self, why: Why, probe_at: float, now: float) -> None:
        """Continue another run's park, by a clock that may have been wrong."""
        self._close(why, min(probe_at, now + LONGEST_RETRY_AFTER))

    def missed(self, now: float) -> None:
        """Count a call that had not been counted."""
        self._window.add(now)

    def observe(
        self,
        permit: Permit,
        signal: Signal,
        now: float,
        *,
        counted: bool,
        rate: float,
        retry_after: float | None = None,
    ) -> bool:
        """Learn how the call of a permit has ended; return whether that revealed a cap.

        counted: whether the service may have counted it (not if it throttled the call or never saw it). rate:
        calls per second as of the last success, which determines what counts as a silence.
        """
        self.unused(permit)
        if counted:
            self._window.add(now)
        if signal is Signal.THROTTLED:
            return self._throttled(permit, now, rate, min(retry_after or 0.0, LONGEST_RETRY_AFTER))
        if permit.probe:
            self._probe_ended(now, granted=signal is Signal.SUCCESS, counted=counted)
        elif signal is Signal.SUCCESS:
            self._granted_since_park += 1
        return False

    @property
    def is_in_question(self) -> bool:
        """A probe was granted a moment ago, and the cap may still apply."""
        return self._granted_since_park < _TRUSTED

    def quiet_after_throttle(self, rate: float) -> float:
        """Seconds of silence that distinguish a cap from a bucket at once, if a cap is likely; else 0.0."""
        return self._silence(rate) if self.is_in_question else 0.0

    def _throttled(self, permit: Permit, now: float, rate: float, retry_after: float) -> bool:
        if retry_after >= _LONG:
            self._not_before = max(self._not_before, now + retry_after)
        if permit.probe:
            self._probe_at = now + max(self._interval, retry_after)
        elif self._closed is None and (permit.silence >= self._silence(rate) or retry_after >= _LONG):
            self.learned = self._window.count(now)
            self._close(Why.UNKNOWN_QUOTA, now + max(self._interval / _EARLY, retry_after))
            return True
        return False

    def _probe_ended(self, now: float, *, granted: bool, counted: bool) -> None:
        if self._closed is None:
            return  # a slot in the window became free while the probe was in flight
        if not granted:
            # It reveals nothing. If it has left, it counts against the day, and the next one has to wait a
            # little.
            self._said_nothing = True
            self._probe_at = now + (self._interval / _EARLY if counted else 0.0)
            return
        if self._closed is Why.UNKNOWN_QUOTA:
            self.learned = None
            self._granted_since_park = 0
        self._open()

    def _close(self, why: Why, probe_at: float) -> None:
        self._closed = why
        self._probe_at = probe_at

    def _open(self) -> None:
        self._closed = None
        self._probing = False
        self._probe_at = math.inf

    def _opens_at(self, now: float) -> float:
        if self._closed is not Why.UNKNOWN_QUOTA or not self.learned:
            return math.inf
        return self._room_at(self.learned, now)

    def _room_at(self, limit: int, now: float) -> float:
        return self._window.frees_at(limit - self._in_flight, now)

    @staticmethod
    def _silence(rate: float) -> float:
        return max(_LEAST_SILENCE, SILENCE / rate)
