"""A FIFO or standard input that is followed for longer than any one reader lasts.

Data taken from a pipe cannot be read again. So the pipe stays open from one reader to the next, and rows that
were returned but may be unsettled are returned once more to the next reader; the tokens prevent sending them
twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Final

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import Row
from bulk_invite.sources.interruptible_wait import STOP_CHECK
from bulk_invite.sources.ndjson import NdjsonSource

_MOST_BYTES: Final = 16 << 20
"""Maximum size of the rows kept; beyond it the oldest are dropped: they are settled, or will wait long."""


class Pipe:
    """Wraps an endless source; only one reader at a time may follow it.

    poll: seconds between two empty lists.
    """

    def __init__(self, source: NdjsonSource, *, poll: float = 5.0) -> None:
        self.name = source.name
        self.poll = poll
        source.poll = STOP_CHECK  # how often it releases the thread
        self._source = source
        self._reading: Generator[tuple[list[Row], None]] | None = None
        self._ended = False
        self._recent: deque[Row] = deque()
        self._bytes = 0

    @property
    def answering(self) -> bool:
        return self._source.answering

    def forget(self) -> None:
        """Note that everything returned is settled."""
        self._recent.clear()
        self._bytes = 0

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None = None
    ) -> Generator[tuple[list[Row], None]]:
        """Follow like `NdjsonSource.follow`, after earlier rows that may be open, one list each."""
        del mark
        for row in tuple(self._recent):
            if stop():
                return
            yield [row], None
        yield [], None
        if self._reading is None:
            self._reading = self._source.follow(max_rows, max_bytes, lambda: False)
        last_yield = time.monotonic()
        while not stop() and not self._ended:
            try:
                found = next(self._reading, None)
            except SourceError:
                self._reading = None  # after an error the next reader opens it again
                raise
            if found is None:
                self._ended = True
                return
            rows, _ = found
            self._keep(rows)
            if rows or time.monotonic() - last_yield >= self.poll:
                last_yield = time.monotonic()
                yield rows, None

    def _keep(self, rows: list[Row]) -> None:
        self._recent += rows
        self._bytes += sum(len(row.data) for row in rows)
        while self._bytes > _MOST_BYTES:
            self._bytes -= len(self._recent.popleft().data)
