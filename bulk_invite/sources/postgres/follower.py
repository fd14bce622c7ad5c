"""Follow a table or query: one pass after another, with pauses that NOTIFY can end.

`xmin_passes` decides what a pass reads. If xmin does not show what is new, full passes are rare; between
them, only rows with keys after the highest one are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import psycopg

from bulk_invite.domain.rows import Row
from bulk_invite.sources.interruptible_wait import wait
from bulk_invite.sources.postgres.connection import cancelled_by, connect
from bulk_invite.sources.postgres.notify import NotificationListener
from bulk_invite.sources.postgres.pages import Reading
from bulk_invite.sources.postgres.selection import ResolvedSelection
from bulk_invite.sources.postgres.xmin_passes import Horizon, Progress, look, pause_after

_T = TypeVar("_T")

WHOLE_EVERY: Final = 60.0

_WHOLE_LOAD: Final = 10


class Retry(Protocol):
    """Retries until the database responds; None if `stop` came first."""

    def __call__(self, read: Callable[[], _T], stop: Callable[[], bool], /) -> _T | None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to poll, in seconds.

    poll: between two polls. whole_every: minimum between two full passes, if only those find every row.
    """

    poll: float
    whole_every: float


class Follower:
    """Follows from a cursor on. `stop` is called some ten times a second."""

    def __init__(
        self,
        url: str,
        found: ResolvedSelection,
        retry: Retry,
        pace: Pace,
        stop: Callable[[], bool],
        mark: str | None,
    ) -> None:
        self._url = url
        self._found = found
        self._tried = retry
        self._pace = pace
        self._stop = stop
        self._progress = Progress.of(mark)
        self._highest: str | None = None
        self._whole = (
            True  # the current pass reads in the order of `progress`, not only after the highest key
        )
        self._whole_due = 0.0
        self._took = 0.0

    def follow(
        self, bell: NotificationListener, max_rows: int, max_bytes: int
    ) -> Generator[tuple[list[Row], str | None]]:
        bell.wait_until_heard(self._stop)
        while not self._stop():
            bell.reset()
            yield from self._pass(max_rows, max_bytes)
            if self._stop():
                return
            self._end()
            yield [], self._progress.mark
            yield from self._pause(bell)

    def _pass(self, max_rows: int, max_bytes: int) -> Generator[tuple[list[Row], str | None]]:
        self._took = 0.0
        self._whole = self._progress.after is not None or time.monotonic() >= self._whole_due
        reading = Reading(self._url, self._found, None, self._begin)
        page = partial(self._tried, partial(self._page, reading), self._stop)
        with closing(reading.batches(page, max_rows, max_bytes)) as batches:
            for batch in batches:
                self._highest = batch[-1].position.key
                if self._whole:
                    self._progress = replace(self._progress, after=self._highest)
                yield batch, self._progress.mark

    def _begin(
        self, connection: psycopg.Connection[Any], _after: str | None
    ) -> tuple[ResolvedSelection, str | None]:
        """What to read over a new connection, and after which key."""
        horizon = look(connection, self._found.relation)
        self._whole = self._whole or bool(horizon.tables) or not self._progress.fits(horizon)
        self._progress = self._progress.begun(horizon)
        if self._whole:
            self._highest = self._progress.after
        if horizon.tables and self._progress.since is not None:
            return self._found.since(self._progress.since), self._highest
        return self._found, self._highest

    def _page(self, reading: Reading) -> list[Row]:
        began = time.monotonic()
        page = reading.page(self._stop)
        self._took += time.monotonic() - began
        return page

    def _end(self) -> None:
        if self._whole:
            self._progress = self._progress.ended()
            self._whole_due = time.monotonic() + max(self._pace.whole_every, _WHOLE_LOAD * self._took)

    def _pause(self, bell: NotificationListener) -> Generator[tuple[list[Row], str | None]]:
        ended = time.monotonic()
        due = ended + pause_after(self._took, self._pace.poll)
        while not self._stop() and (left := due - time.monotonic()) > 0:
            if bell.wait(min(left, self._pace.poll), self._stop):
                # A NOTIFY for every row must not take more than half of the time for reading.
                wait(ended + self._took - time.monotonic(), self._stop)
                return
            if left > self._pace.poll:
                horizon = self._tried(self._look, self._stop)
                if horizon is None or not self._progress.fits(horizon):
                    return
                yield [], self._progress.mark

    def _look(self) -> Horizon:
        with connect(self._url) as connection, cancelled_by(self._stop, connection):
            return look(connection, self._found.relation)
