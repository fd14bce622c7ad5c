"""The calls granted between throttles, which measure the quota. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_ENOUGH: Final = 20
"""Calls between two throttles that measure the quota; the error is one call in that many."""

_CLUSTER: Final = 3
_GAP: Final = 6
"""This many throttles, each fewer than this many calls after the last, show that the quota has dropped."""

_MEMORY: Final = 200
"""Calls over which measurements are averaged: with jitter, a single one is wrong by a percent."""

ANOTHER: Final = 1.15
"""Factor between two measurements from which they are of different quotas, and not averaged."""


@dataclass(slots=True)
class Sample:
    """Calls granted since a throttle, which left the bucket empty at `began`.

    filled: since a pause, which has filled the bucket to an unknown depth; then nothing can be measured.
    """

    began: float
    calls: int = 0
    filled: bool = False

    def rate(self, now: float) -> float | None:
        """Calls per second if the next throttle comes now; None if there are too few calls."""
        if self.filled or self.calls < _ENOUGH or now <= self.began:
            return None
        return self.calls / (now - self.began)

    def roughly(self, now: float) -> float:
        """Calls per second from however few: between none and one more would have been granted."""
        return (self.calls + 0.5) / (now - self.began) if now > self.began else math.inf

    def surplus(self, rate: float, now: float) -> float:
        """Calls granted beyond those that a bucket has gained at `rate` calls per second since `began`."""
        return self.calls - rate * (now - self.began)


class Estimate:
    """The quota as measured. rate: calls per second; None before the first measurement."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._calls = 0 if rate is None else _MEMORY // 2

    def add(self, measured: float, calls: int) -> None:
        """Average over the last calls, unless the quota is another one by now."""
        if self.rate is None or not 1 / ANOTHER < measured / self.rate < ANOTHER:
            self.rate, self._calls = measured, calls
        else:
            self._calls = min(_MEMORY, self._calls + calls)
            self.rate += (measured - self.rate) * min(1.0, calls / self._calls)


class Cluster:
    """Throttles in close succession."""

    def __init__(self) -> None:
        self._gaps: list[Sample] = []

    def passed(self) -> None:
        if self._gaps:
            self._gaps[-1].calls += 1

    def throttled(self, now: float) -> Sample | None:
        """Add a throttle; return the sample since the first one if it completes the cluster."""
        if self._gaps and self._gaps[-1].calls >= _GAP:
            self._gaps = []
        self._gaps.append(Sample(now))
        if len(self._gaps) < _CLUSTER:
            return None
        whole = Sample(self._gaps[0].began, sum(gap.calls for gap in self._gaps))
        self._gaps = []
        return whole
