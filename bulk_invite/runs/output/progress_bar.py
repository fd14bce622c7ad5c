"""The progress of a run on one line of a terminal: the figures that fit, each of them whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

from bulk_invite.domain.durations import clock_text
from bulk_invite.pacing.pacing_view import PacingView

_BAR: Final = 20
"""Columns of the bar."""


@dataclass(frozen=True, slots=True)
class View:
    """A moment of a run. rate: recent speed, rows per second. total, left (seconds): None where unknown.

    is_estimate: whether the total is one.
    """

    rows: int
    total: int | None
    is_estimate: bool
    ended: int
    rate: float
    throttled: int
    in_doubt: int
    left: float | None
    pacing: PacingView

    @property
    def percent(self) -> float | None:
        """Share of the rows that have ended, rounded down, so that 100 means all; None where unknown."""
        if self.total is None:
            return None
        return self.ended * 1000 // self.total / 10 if self.total else 100.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A part of the line. rank: figures with a higher one are left out before it."""

    text: str
    rank: int


class ProgressLine:
    """A renderable: the figures of `view`, as many as the terminal has room for."""

    def __init__(self, view: View, daily_quota: int | None) -> None:
        self._view = view
        self._figures = _figures(view, daily_quota)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, view = options.max_width, self._view
        shown = fitting([_THE_BAR, *self._figures], width)
        if shown[:1] == [_THE_BAR]:
            bar = ProgressBar(total=view.total, completed=view.ended, width=_BAR)
            yield from bar.__rich_console__(console, options)
            shown = [Figure("", _THE_BAR.rank), *shown[1:]]
        yield Text(_joined(shown), no_wrap=True, overflow="ellipsis")


_THE_BAR: Final = Figure(" " * _BAR, 6)


def fitting(figures: Iterable[Figure], width: int) -> list[Figure]:
    """The figures without the least important ones, so that the rest fits; at least one."""
    shown = [each for each in figures if each.text]
    while len(shown) > 1 and len(_joined(shown)) > width:
        shown.remove(max(shown, key=lambda each: each.rank))
    return shown


def _joined(figures: Sequence[Figure]) -> str:
    return " ".join(each.text for each in figures)


def _figures(view: View, daily_quota: int | None) -> list[Figure]:
    """In the order of the line; a parked run shows only until when."""
    pacing, share, percent = view.pacing, view.pacing.throttled_minute, view.percent
    about = "~" if view.is_estimate else ""
    total = "?" if view.total is None else f"{about}{view.total:,}"
    rows = Figure(f"{view.ended:,}/{total} rows", 1)
    if pacing.parked is not None and pacing.next_call is not None:
        return [rows, *_parked(pacing)]
    return [
        rows,
        Figure("" if percent is None else f"{int(percent)}%", 3),
        Figure(f"{view.rate:.1f}/s", 4),
        Figure("" if pacing.estimate is None else f"of ~{pacing.estimate:.1f}", 9),
        Figure(f"{view.throttled:,} throttled", 5 if view.throttled else 8),
        Figure("" if share is None else f"({share:.1%})", 10),
        Figure(f"{view.in_doubt:,} in doubt", 2 if view.in_doubt else 7),
        Figure("" if daily_quota is None else f"day {pacing.counted:,}/{daily_quota:,}", 11),
        Figure(f"{clock_text(view.left)} left", 0),
    ]


def parked_text(pacing: PacingView) -> str:
    """Until when and why a run is parked: `parked until 14:05 CET (daily quota)`."""
    return " ".join(figure.text for figure in _parked(pacing))


def _parked(pacing: PacingView) -> list[Figure]:
    why = Figure(f"({str(pacing.parked).replace('_', ' ')})", 7)
    if pacing.parked_until is not None and pacing.parked_until == pacing.next_call:
        return [Figure(f"parked until {time_text(pacing.parked_until)}", 0), why]
    return [Figure(f"parked, next probe {time_text(pacing.next_call or 0.0)}", 0), why]


def time_text(epoch: float) -> str:
    """`14:05 CET` for today, `11-26 14:05 CET` for another day, in local time."""
    time, now = datetime.fromtimestamp(epoch).astimezone(), datetime.now().astimezone()
    return time.strftime("%H:%M %Z" if time.date() == now.date() else "%m-%d %H:%M %Z")
