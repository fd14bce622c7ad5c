"""Time that never jumps, on a human-readable scale.

The rolling day must not shrink or stretch when the system clock is set. So the pacing uses a clock that only
moves forward, one second per second, expressed as epoch seconds relative to the wall clock at program start.
Each run starts from the wall clock of its own time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """wall: the machine's current epoch seconds. monotonic: seconds that only move forward."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def steady(self) -> float:
        """Epoch seconds that continue from the wall clock at program start."""
        return self._monotonic() + self._offset

    def wall(self) -> float:
        """Epoch seconds of the wall clock now."""
        return self._wall()

    def as_wall(self, steady: float) -> float:
        """Convert a steady time to the wall clock as it is now."""
        return self._wall() + (steady - self.steady())

    def text(self, steady: float) -> str:
        """Format a steady time in UTC, to the second."""
        return utc_text(self.as_wall(steady))


def utc_text(epoch: float) -> str:
    """Format epoch seconds as `2026-11-25T14:05:00Z`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact_utc_text(epoch: float) -> str:
    """Format epoch seconds with milliseconds: `2026-11-25T14:05:00.250Z`."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
