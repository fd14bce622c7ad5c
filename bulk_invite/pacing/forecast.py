"""How long a number of calls takes, by the second and by the day. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bulk_invite.pacing.window import DAY, RollingWindow


@dataclass(frozen=True, slots=True)
class Forecast:
    """calls at `rate` per second and `daily_quota` in 24 hours (None: no limit) take `seconds`.

    days: quota days that this touches, the last one in part.
    """

    calls: int
    rate: float
    daily_quota: int | None
    seconds: float

    @property
    def days(self) -> int:
        return max(1, math.ceil(self.seconds / DAY))


def forecast(calls: int, rate: float, daily_quota: int | None, window: RollingWindow, now: float) -> Forecast:
    """When the last of `calls` leaves: at `rate`, and never more than `daily_quota` in any 24 hours."""
    return Forecast(calls, rate, daily_quota, _seconds(calls, rate, daily_quota, window, now))


def _seconds(calls: int, rate: float, quota: int | None, window: RollingWindow, now: float) -> float:
    if calls <= 0:
        return 0.0
    by_rate = calls / rate
    if quota is None:
        return by_rate
    # A place in the window serves one call after the other, a day apart: the last call comes so many days
    # after the first call that had its place.
    days, place = divmod(calls - 1, quota)
    free = quota - window.count(now)
    first = 0.0 if place < free else window.leaves_at(place - free) - now
    return max(by_rate, days * DAY + max(first, (place + 1) / rate))
