"""A reader that follows a source and may die: what it has committed is what it has seen."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from typing import Protocol

from bulk_invite.domain.rows import Row

PATIENCE = 10.0


class Followed(Protocol):
    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]: ...


class Consumer:
    """seen: of each key (of a file: of each position), the rows that were committed, in that order.

    mark: what was committed with the last of them.
    """

    def __init__(self, source: Followed, *, max_rows: int = 500, mark: str | None = None) -> None:
        self.source = source
        self.seen: dict[str, list[bytes]] = defaultdict(list)
        self.mark = mark
        self.stopped = False
        self._max_rows = max_rows
        self._following: Generator[tuple[list[Row], str | None]] | None = None

    def take(self, *, commit: bool = True) -> list[Row]:
        """The next list; followed from the mark where it does not follow yet."""
        if self._following is None:
            self._following = self.source.follow(
                self._max_rows, 1 << 20, lambda: self.stopped, mark=self.mark
            )
        rows, mark = next(self._following)
        if commit:
            self.mark = mark
            for row in rows:
                self.seen[row.position.key or str(row.position)].append(row.data)
        return rows

    def die(self) -> None:
        if self._following is not None:
            self._following.close()
        self._following = None

    def until(self, condition: Callable[[], bool]) -> float:
        """Take until it holds; how long that took. AssertionError where it does not come true."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() < began + PATIENCE, "it does not come"
            self.take()
        return time.monotonic() - began

    def heartbeats(self, count: int) -> int:
        """Take until nothing came that many times; return the number of rows until then."""
        rows = 0
        while count:
            found = len(self.take())
            rows += found
            count -= not found
        return rows
