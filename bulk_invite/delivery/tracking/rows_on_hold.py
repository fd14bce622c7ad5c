"""Rows that wait for later in the same run: why each of them does, and when its turn comes again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.next_step import OnHold

_MAX_BYTES: Final = 16 << 20
"""Size of the rows that are kept for one reason; others wait for a later run, so that memory does not grow
with them.

Denied rows are kept in any case: a run that meets many of them stops.
"""


class RowsOnHold:
    """Rows by why they are on hold, in the order in which they came."""

    def __init__(self) -> None:
        self._rows: dict[OnHold, deque[tuple[float, TrackedRow]]] = {reason: deque() for reason in OnHold}
        self._bytes = dict.fromkeys(OnHold, 0)

    def count(self, reason: OnHold) -> int:
        return len(self._rows[reason])

    def has_room(self, row: TrackedRow) -> bool:
        """Whether the row may be kept until there is room in its engagement or, in doubt, for its look-up.

        Deferred rows may be many: they take no room from rows in doubt.
        """
        reason = OnHold.ENGAGEMENT_FULL if row.doubt_since is None else OnHold.LOOK_UP
        return self._bytes[reason] + len(row.body) <= _MAX_BYTES

    def add(self, row: TrackedRow, reason: OnHold, at: float) -> None:
        """at: in seconds of any clock, to which `take` compares."""
        self._rows[reason].append((at, row))
        self._bytes[reason] += len(row.body)

    def take(self, reason: OnHold, until: float = math.inf) -> deque[TrackedRow]:
        """The rows whose hold began until some moment; they are on hold no more."""
        rows, taken = self._rows[reason], deque[TrackedRow]()
        while rows and rows[0][0] <= until:
            _, row = rows.popleft()
            self._bytes[reason] -= len(row.body)
            taken.append(row)
        return taken


def one_of_each_engagement(rows: Iterable[TrackedRow]) -> tuple[deque[TrackedRow], deque[TrackedRow]]:
    """One row of each engagement, by which to see whether it is still full, and all the others."""
    first, others, seen = deque[TrackedRow](), deque[TrackedRow](), set[str]()
    for row in rows:
        (others if row.engagement in seen else first).append(row)
        seen.add(row.engagement)
    return first, others
