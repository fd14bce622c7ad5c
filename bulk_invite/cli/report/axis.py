"""Positions and round labels along an axis of values or times. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bulk_invite.domain.durations import DAY, HOUR, MINUTE

_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(HOUR * hours for hours in (1, 2, 3, 6, 12)),
    *(DAY * days for days in (1, 2, 7, 14, 30, 90, 180, 365, 730, 1825)),
)
"""Candidate distances between two labels of a time axis, in seconds."""

_MOST_TIMES: Final = 8
_VALUES: Final = 4
"""Approximate number of labels on an axis of values."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values `low` to `high` onto positions `begin` to `end` (SVG units); values outside are clamped."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        within = min(self.high, max(self.low, value)) - self.low
        return self.begin + within / (self.high - self.low) * (self.end - self.begin)


def round_values(highest: float) -> list[float]:
    """Round numbers from 0 to the first one at or above `highest`."""
    raw = max(highest, 1e-9) / _VALUES
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return (
        [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)] if highest else [0.0, 1.0]
    )


def round_times(first: float, last: float) -> list[tuple[float, str]]:
    """Epoch seconds at round UTC times between `first` and `last`, each with its label."""
    step = next((step for step in _STEPS if (last - first) / step <= _MOST_TIMES), _STEPS[-1])
    number = math.ceil(first / step)
    times = []
    while number * step <= last:
        times.append((float(number * step), _label(number * step, step)))
        number += 1
    return times


def _label(epoch: float, step: int) -> str:
    time = datetime.fromtimestamp(epoch, UTC)
    if step >= DAY * 90:
        return time.strftime("%Y-%m-%d")
    if step >= DAY or (time.hour, time.minute, time.second) == (0, 0, 0):
        return time.strftime("%m-%d")
    return time.strftime("%H:%M:%S" if step < MINUTE else "%H:%M")


def number(value: float) -> str:
    """A number in its shortest form: `12,000`, `0.5`."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"  # noqa: PLR2004 - fractions matter below
