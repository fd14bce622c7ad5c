"""The share of recent calls that were throttled. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from bulk_invite.domain.durations import HOUR

_STEP: Final = 5.0
"""Seconds per step: an hour has 720 of them, whatever the rate."""


class ThrottleShare:
    """Counts of an hour, in steps."""

    def __init__(self) -> None:
        self._steps: deque[list[float]] = deque()  # [begin, calls, throttled]

    def add(self, now: float, *, throttled: bool) -> None:
        """Count a call that has ended."""
        while self._steps and self._steps[0][0] <= now - HOUR - _STEP:
            self._steps.popleft()
        if not self._steps or now >= self._steps[-1][0] + _STEP:
            self._steps.append([now, 0, 0])
        self._steps[-1][1] += 1
        self._steps[-1][2] += throttled

    def throttled(self, now: float, over: float) -> float | None:
        """The share in the last `over` seconds; None if there were no calls."""
        recent = [step for step in self._steps if step[0] > now - over]
        calls = sum(step[1] for step in recent)
        return sum(step[2] for step in recent) / calls if calls else None
