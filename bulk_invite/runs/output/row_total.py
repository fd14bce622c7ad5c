"""How many rows the sources of a run have: extrapolated for files, counted for databases.

A file is extrapolated from the lines per byte read so far. A database was counted when it was opened. A run
that resumes takes in the rows that the checkpoint knows, which the database may no longer have, and reads on
after a key: what is left from there is counted beside the run, within a time limit. Without that count, the
total is an estimate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from bulk_invite.delivery.intake.source import CountedSource, Source
from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.runs.wiring.daemon_threads import in_daemon_thread

_PATIENCE: Final = 3.0
"""Seconds for counting the rows after a key."""


@dataclass(frozen=True, slots=True)
class Total:
    """rows: of all sources. is_estimate: whether that is one."""

    rows: int
    is_estimate: bool


@dataclass(slots=True)
class _Reading:
    """The reading of a counted source.

    after: the key from which a run resumes. before: rows up to there. left: rows after that, None if unknown.
    """

    source: CountedSource
    after: str | None = None
    before: int = 0
    left: int | None = None

    @property
    def rows(self) -> int:
        return max(self.source.all_rows, self.before) if self.left is None else self.before + self.left


class RowTotal:
    """`begin` before the first row is read; `count` runs beside the run.

    sources: None where they have no end.
    """

    def __init__(self, sources: Sequence[Source] | None) -> None:
        self._sources = sources
        self._readings = [_Reading(each) for each in sources or () if isinstance(each, CountedSource)]
        self._files = [each for each in sources or () if not isinstance(each, CountedSource)]
        self._begun = anyio.Event()

    @property
    def is_endless(self) -> bool:
        return self._sources is None

    @property
    def in_databases(self) -> bool:
        """Whether every source is a database."""
        return bool(self._readings) and not self._files

    @property
    def is_unknown(self) -> bool:
        """Whether it stays unknown until the sources are read to their end."""
        return self._sources is None or any(each.size is None for each in self._files)

    async def begin(
        self, watermark: Callable[[str], Awaitable[str | None]], known_rows: Callable[[str], Awaitable[int]]
    ) -> None:
        """By the name of a source: the key up to which it was read before, and the rows known up to there."""
        for reading in self._readings:
            reading.after = await watermark(reading.source.name)
            if reading.after is None:
                reading.left = reading.source.all_rows
            else:
                reading.before = await known_rows(reading.source.name)
        self._begun.set()

    async def count(self, stop: Callable[[], bool]) -> None:
        """Count what is left of the sources of a run that resumes."""
        await self._begun.wait()
        for reading in self._readings:
            if reading.after is not None:
                work = partial(reading.source.rows_after, reading.after, _PATIENCE, stop)
                reading.left = await asyncio.wrap_future(in_daemon_thread(work))

    def of(self, counts: Counts) -> Total | None:
        """The total, as far as the sources show now; None while it is unknown."""
        if self._sources is not None and counts.all_read:
            return Total(counts.rows, is_estimate=False)
        rows = self._rows()
        if rows is None:
            return None
        is_counted = not self._files and all(each.left is not None for each in self._readings)
        return Total(max(counts.rows, rows), is_estimate=not is_counted)

    def unread(self, admitted: int, left_over: int) -> int | None:
        """Rows that a run which has ended early did not admit; None while it is unknown.

        left_over: rows that it had read already, so that there are at least as many.
        """
        rows = self._rows()
        return None if rows is None else max(left_over, rows - admitted)

    def _rows(self) -> int | None:
        of_files = None if self._sources is None else self._of_files()
        return None if of_files is None else of_files + sum(each.rows for each in self._readings)

    def _of_files(self) -> int | None:
        """Extrapolated from the lines per byte read so far; None where unknown."""
        sizes = [each.size for each in self._files if each.size is not None]
        if not self._files or len(sizes) < len(self._files):
            return None if self._files else 0
        begun = [each for each in self._files if each.lines]  # of the others, only the first bytes were read
        consumed = sum(each.consumed for each in begun)
        return round(sum(each.lines for each in begun) * sum(sizes) / consumed) if begun else None
