"""When the whole run waits, and until when. Pure.

Three things stop a run for long, and none of them is the quota per second:

 - The daily quota that the operator knows. It is never exceeded: calls under way count as if they were
   counted, and the next one leaves when the oldest has left the window, to the moment.
 - A cap that nobody knows. It answers with the same throttle as the quota per second, but comes after a
   silence too, when any bucket would have refilled. Then the calls in the window are taken for the cap; the
   run waits until one of them leaves it, and asks with a single call (probe) now and then whether that is
   true. A probe that is granted says that it is not.
 - The whole account is full (ServiceQuotaExceededException from every engagement): probes only.

Invariants: no call over a known quota, a probe neither; one probe at a time; nothing is learned from an
answer that came by no fault of the quota.
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
"""Seconds that a silence takes at least: at 50 calls per second a hiccup of the service is no cap."""

_EARLY: Final = 15.0
"""The first probe comes after this part of the interval: what looked like a cap is often a short trouble."""

_LONG: Final = 60.0
"""Seconds of `x-amz-retry-after` from which it speaks of more than a bucket."""

_TRUSTED: Final = 20
"""Granted calls after a park until a throttle is taken for the bucket's again."""


class Why(StrEnum):
    """Why a run is parked."""

    DAILY_QUOTA = "daily_quota"
    UNKNOWN_QUOTA = "unknown_quota"
    ACCOUNT_FULL = "account_full"


@dataclass(frozen=True, slots=True)
class Park:
    """The run waits. Times are seconds on the clock of the pacing.

    next_call: when it calls again, be it to ask. until: when it goes on by itself; None where nobody knows.
    """

    why: Why
    next_call: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to one call, given at `at`.

    silence: seconds since the call before it. probe: it asks whether a park is over. opening: it is the first
    one after a park that the window has ended.
    """

    at: float
    silence: float
    probe: bool
    opening: bool


@dataclass(frozen=True, slots=True)
class DailyLimits:
    """quota: calls in 24 hours that are never exceeded, or None; probe_interval: seconds between probes."""

    quota: int | None
    probe_interval: float


class Parking:
    """Counts calls by the day, and closes the gate where going on would be pointless or too much.

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
        """Calls that take from the day now, with those under way."""
        return self._window.count(now) + self._in_flight

    def earliest(self, now: float) -> float:
        """The time before which no call may leave; inf where an answer has to come first."""
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
        """What the run waits for, where that is more than an answer or a moment."""
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
        """A call leaves; `earliest` has allowed it."""
        self.earliest(now)  # it may have been asked a while ago, and the window has opened since
        # Who was calling before the first call of a run nobody knows: it comes after no silence.
        silence = 0.0 if self._last_at is None else now - self._last_at
        permit = Permit(now, silence, probe=self._closed is not None, opening=self._opened_by_window)
        self._opened_by_window = False
        self._in_flight += 1
        self._last_at = now
        self._probing = self._probing or permit.probe
        self._said_nothing = self._said_nothing and not permit.probe
        return permit

    def unused(self, permit: Permit) -> None:
        """The call was not made after all."""
        self._in_flight -= 1
        if permit.probe:
            self._probing = False

    def close(self, why: Why, now: float) -> None:
        """Stop all but probes: the first of them comes soon, the next in due time after each."""
        if self._closed is None:
            self._close(why, now + self._interval / _EARLY)
        elif self._said_nothing:  # the probe has, and no call that was on its way
            self._close(why, now + self._interval)

    def stay_closed(self, why: Why, probe_at: float, now: float) -> None:
        """Take up where another run was parked, by a clock that may have been wrong."""
        self._close(why, min(probe_at, now + LONGEST_RETRY_AFTER))

    def missed(self, now: float) -> None:
        """A call was made that nobody had counted."""
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
        """Learn how the call of a permit has ended; True where that has shown a cap.

        counted: whether the service may have counted it (not if it throttled the call or never saw it).
        rate: calls per second as of the last success, for what counts as a silence.
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
        """A probe was granted a moment ago, and what it has opened may not be over."""
        return self._granted_since_park < _TRUSTED

    def quiet_after_throttle(self, rate: float) -> float:
        """Seconds of silence that tell a cap from a bucket at once, where a cap is likely; else 0.0."""
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
            return  # a place in the window became free while the probe was under way
        if not granted:
            # It says nothing. One that has left takes from the day: the next one has to wait a little.
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
