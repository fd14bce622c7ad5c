"""The calls of the last 24 hours, by the exact time of each. Pure.

A call leaves the window a day after its answer, not after it was sent: the service counted it no later than
that. So a limit kept here is also kept by the service's count, provided both clocks run equally fast. Times
are seconds on a clock that never jumps; there are no calendar days, midnights and time zones.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from bulk_invite.domain.durations import DAY

_EXACT: Final = 50_000
"""Number of calls up to which each is stored individually; beyond that, some are grouped."""

_COARSE: Final = 5.0
"""Seconds whose calls are grouped then; the group leaves with its last call."""


class RollingWindow:
    """Memory is bounded: by `_EXACT` times or by the steps of `_COARSE` in a day.

    most: maximum number of calls in it, None if unknown.
    """

    def __init__(self, most: int | None) -> None:
        self._resolution = 0.0 if most is not None and most <= _EXACT else _COARSE
        self._counts: deque[list[float]] = deque()  # [time of the last of them, number]
        self._total = 0

    def add(self, time: float) -> None:
        """Count a call that was answered at `time`, or with the last one if that was later."""
        self._total += 1
        if self._counts:
            time = max(time, self._counts[-1][0])
        if self._counts and self._resolution:
            last = self._counts[-1]
            if math.floor(last[0] / self._resolution) == math.floor(time / self._resolution):
                last[0] = time
                last[1] += 1
                return
        self._counts.append([time, 1])
        if not self._resolution and len(self._counts) > _EXACT:
            self._take_together()

    def _take_together(self) -> None:
        """There are more calls than expected, for example because a quota was lowered: group them by step."""
        self._resolution = _COARSE
        exact, self._counts, self._total = self._counts, deque(), 0
        for time, _ in exact:
            self.add(time)

    def count(self, now: float) -> int:
        while self._counts and self._counts[0][0] + DAY <= now:
            _, count = self._counts.popleft()
            self._total -= int(count)
        return self._total

    def frees_at(self, limit: int, now: float) -> float:
        """When fewer than `limit` calls are in the window: `now` if they are, inf for a limit of 0."""
        over = self.count(now) - limit
        if over < 0:
            return now
        if limit <= 0:
            return math.inf
        return self.leaves_at(over)

    def leaves_at(self, index: int) -> float:
        """When the call number `index` (0 is the oldest) leaves the window."""
        sums = accumulate(int(count) for _, count in self._counts)
        return next(time for (time, _), reached in zip(self.leaving(), sums, strict=True) if reached > index)

    def leaving(self) -> Iterator[tuple[float, int]]:
        """When calls leave the window, and how many, oldest first."""
        return ((time + DAY, int(count)) for time, count in self._counts)
