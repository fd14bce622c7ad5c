"""What is told to others about how a long-lived run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthView:
    """One moment, `at` in epoch seconds. reasons: why a part does not answer, by the part's name."""

    ready: bool
    reasons: Mapping[str, str]
    at: float
