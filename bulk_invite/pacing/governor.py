"""When the next call may leave, all limits considered. Pure: the same object runs live and in simulations.

Two parts decide: the rate controller per second, parking per day. `PacingState` survives the process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bulk_invite.domain.durations import HOUR
from bulk_invite.domain.records import PacingState
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.forecast import forecast
from bulk_invite.pacing.parking import DailyLimits, Park, Parking, Permit, Why
from bulk_invite.pacing.rate_controller import REUSED, Phase, RateController, RateLimits
from bulk_invite.pacing.rolling_window import RollingWindow

_NEAR: Final = 0.5
"""Share of the measured quota from which a saved rate counts as found, not as ordered by the operator."""

_REMEMBERED_FOR: Final = HOUR
"""Seconds for which a saved rate is trusted, even if the clock was set back slightly since."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's limits. rate: maximum calls per second. start: the rate to begin with.

    seek: whether to search for the rate from `start` on; otherwise it counts as right until a throttle
    arrives.
    """

    rate: float
    start: float
    seek: bool
    daily: DailyLimits


class Governor:
    """Asked before every call, and informed of every answer.

    Times are seconds on one clock that never jumps.
    """

    def __init__(self, limits: Limits, window: RollingWindow, memory: PacingState | None, now: float) -> None:
        self._limits = limits
        self._window = window
        self._controller = _controller(limits, memory, now)
        self._parking = _parking(limits, window, memory, now)
        self._silent_until = float("-inf")
        # The rate before a cap was found, when that was, and the calls granted since.
        self._good_rate = self._controller.rate
        self._capped_at, self._granted = now, 0

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self._controller.rate

    @property
    def estimate(self) -> float | None:
        """The measured quota in calls per second; None if no throttle has revealed it."""
        return self._controller.estimate

    @property
    def ceiling(self) -> float:
        """Maximum calls per second."""
        return self._limits.rate

    def limit(self, rate: float, *, seek: bool) -> None:
        """Set another maximum rate; see `RateController.limit`."""
        self._limits = replace(self._limits, rate=rate, seek=seek)
        self._controller.limit(rate, seek=seek)
        self._good_rate = min(self._good_rate, rate)

    def earliest(self, now: float) -> float:
        """The time before which no call may leave; inf if an answer must arrive first."""
        return max(self._controller.earliest(), self._silent_until, self._parking.earliest(now))

    def park(self, now: float) -> Park | None:
        """What the run waits for, if that takes more than a moment."""
        return self._parking.park(now)

    def leave(self, now: float) -> Permit:
        """Count a call that leaves; `earliest` has allowed it."""
        permit = self._parking.leave(now)
        if permit.opening and self._controller.rate < REUSED * self._good_rate:
            self._controller.restore(self._good_rate)
        return permit

    def unused(self, permit: Permit) -> None:
        """Undo `leave`: the call was not made."""
        self._parking.unused(permit)

    def missed(self, now: float) -> None:
        """Count a call that had not been counted."""
        self._parking.missed(now)

    def close(self, why: Why, now: float) -> None:
        """Stop all calls except probes."""
        self._parking.close(why, now)

    def reopen(self, why: Why) -> bool:
        """Allow calls again if they were stopped for this reason; whether they were."""
        return self._parking.reopen(why)

    def observe(
        self,
        permit: Permit,
        signal: Signal,
        *,
        sent_at: float,
        answered_at: float,
        counted: bool,
        retry_after: float | None = None,
    ) -> None:
        """Learn from one attempt; for the arguments see `RateController` and `Parking`."""
        rate, in_question = self._controller.granted_rate, self._parking.is_in_question
        if not permit.probe:  # a probe tests the day, and must not move the rate
            self._controller.observe(
                signal,
                sent_at=sent_at,
                answered_at=answered_at,
                silence=permit.silence,
                retry_after=retry_after,
            )
            if counted and signal is Signal.IGNORED:
                self._controller.passed()
        closed = self._parking.observe(
            permit, signal, answered_at, counted=counted, rate=rate, retry_after=retry_after
        )
        self._granted += signal is Signal.SUCCESS
        if closed:
            self._take_back(rate, answered_at, in_question=in_question)
        if signal is Signal.THROTTLED:
            quiet = self._parking.quiet_after_throttle(rate)
            self._silent_until = max(self._silent_until, answered_at + quiet)

    def _take_back(self, rate: float, now: float, *, in_question: bool) -> None:
        """A cap was found: undo what its throttles did to the rate, unless it is found once more.

        If it is, the bucket may have become very slow: the calls granted since show how slow.
        """
        if in_question:
            self._controller.seek_from((self._granted + 0.5) / max(1.0, now - self._capped_at))
        else:
            self._good_rate = rate
            self._controller.restore(rate)
        self._capped_at, self._granted = now, 0

    @property
    def day(self) -> int | None:
        """Calls allowed in 24 hours, as far as is known: the operator's quota or the learned one."""
        return min(
            (quota for quota in (self._limits.daily.quota, self._parking.learned) if quota), default=None
        )

    def time_left(self, calls: int, rate: float, now: float) -> float | None:
        """Seconds until that many more calls have left, at `rate` and within the day; None if unknown."""
        park = self._parking.park(now)
        if park is not None and park.until is None:
            return None
        return forecast(calls, rate, self.day, self._window, now).seconds

    def memory(self, now: float) -> PacingState:
        """The state for the next run."""
        park = self._parking.park(now)
        return PacingState(
            at=now,
            rate=self._controller.aim,
            estimate=self.estimate,
            learned_quota=self._parking.learned,
            daily_quota=self._limits.daily.quota,
            counted=self._parking.count(now),
            parked="" if park is None else park.why,
            next_call=None if park is None else park.next_call,
            parked_until=None if park is None else park.until,
        )


def _controller(limits: Limits, memory: PacingState | None, now: float) -> RateController:
    phase = Phase.START if limits.seek else Phase.TRACK
    if memory is None or abs(now - memory.at) >= _REMEMBERED_FOR:
        return RateController(RateLimits(limits.start, limits.rate), phase)
    if memory.estimate is None:  # nothing has limited that run
        start = max(limits.start, REUSED * memory.rate)
        return RateController(RateLimits(start, limits.rate), phase, known=memory.rate)
    # Far below the measured quota: that run was ordered to be slow, and this one need not approach it slowly.
    if memory.rate >= _NEAR * min(memory.estimate, limits.rate):
        phase = Phase.TRACK
    near = RateLimits(REUSED * memory.rate, limits.rate)
    return RateController(near, phase, known=memory.rate, estimate=memory.estimate)


def _parking(limits: Limits, window: RollingWindow, memory: PacingState | None, now: float) -> Parking:
    if memory is None:
        return Parking(limits.daily, window)
    parking = Parking(limits.daily, window, memory.learned_quota)
    if memory.parked in {Why.UNKNOWN_QUOTA, Why.ACCOUNT_FULL} and memory.next_call is not None:
        parking.stay_closed(Why(memory.parked), memory.next_call, now)
    return parking
