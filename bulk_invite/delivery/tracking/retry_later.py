"""Rows that are kept to be tried once more at the end of the run."""

from __future__ import annotations

from collections import deque
from typing import Final

from bulk_invite.delivery.tracking.tracked_row import Life

_MOST_BYTES: Final = 16 << 20
"""Size of the rows that are kept; others wait for a later run, so that memory does not grow with them."""


class Aside:
    """Rows in the order in which they came."""

    def __init__(self) -> None:
        self._lives: list[Life] = []
        self._bytes = 0

    def put(self, life: Life) -> bool:
        """Keep a row; False where there is no more room."""
        if self._bytes + len(life.body) > _MOST_BYTES:
            return False
        self._lives.append(life)
        self._bytes += len(life.body)
        return True

    def taken_back(self) -> tuple[deque[Life], deque[Life]]:
        """One row of each engagement, by which to see whether it is still full, and all the others."""
        first, others, seen = deque[Life](), deque[Life](), set[str]()
        for life in self._lives:
            (others if life.engagement in seen else first).append(life)
            seen.add(life.engagement)
        self._lives, self._bytes = [], 0
        return first, others
