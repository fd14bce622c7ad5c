"""Durations as written by people: `250ms`, `2s`, `15m`, `8h`, `15d`. Everywhere else: seconds as a float."""

from __future__ import annotations

import re
from typing import Final

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
"""In seconds."""

_SHOWN: Final = 40
"""Characters of a wrong text that a message repeats."""

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_WRITTEN: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `250ms`, `1.5s` or `8h`.

    Raises ValueError with a message for the operator for anything else, including a number without a unit.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise ValueError(
            f"{text[:_SHOWN]!r} is not a duration: write a number and a unit, such as 250ms, 2s, 15m or 8h."
        )
    number, unit = written.groups()
    # Division keeps 250ms exactly 0.25; multiplying by 0.001 would not.
    return float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]


def format_duration(seconds: float) -> str:
    """Format in the largest unit that gives a whole number; anything below a millisecond is rounded."""
    milliseconds = round(seconds * 1000)
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0 and (milliseconds or unit == "s"):
            return f"{milliseconds // length}{unit}"
    if milliseconds > 1000:  # noqa: PLR2004 - milliseconds in a second
        return f"{milliseconds / 1000:.3f}".rstrip("0") + "s"
    return f"{milliseconds}ms"


def clock_text(seconds: float | None) -> str:
    """`1:02:03` or `4d 1:02:03` for a duration; `?` for None."""
    if seconds is None:
        return "?"
    days, rest = divmod(round(seconds), DAY)
    minutes, second = divmod(rest, MINUTE)
    hours, minute = divmod(minutes, 60)
    return (f"{days}d " if days else "") + f"{hours}:{minute:02}:{second:02}"
