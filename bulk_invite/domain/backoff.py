"""Delays between retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform in [0, min(cap, base * 2**(tries - 1))] seconds.

    Full jitter keeps rows that failed at the same instant from retrying at the same instant (AWS Architecture
    Blog, "Exponential Backoff and Jitter").
    """

    base: float
    cap: float

    def delay(self, tries: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait after `tries` failures in a row (1 or more); `random` is in [0, 1)."""
        # 2**tries overflows a float long before a row has been tried that often; the cap applies first.
        ceiling = min(self.cap, self.base * 2.0 ** min(tries - 1, 60))
        return random() * ceiling


UNREACHABLE: Final = Backoff(base=0.5, cap=30.0)
"""For an unreachable endpoint or database: recovery is noticed within half a minute."""
