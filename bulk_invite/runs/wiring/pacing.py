"""The pacing, made from the settings and from what the checkpoint remembers."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from bulk_invite.domain.clock import Clock
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.records import PacingState
from bulk_invite.pacing.forecast import Forecast, forecast
from bulk_invite.pacing.governor import Governor, Limits
from bulk_invite.pacing.parking import DailyLimits
from bulk_invite.pacing.rolling_window import RollingWindow
from bulk_invite.runs.settings.model import Settings

if TYPE_CHECKING:
    from bulk_invite.checkpoint.writer import CheckpointWriter

_FIRST_RATE: Final = 1.0
"""Calls per second at which --rate auto starts: the published quota of similar operations."""


def make_clock() -> Clock:
    """The clock of the machine. Where the system allows it, time in suspension counts."""
    has_boot_time = hasattr(time, "CLOCK_BOOTTIME")
    # Read a dozen times per call; `partial` saves a frame of Python each time.
    since_boot = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if has_boot_time else time.monotonic
    return Clock(time.time, since_boot)


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings set. Raises UsageError where they contradict each other."""
    quota = None if settings.daily_quota == "none" else settings.daily_quota
    rate = settings.max_rate if settings.rate == "auto" else settings.rate
    if settings.pace == "spread":
        if quota is None:
            raise UsageError(
                "--pace spread needs a daily quota to spread over the day, but --daily-quota is none.",
                hint="Set --daily-quota, or limit the calls per second with --max-rate.",
                topic="pacing",
            )
        rate = min(rate, quota / DAY)
    seek = settings.rate == "auto"
    return Limits(
        rate=rate,
        start=min(_FIRST_RATE, rate) if seek else rate,
        seek=seek,
        daily=DailyLimits(quota, settings.probe_interval),
    )


def make_governor(settings: Settings, checkpoint: CheckpointWriter, now: float) -> Governor:
    """The governor, with the calls of the last day and the pacing of the previous run."""
    limits = limits_of(settings)
    return Governor(limits, _window(settings, limits, checkpoint, now), checkpoint.load_pacing(), now)


def make_forecast(settings: Settings, checkpoint: CheckpointWriter, calls: int, now: float) -> Forecast:
    """How long so many calls take, at the rate measured last, or else at the allowed rate."""
    limits, memory = limits_of(settings), checkpoint.load_pacing()
    known = (limits.daily.quota, None if memory is None else memory.learned_quota)
    day = min((quota for quota in known if quota), default=None)
    window = _window(settings, limits, checkpoint, now)
    return forecast(calls, _likely_rate(limits, memory), day, window, now)


def _likely_rate(limits: Limits, memory: PacingState | None) -> float:
    if memory is None or memory.estimate is None:
        return limits.rate
    return min(limits.rate, memory.estimate)


def _window(settings: Settings, limits: Limits, checkpoint: CheckpointWriter, now: float) -> RollingWindow:
    window = RollingWindow(limits.daily.quota)
    # A call of a run that died was counted before its deadline, if it was.
    checkpoint.count_calls(now, grace=settings.call_timeout, into=window.add)
    return window
