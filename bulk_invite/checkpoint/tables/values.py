"""What the tables hold, as values: the generation, the gaps, and the key of the receivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 3
"""Version of the tables: see schema.py."""

RECEIVER_KEY: Final = "receiver_key"
"""Name in the `about` table of the random key of `twins.ReceiverHash`, as hex."""

SKIPPED: Final = "="
"""Mark before the receiver's hash of a row that is skipped because of another row."""

Stamp = Mapping[str, Any]
"""Columns that a database adds to a generation, as values or SQL."""


@dataclass(frozen=True, slots=True)
class Generation:
    """checkpoint: its unique id. number: that of its last transaction.

    calls: number of calls it ever allowed. at: epoch seconds of the last one, or None.
    """

    checkpoint: str
    number: int
    calls: int
    at: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A period in which calls may be missing. Times are epoch seconds; until None: up to now.

    calls: number of missing calls, None if unknown. why: how the gap was found, for the operator.
    """

    since: float
    until: float | None
    calls: int | None
    why: str


@dataclass(frozen=True, slots=True)
class UncertainPeriod:
    """Rows whose last recorded call is before `until` may have been called since `since`.

    is_counted: the number of these calls is known and already counted against the day.
    """

    since: float
    until: float
    is_counted: bool = False


def is_later(known: Generation | None, kept: Generation) -> bool:
    return known is not None and known.checkpoint == kept.checkpoint and known.number > kept.number
