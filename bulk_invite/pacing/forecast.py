"""How long a number of calls takes, given the rate and the daily quota. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bulk_invite.domain.durations import DAY
from bulk_invite.pacing.rolling_window import RollingWindow


@dataclass(frozen=True, slots=True)
class Forecast:
    """calls at `rate` per second and `daily_quota` in 24 hours (None: no limit) take `seconds`.

    counted: calls of the last 24 hours. days: number of quota days, the last one in part.
    """

    calls: int
    rate: float
    daily_quota: int | None
    seconds: float
    counted: int

    @property
    def days(self) -> int:
        return max(1, math.ceil(self.seconds / DAY))


def forecast(calls: int, rate: float, daily_quota: int | None, window: RollingWindow, now: float) -> Forecast:
    """When the last of `calls` leaves: at `rate`, and never more than `daily_quota` in any 24 hours."""
    seconds = _seconds(calls, rate, daily_quota, window, now)
    return Forecast(calls, rate, daily_quota, seconds, window.count(now))


def _seconds(calls: int, rate: float, quota: int | None, window: RollingWindow, now: float) -> float:
    if calls <= 0:
        return 0.0
    by_rate = calls / rate
    if quota is None:
        return by_rate
    # A slot in the window serves one call after the other, a day apart: the last call leaves that many days
    # after the first one in its slot. On the second day, the first day's calls may still be leaving the
    # window.
    days, place = divmod(calls - 1, quota)
    first = _first_day(place + 1, rate, quota, window, now)
    if days == 0:
        return max(by_rate, first)
    full = _first_day(quota, rate, quota, window, now)
    second = max(first + DAY, full + (place + 1) / rate)
    return max((days - 1) * DAY + second, full + (calls - quota) / rate)


def _first_day(calls: int, rate: float, quota: int, window: RollingWindow, now: float) -> float:
    """The same for calls that each find a slot, free now or freed by a call that leaves the window."""
    free = max(0, quota - window.count(now))
    seconds = min(calls, free) / rate
    # If the quota was lowered, the slots of the oldest calls no longer count.
    surplus, calls = max(0, window.count(now) - quota), calls - free
    for leaves, count in window.leaving():
        gone, surplus = min(count, surplus), max(0, surplus - count)
        served = min(count - gone, calls)
        if served > 0:
            seconds = max(seconds + 1 / rate, leaves - now) + (served - 1) / rate
            calls -= served
        if calls <= 0:
            break
    return seconds
