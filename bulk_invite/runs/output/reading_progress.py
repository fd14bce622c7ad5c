"""The progress of a command that only reads: one line on a terminal, once it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

import anyio
from rich.console import Console
from rich.live import Live

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.durations import clock_text
from bulk_invite.runs.output.progress_bar import Figure, fitting
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
            line = _line(self._total, counts, now - self._began, Console(stderr=True).width)
            sys.stderr.write(f"{_CLEAR}{line}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()


async def watch_reading(total: RowTotal, counts: Counts) -> None:
    """Show the same until cancelled, on a terminal, while rows are read in another thread."""
    if not sys.stderr.isatty():
        return
    began = time.monotonic()
    await anyio.sleep(_PATIENCE)
    console = Console(stderr=True, highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(_line(total, counts, time.monotonic() - began, console.width), refresh=True)
            await anyio.sleep(_REDRAW)


def _line(total: RowTotal, counts: Counts, seconds: float, width: int) -> str:
    """The figures that fit. seconds: since it began."""
    return " ".join(each.text for each in fitting(_figures(total, counts, seconds), width - 1))


def _figures(total_of: RowTotal, counts: Counts, seconds: float) -> Sequence[Figure]:
    total = total_of.of(counts)
    if total is None:
        return [Figure(f"{counts.rows:,} rows read", 0), Figure(f"{clock_text(seconds)} so far", 1)]
    about = "~" if total.is_estimate else ""
    left = seconds * (total.rows - counts.rows) / max(1, counts.rows)
    return [
        Figure(f"{counts.rows:,}/{about}{total.rows:,} rows read", 0),
        Figure(f"{counts.rows * 100 // max(1, total.rows)}%", 2),
        Figure(f"{clock_text(left)} left", 1),
    ]
