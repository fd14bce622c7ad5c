"""The figures of a run, wherever they are shown: status, log, report, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_DIGITS: Final = {
    "elapsed_s": 3,
    "left_s": 1,
    "source_lag": 1,
    "speed": 2,
    "percent": 1,
    "rate": 3,
    "max_rate": 3,
    "estimated_quota": 3,
    "throttled_share_minute": 4,
    "throttled_share_hour": 4,
}


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with these figures rounded; None stays None, and other values stay as they are."""
    return {name: _rounded(value, _DIGITS.get(name)) for name, value in values.items()}


def _rounded(value: Any, digits: int | None) -> Any:
    if digits is None or value is None:
        return value
    if isinstance(value, Mapping):
        return {key: round(each, digits) for key, each in value.items()}
    return round(value, digits)


def day_remaining(daily_quota: int | None, learned: int | None, counted: int) -> int | None:
    """Calls left of the daily quota, or of the learned one if that is lower; None where there is no quota."""
    if daily_quota is None:
        return None
    return max(0, min(daily_quota, learned or daily_quota) - counted)
