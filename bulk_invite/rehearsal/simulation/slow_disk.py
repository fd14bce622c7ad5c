"""A disk on which commits take long, so that the calls which wait for them leave in bunches. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable


class SlowDisk:
    """Group commit, as in `Committer`: one commit at a time; what comes meanwhile shares the next one.

    least, most: seconds of a commit, uniform in between. random: uniform in [0, 1).
    """

    def __init__(self, least: float, most: float, random: Callable[[], float]) -> None:
        self._least = least
        self._most = most
        self._random = random
        self._begins = self._ends = -math.inf

    def commit(self, now: float) -> float:
        """Add an event to the next commit; return when that is on disk. Times must not decrease."""
        if now > self._begins:
            self._begins = max(now, self._ends)
            self._ends = self._begins + self._least + (self._most - self._least) * self._random()
        return self._ends
