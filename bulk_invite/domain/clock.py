"""Time that does not jump, on a scale that people can read.

The rolling day must not shrink or stretch when somebody sets the clock. So the pacing counts on a clock that
only moves forward, one second per second, and is called epoch seconds for what the wall clock said when the
program began. Another run begins with the wall clock of its own day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """wall: epoch seconds as the machine has them now; monotonic: seconds that only move forward."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def steady(self) -> float:
        """Epoch seconds by the wall clock as it was when the program began."""
        return self._monotonic() + self._offset

    def wall(self) -> float:
        """Epoch seconds by the wall clock as it is now."""
        return self._wall()

    def as_wall(self, steady: float) -> float:
        """A steady time by the wall clock as it is now."""
        return self._wall() + (steady - self.steady())

    def text(self, steady: float) -> str:
        """A steady time as people read it: UTC, to the second."""
        return utc_text(self.as_wall(steady))


def utc_text(epoch: float) -> str:
    """`2026-11-25T14:05:00Z`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
