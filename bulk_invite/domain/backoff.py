"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform in [0, min(cap, base * 2**tries)] seconds.

    Full jitter keeps rows that failed in the same instant from coming back in the same instant
    (AWS Architecture Blog, "Exponential Backoff and Jitter").
    """

    base: float
    cap: float

    def delay(self, tries: int, random: Callable[[], float]) -> float:
        """Seconds to wait after `tries` endings in a row (at least 1); `random` is uniform in [0, 1)."""
        # 2**tries overflows a float long before a row has been tried that often; the cap comes first.
        ceiling = min(self.cap, self.base * 2.0 ** min(tries - 1, 60))
        return random() * ceiling


UNREACHABLE: Final = Backoff(base=0.5, cap=30.0)
"""For an endpoint or a database that is unreachable: it is found again within half a minute."""
