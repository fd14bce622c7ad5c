"""What is told to others about how a long-lived run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class HealthView:
    """One moment, `at` in epoch seconds. reasons: why a part does not answer, by the part's name."""

    NOT_ASKED: ClassVar[str] = "not asked yet"

    ready: bool
    reasons: Mapping[str, str]
    at: float

    @property
    def told(self) -> Mapping[str, str]:
        """Reasons of parts that were asked."""
        return {part: reason for part, reason in self.reasons.items() if reason != self.NOT_ASKED}
