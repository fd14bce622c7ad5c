"""Progress of a run: a bar on a terminal, periodic log lines elsewhere."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import anyio
import structlog
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from bulk_invite.delivery.intake.source import Source
from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import DAY, MINUTE
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import rounded
from bulk_invite.pacing.pacer import Pacer, PacingView
from bulk_invite.pacing.parking import Why

_log = structlog.get_logger()

_REDRAW: Final = 0.25
"""Seconds between two updates."""

_ENOUGH_READ: Final = 200
"""Rows from which the rest of a source is extrapolated."""

_LEFT_EVERY: Final = 1.0
"""Seconds between two forecasts: each one walks through the calls of a day."""

_LOOK_BACK: Final = 30.0
"""Seconds over which the speed is averaged."""

_WIDE: Final = 115
"""Minimum terminal width, in columns, for the quota and the day."""

_TEXTS: Final = ("rate", "quota", "throttled", "in_doubt", "day")


@dataclass(frozen=True, slots=True)
class View:
    """A moment of a run. rate: recent speed, rows per second. total, left (seconds): None where unknown."""

    rows: int
    total: int | None
    ended: int
    rate: float
    throttled: int
    in_doubt: int
    left: float | None
    pacing: PacingView


class Progress:
    """`watch` runs beside a run. daily_quota, limit (rows to send): None for no limit.

    sources: None where they have no end. only_news: log a line only if something has changed since the last
    one.
    """

    def __init__(
        self,
        counts: Counts,
        sources: Sequence[Source] | None,
        pacer: Pacer,
        daily_quota: int | None,
        limit: int | None,
        *,
        mode: Literal["auto", "on", "off"],
        interval: float,
        only_news: bool = False,
    ) -> None:
        self._counts = counts
        self._sources = sources
        self._pacer = pacer
        self._daily_quota = daily_quota
        self._mode = mode
        self._interval = interval
        self._only_news = only_news
        self._limit = limit
        self._past: deque[tuple[float, int]] = deque()
        self._left_at = -math.inf
        self._last_left: float | None = None

    async def watch(self) -> None:
        """Show progress until cancelled."""
        if self._mode == "off":
            return
        await (self._draw() if sys.stderr.isatty() else self._log_lines())

    async def announce(self, rate: float) -> None:
        """Log once, as soon as it is known, that the run will take more than a day at `rate`."""
        if self._size() is None:
            return
        while True:
            counts = self._counts
            if counts.all_read or counts.rows >= _ENOUGH_READ:
                rows = self._to_send()
                seconds = self._pacer.time_left(rows, rate)
                if seconds is not None and seconds > DAY:
                    days, left = math.ceil(seconds / DAY), clock_text(seconds)
                    _log.warning("run.forecast", rows=rows, day=self._pacer.view().day, days=days, left=left)
                    return
            if counts.all_read:
                return
            await anyio.sleep(_REDRAW)

    def _to_send(self) -> int:
        """Rows still to be sent; unread rows are extrapolated from those read so far."""
        counts = self._counts
        open_rows = counts.states[State.PENDING] + counts.states[State.IN_DOUBT]
        total = self._total() or counts.rows
        to_come = (total - counts.rows) * (open_rows + counts.ended_now) // max(1, counts.rows)
        rows = open_rows + to_come - counts.in_flight  # the daily quota already counts those calls
        return rows if self._limit is None else min(rows, self._limit - counts.ended_now)

    def view(self, now: float) -> View:
        counts = self._counts
        ended = counts.rows - counts.states[State.PENDING] - counts.states[State.IN_DOUBT]
        self._past.append((now, counts.ended_now))
        while now - self._past[0][0] > _LOOK_BACK:
            self._past.popleft()
        began, before = self._past[0]
        rate = (counts.ended_now - before) / (now - began) if now > began else 0.0
        total = self._total()
        pacing = self._pacer.view()
        left = None if total is None else self._left(now, rate, pacing)
        in_doubt = max(0, counts.states[State.IN_DOUBT] - counts.in_flight)
        return View(counts.rows, total, ended, rate, counts.throttled, in_doubt, left, pacing)

    def _left(self, now: float, rate: float, pacing: PacingView) -> float | None:
        """Seconds left, from the recent speed and the daily quota; None where there is no speed yet."""
        if now - self._left_at >= _LEFT_EVERY:
            self._left_at, rows = now, self._to_send()
            if pacing.parked or rate > 0:
                self._last_left = self._pacer.time_left(rows, None if pacing.parked else rate)
            else:
                self._last_left = None
        return self._last_left

    def _total(self) -> int | None:
        """Estimated rows of all sources, from the lines per byte read so far; None where unknown."""
        size, sources = self._size(), self._sources or ()
        if size is None:
            return None
        consumed = sum(source.consumed for source in sources)
        if self._counts.all_read or consumed == 0:
            return self._counts.rows if self._counts.all_read else None
        lines = sum(source.lines for source in sources)
        return max(self._counts.rows, round(lines * size / consumed))

    def _size(self) -> int | None:
        """Bytes of all sources; None where that is not known, or they have no end."""
        sizes = [None] if self._sources is None else [source.size for source in self._sources]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    async def _draw(self) -> None:
        console = Console(stderr=True)
        wide = console.width >= _WIDE
        columns = (
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.fields[total_text]} rows"),
            TextColumn("{task.fields[rate]}" + ("{task.fields[quota]}" if wide else "")),
            TextColumn("{task.fields[throttled]}"),
            TextColumn("{task.fields[in_doubt]}"),
            *((TextColumn("{task.fields[day]}"),) if wide else ()),
            TextColumn("{task.fields[left]}"),
        )
        with Bar(*columns, console=console, transient=False) as bar:
            task = bar.add_task("", total=None, **self._fields(self.view(anyio.current_time())))
            try:
                while True:
                    await anyio.sleep(_REDRAW)
                    self._update(bar.update, task)
            finally:
                self._update(bar.update, task)

    def _update(self, update: Callable[..., None], task: int) -> None:
        view = self.view(anyio.current_time())
        update(task, completed=view.ended, total=view.total, **self._fields(view))

    async def _log_lines(self) -> None:
        logged: tuple[int, int, Why | None] = (0, 0, None)
        while True:
            with anyio.move_on_after(self._interval):
                while True:
                    self.view(anyio.current_time())
                    await anyio.sleep(1.0)
            view = self.view(anyio.current_time())
            if self._only_news and (view.rows, view.ended, view.pacing.parked) == logged:
                continue
            logged = (view.rows, view.ended, view.pacing.parked)
            _log.info("run.progress", **rounded(self._logged(view)))

    def _logged(self, view: View) -> dict[str, Any]:
        """The fields of a progress line, by their names in the status."""
        pacing = view.pacing
        return {
            "rows": view.ended,
            "of": view.total,
            "speed": view.rate,
            "throttled": view.throttled,
            "in_doubt": view.in_doubt,
            "left": clock_text(view.left),
            "rate": pacing.rate,
            "estimated_quota": pacing.estimate,
            "throttled_share_minute": pacing.throttled_minute,
            "throttled_share_hour": pacing.throttled_hour,
            "day_remaining": day_remaining(self._daily_quota, pacing.counted),
            "parked": pacing.parked,
            "parked_until": None if pacing.parked_until is None else utc_text(pacing.parked_until),
            "next_call": None if pacing.next_call is None else utc_text(pacing.next_call),
        }

    def _fields(self, view: View) -> dict[str, Any]:
        """Texts of the bar; a parked run shows only until when."""
        pacing = view.pacing
        total = "?" if view.total is None else f"{view.total:,}"
        if pacing.parked is not None and pacing.next_call is not None:
            return {**dict.fromkeys(_TEXTS, ""), "total_text": total, "left": _parked_text(pacing)}
        share = pacing.throttled_minute
        return {
            "total_text": total,
            "rate": f"{view.rate:.1f}/s",
            "quota": "" if pacing.estimate is None else f" of ~{pacing.estimate:.1f}",
            "throttled": f"{view.throttled:,} throttled" + ("" if share is None else f" ({share:.1%})"),
            "in_doubt": f"{view.in_doubt:,} in doubt",
            "day": "" if self._daily_quota is None else f"day {pacing.counted:,}/{self._daily_quota:,}",
            "left": f"{clock_text(view.left)} left",
        }


def _parked_text(pacing: PacingView) -> str:
    why = str(pacing.parked).replace("_", " ")
    if pacing.parked_until is not None and pacing.parked_until == pacing.next_call:
        return f"parked until {time_text(pacing.parked_until)}: {why}"
    return f"parked, next probe {time_text(pacing.next_call or 0.0)}: {why}"


def day_remaining(daily_quota: int | None, counted: int) -> int | None:
    """Calls left of the daily quota; None where there is no quota."""
    return None if daily_quota is None else max(0, daily_quota - counted)


def clock_text(seconds: float | None) -> str:
    """`1:02:03` or `4d 1:02:03` for a duration; `?` for None."""
    if seconds is None:
        return "?"
    days, rest = divmod(round(seconds), DAY)
    minutes, second = divmod(rest, MINUTE)
    hours, minute = divmod(minutes, 60)
    return (f"{days}d " if days else "") + f"{hours}:{minute:02}:{second:02}"


def time_text(epoch: float) -> str:
    """`14:05 CET` for today, `11-26 14:05 CET` for another day, in local time."""
    time, now = datetime.fromtimestamp(epoch).astimezone(), datetime.now().astimezone()
    return time.strftime("%H:%M %Z" if time.date() == now.date() else "%m-%d %H:%M %Z")
