"""What was granted between two throttles, which is the quota. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_ENOUGH: Final = 20
"""Calls between two throttles that measure the quota; the error is one call in that many."""

_CLUSTER: Final = 3
_GAP: Final = 6
"""So many throttles, each fewer than so many calls after the last, say that the quota has dropped."""


@dataclass(slots=True)
class Sample:
    """Calls that were let in since a throttle, which left the bucket empty at `began`."""

    began: float
    calls: int = 0

    def rate(self, now: float) -> float | None:
        """Calls per second until another throttle now; None where there are too few to tell."""
        if self.calls < _ENOUGH or now <= self.began:
            return None
        return self.calls / (now - self.began)

    def roughly(self, now: float) -> float:
        """Calls per second, however few there are: between none and one more would have been granted."""
        return (self.calls + 0.5) / (now - self.began) if now > self.began else math.inf


class Cluster:
    """Throttles that come close upon each other."""

    def __init__(self) -> None:
        self._gaps: list[Sample] = []

    def passed(self) -> None:
        if self._gaps:
            self._gaps[-1].calls += 1

    def throttled(self, now: float) -> Sample | None:
        """Add a throttle; where the cluster is complete by it, the sample from its first one on."""
        if self._gaps and self._gaps[-1].calls >= _GAP:
            self._gaps = []
        self._gaps.append(Sample(now))
        if len(self._gaps) < _CLUSTER:
            return None
        whole = Sample(self._gaps[0].began, sum(gap.calls for gap in self._gaps))
        self._gaps = []
        return whole
