"""The quotas of one account: calls per time and per rolling day. Pure; the time is an argument.

A call is granted only if both have room. Only granted calls count against the day; a refused call takes
`refusal_cost` tokens from the bucket. "From the first call" means from the first `take` or `restore` of the
account.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bulk_invite.rehearsal.emulator.buckets import (
    FixedWindow,
    Limit,
    RollingWindow,
    TokenBucket,
    TracedBucket,
    calls_per_window,
)
from bulk_invite.rehearsal.emulator.options import Options


class Quota:
    """Combines a limit per time and a daily limit; either may be None."""

    def __init__(self, limit: Limit | None, daily: int | None, day: float, refusal_cost: float = 0.0) -> None:
        self._limit = limit
        self._daily = daily
        self._day = RollingWindow(day)
        self._refusal_cost = refusal_cost
        self.granted_to_others = 0

    def take(self, now: float) -> float:
        """Grant a call and return 0.0, or refuse it and return the seconds until one would be granted.

        The seconds hold only if there is no other call in the meantime, also by the other program.
        """
        wait = self._grant(now)
        if wait > 0.0 and self._refusal_cost > 0.0 and self._limit is not None:
            self._limit.take(self._refusal_cost)
            wait = max(wait, self._limit.wait(now))
        return wait

    def restore(self, time: float) -> None:
        """Count a call granted by an earlier process at `time` against the day, not against the limit."""
        if self._limit is not None:
            self._limit.wait(time)
        if self._daily is not None:
            self._day.add(time)

    def _grant(self, now: float) -> float:
        wait = 0.0 if self._limit is None else self._limit.wait(now)
        if self._daily is not None:
            wait = max(wait, self._day.wait(self._daily, now))
        if wait == 0.0:
            if self._limit is not None:
                self._limit.take()
            if self._daily is not None:
                self._day.add(now)
        return wait


@dataclass(frozen=True, slots=True)
class OtherProgram:
    """Pauses for `off` seconds, then makes `rate` calls per second evenly for `on` seconds, and so on."""

    rate: float
    on: float = math.inf
    off: float = 0.0

    def call(self, number: int) -> float:
        """The time of call `number` (from 0), in seconds after the start.

        Calls are even over the time that it is on, so short periods make neither more nor fewer calls.
        """
        calling = (number + 1) / self.rate
        return calling + math.ceil(calling / self.on - 1e-9) * self.off


class SharedQuota(Quota):
    """A quota that another program of the account uses, too, from the first call on.

    Its calls are granted if there is room, and refused calls cost it nothing. Each of our calls first makes
    those of the other program that are due, so `granted_to_others` is as of our last call.
    """

    def __init__(
        self, limit: Limit | None, daily: int | None, day: float, refusal_cost: float, other: OtherProgram
    ) -> None:
        super().__init__(limit, daily, day, refusal_cost)
        self._other = other
        self._other_calls = 0
        self._began: float | None = None

    def take(self, now: float) -> float:
        self._let_other_call(now)
        return super().take(now)

    def restore(self, time: float) -> None:
        """Count a restored call. Calls of the other program, which no ledger has, are computed again."""
        self._let_other_call(time)
        if self._grant(time) > 0.0:
            super().restore(time)

    def _let_other_call(self, now: float) -> None:
        if self._began is None:
            self._began = now
        while (due := self._began + self._other.call(self._other_calls)) <= now:
            self._other_calls += 1
            if self._grant(due) == 0.0:
                self.granted_to_others += 1


def quota_of(options: Options) -> Quota:
    """A new quota of CreateEngagementInvitation for one account."""
    limit, daily, day, cost = _limit(options), options.daily_quota, options.day, options.refusal_cost
    if options.other_rate is None:
        return Quota(limit, daily, day, cost)
    other = OtherProgram(options.other_rate)
    if options.other_on is not None and options.other_off is not None:
        other = OtherProgram(options.other_rate, options.other_on, options.other_off)
    return SharedQuota(limit, daily, day, cost, other)


def allowance(options: Options, start: float, end: float) -> float:
    """Calls granted to an ideal sender from `start` to `end`, in seconds since its first call.

    The integral of the rate; for a fixed window, the calls per window in proportion. Ignores bursts, the
    daily quota and another program. Infinite without a rate.
    """
    if options.rate_trace is not None:
        return options.rate_trace.tokens(end) - options.rate_trace.tokens(start)
    if options.rate is None:
        return math.inf
    if options.fixed_window is not None:
        per_window = calls_per_window(options.rate, options.fixed_window)
        return per_window * (end - start) / options.fixed_window
    return options.rate * (end - start)


def _limit(options: Options) -> Limit | None:
    if options.rate_trace is not None:
        _, first_rate = options.rate_trace.steps[0]
        return TracedBucket(options.rate_trace, options.burst or max(1.0, first_rate))
    if options.rate is None:
        return None
    if options.fixed_window is not None:
        return FixedWindow(options.rate, options.fixed_window)
    return TokenBucket(options.rate, options.burst or max(1.0, options.rate))
