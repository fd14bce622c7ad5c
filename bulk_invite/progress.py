"""What the operator sees while a run goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import anyio
import structlog
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from bulk_invite.outcome import State
from bulk_invite.report import Tally

_log = structlog.get_logger()

_REDRAW: Final = 0.25
"""Seconds between two looks at the counts."""

_LOOK_BACK: Final = 30.0
"""Seconds over which the speed is averaged."""


class Sized(Protocol):
    """A source that may know its size; both in bytes as they are on disk."""

    size: int | None
    consumed: int


@dataclass(frozen=True, slots=True)
class View:
    """One moment of a run. rate: rows ended per second of late; total, left (seconds): None where unknown."""

    rows: int
    total: int | None
    ended: int
    rate: float
    throttled: int
    in_doubt: int
    left: float | None


class Progress:
    """`watch` it beside the run."""

    def __init__(
        self, tally: Tally, sources: Sequence[Sized], *, mode: Literal["auto", "on", "off"], interval: float
    ) -> None:
        self._tally = tally
        self._sources = sources
        self._mode = mode
        self._interval = interval
        self._past: deque[tuple[float, int]] = deque()

    async def watch(self) -> None:
        """Show progress until cancelled."""
        if self._mode == "off":
            return
        await (self._draw() if sys.stderr.isatty() else self._tell())

    def view(self, now: float) -> View:
        tally = self._tally
        ended = tally.rows - tally.states[State.PENDING] - tally.states[State.IN_DOUBT]
        self._past.append((now, tally.ended_now))
        while now - self._past[0][0] > _LOOK_BACK:
            self._past.popleft()
        began, before = self._past[0]
        rate = (tally.ended_now - before) / (now - began) if now > began else 0.0
        total = self._total()
        left = (total - ended) / rate if total is not None and rate > 0 else None
        return View(tally.rows, total, ended, rate, tally.throttled, tally.states[State.IN_DOUBT], left)

    def _total(self) -> int | None:
        """Rows of all sources, from what the bytes read so far have held; None before anything is known."""
        if any(source.size is None for source in self._sources):
            return None
        size = sum(source.size or 0 for source in self._sources)
        consumed = sum(source.consumed for source in self._sources)
        return max(self._tally.rows, self._tally.rows * size // consumed) if consumed else None

    async def _draw(self) -> None:
        columns = (
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.fields[total_text]} rows"),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TextColumn("{task.fields[throttled]:,} throttled"),
            TextColumn("{task.fields[in_doubt]:,} in doubt"),
            TextColumn("{task.fields[left]} left"),
        )
        with Bar(*columns, console=Console(stderr=True), transient=False) as bar:
            task = bar.add_task("", total=None, **_fields(self.view(anyio.current_time())))
            try:
                while True:
                    await anyio.sleep(_REDRAW)
                    self._update(bar.update, task)
            finally:
                self._update(bar.update, task)

    def _update(self, update: Callable[..., None], task: int) -> None:
        view = self.view(anyio.current_time())
        update(task, completed=view.ended, total=view.total, **_fields(view))

    async def _tell(self) -> None:
        while True:
            with anyio.move_on_after(self._interval):
                while True:
                    self.view(anyio.current_time())
                    await anyio.sleep(1.0)
            view = self.view(anyio.current_time())
            _log.info(
                "run.progress",
                rows=view.ended,
                of=view.total,
                rate=round(view.rate, 1),
                throttled=view.throttled,
                in_doubt=view.in_doubt,
                left=clock_text(view.left),
            )


def clock_text(seconds: float | None) -> str:
    """`1:02:03` as people read a time left; `?` where nobody knows."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _fields(view: View) -> dict[str, Any]:
    return {
        "total_text": "?" if view.total is None else f"{view.total:,}",
        "rate": view.rate,
        "throttled": view.throttled,
        "in_doubt": view.in_doubt,
        "left": clock_text(view.left),
    }
