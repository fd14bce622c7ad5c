"""Progress of a run: a bar on a terminal, periodic log lines elsewhere."""

from __future__ import annotations

import math
import sys
from collections import deque
from typing import Any, Final, Literal

import anyio
import structlog
from rich.console import Console
from rich.live import Live

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import DAY, clock_text
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import day_remaining, rounded
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.pacing_view import PacingView
from bulk_invite.pacing.parking import Why
from bulk_invite.runs.output.progress_bar import ProgressLine, View
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.output.rows_to_send import rows_to_send

_log = structlog.get_logger()

_REDRAW: Final = 0.25
"""Seconds between two updates."""

_ENOUGH_READ: Final = 200
"""Rows from which the rest of a source is extrapolated."""

_LEFT_EVERY: Final = 1.0
"""Seconds between two forecasts: each one walks through the calls of a day."""

_PARKED_EVERY: Final = 600.0
"""Seconds between two lines of a parked run in which nothing has changed."""

_LOOK_BACK: Final = 30.0
"""Seconds over which the speed is averaged."""


class Progress:
    """`watch` runs beside a run. daily_quota, limit (rows to send): None for no limit.

    only_news: log a line only if something has changed since the last
    one.
    """

    def __init__(
        self,
        counts: Counts,
        total: RowTotal,
        pacer: Pacer,
        daily_quota: int | None,
        limit: int | None,
        *,
        mode: Literal["auto", "on", "off"],
        interval: float,
        only_news: bool = False,
    ) -> None:
        self._counts = counts
        self._total = total
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
        if self._total.is_unknown:
            return
        while True:
            counts = self._counts
            if counts.all_read or counts.rows - counts.skipped >= _ENOUGH_READ:
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
        total = self._total.of(self._counts)
        rows = rows_to_send(self._counts, None if total is None else total.rows)
        return rows if self._limit is None else min(rows, self._limit - self._counts.ended_now)

    def view(self, now: float) -> View:
        counts = self._counts
        ended = counts.rows - counts.states[State.PENDING] - counts.states[State.IN_DOUBT]
        self._past.append((now, counts.ended_now))
        while now - self._past[0][0] > _LOOK_BACK:
            self._past.popleft()
        began, before = self._past[0]
        rate = (counts.ended_now - before) / (now - began) if now > began else 0.0
        total = self._total.of(counts)
        pacing = self._pacer.view()
        left = None if total is None else self._left(now, rate, pacing)
        in_doubt = max(0, counts.states[State.IN_DOUBT] - counts.in_flight)
        return View(
            rows=counts.rows,
            total=None if total is None else total.rows,
            is_estimate=total is not None and total.is_estimate,
            ended=ended,
            rate=rate,
            throttled=counts.throttled,
            in_doubt=in_doubt,
            left=left,
            pacing=pacing,
        )

    def _left(self, now: float, rate: float, pacing: PacingView) -> float | None:
        """Seconds left, from the recent speed and the daily quota; None where there is no speed yet."""
        if pacing.parked is Why.ACCOUNT_FULL and (self._to_send() or self._counts.states[State.DEFERRED]):
            return None  # it is unknown when there will be room
        if self._counts.all_read and self._to_send() == 0:
            return 0.0
        if now - self._left_at >= _LEFT_EVERY:
            self._left_at, rows = now, self._to_send()
            if pacing.parked or rate > 0:
                self._last_left = self._pacer.time_left(rows, None if pacing.parked else rate)
            else:
                self._last_left = None
        return self._last_left

    async def _draw(self) -> None:
        console = Console(stderr=True)
        with Live(self._line(), console=console, auto_refresh=False) as live:
            try:
                while True:
                    await anyio.sleep(_REDRAW)
                    live.update(self._line(), refresh=True)
            finally:
                live.update(self._line(), refresh=True)

    def _line(self) -> ProgressLine:
        return ProgressLine(self.view(anyio.current_time()), self._daily_quota)

    async def _log_lines(self) -> None:
        logged: tuple[int, int, Why | None] = (0, 0, None)
        logged_at = -math.inf
        while True:
            with anyio.move_on_after(self._interval):
                while True:
                    self.view(anyio.current_time())
                    await anyio.sleep(1.0)
            view = self.view(anyio.current_time())
            if (view.rows, view.ended, view.pacing.parked) == logged:
                is_due = view.pacing.parked and anyio.current_time() - logged_at >= _PARKED_EVERY
                if (self._only_news or view.pacing.parked) and not is_due:
                    continue
            logged, logged_at = (view.rows, view.ended, view.pacing.parked), anyio.current_time()
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
            "deferred": self._counts.states[State.DEFERRED],
            "left": clock_text(view.left),
            "rate": pacing.rate,
            "estimated_quota": pacing.estimate,
            "throttled_share_minute": pacing.throttled_minute,
            "throttled_share_hour": pacing.throttled_hour,
            "day_remaining": day_remaining(self._daily_quota, pacing.learned, pacing.counted),
            "parked": pacing.parked,
            "parked_until": None if pacing.parked_until is None else utc_text(pacing.parked_until),
            "next_call": None if pacing.next_call is None else utc_text(pacing.next_call),
        }
