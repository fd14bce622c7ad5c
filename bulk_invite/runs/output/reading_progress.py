"""The progress of a command that only reads: one line on a terminal, once it takes long."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.runs.output.progress_bar import Figure, clock_text, fitting
from bulk_invite.runs.output.row_total import RowTotal

_PATIENCE: Final = 2.0
"""Seconds without progress."""

_REDRAW: Final = 0.25
"""Seconds between two updates."""

_CLEAR: Final = "\r\x1b[K"


class ReadingProgress:
    """`show` it from time to time, and `clear` it before anything else is written.

    began: monotonic seconds.
    """

    def __init__(self, total: RowTotal, began: float, *, wanted: bool) -> None:
        self._total = total
        self._began = began
        self._next = began + _PATIENCE
        self._wanted = wanted and sys.stderr.isatty()
        self._is_shown = False

    def show(self, counts: Counts, now: float) -> None:
        """Show the rows that were read, unless that has just been done. now: monotonic seconds."""
        if self._wanted and now >= self._next:
            self._next = now + _REDRAW
            self._is_shown = True
            figures = fitting(self._figures(counts, now), Console(stderr=True).width - 1)
            line = " ".join(each.text for each in figures)
            sys.stderr.write(f"{_CLEAR}{line}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def _figures(self, counts: Counts, now: float) -> list[Figure]:
        total, seconds = self._total.of(counts), now - self._began
        if total is None:
            return [Figure(f"{counts.rows:,} rows read", 0), Figure(f"{clock_text(seconds)} so far", 1)]
        about = "~" if total.is_estimate else ""
        left = seconds * (total.rows - counts.rows) / max(1, counts.rows)
        return [
            Figure(f"{counts.rows:,}/{about}{total.rows:,} rows read", 0),
            Figure(f"{counts.rows * 100 // max(1, total.rows)}%", 2),
            Figure(f"{clock_text(left)} left", 1),
        ]
