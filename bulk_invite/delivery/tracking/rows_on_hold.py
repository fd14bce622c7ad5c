"""Rows on hold until later in the same run, by reason."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.next_step import OnHold

_MAX_BYTES: Final = 16 << 20
"""Maximum bytes of the rows held for one reason. Further rows wait for a later run, which bounds memory.

Denied rows are always kept: a run with many of them stops.
"""


class RowsOnHold:
    """Rows on hold, by reason, in order of arrival."""

    def __init__(self) -> None:
        self._rows: dict[OnHold, deque[tuple[float, TrackedRow]]] = {reason: deque() for reason in OnHold}
        self._bytes = dict.fromkeys(OnHold, 0)

    def count(self, reason: OnHold) -> int:
        return len(self._rows[reason])

    def has_room(self, row: TrackedRow) -> bool:
        """Whether there is memory to hold the row: for its look-up if in doubt, else for its full engagement.

        There may be many deferred rows; they take no room from rows in doubt.
        """
        reason = OnHold.ENGAGEMENT_FULL if row.doubt_since is None else OnHold.LOOK_UP
        return self._bytes[reason] + len(row.body) <= _MAX_BYTES

    def add(self, row: TrackedRow, reason: OnHold, at: float) -> None:
        """Put a row on hold. at: seconds of the clock that `take` compares `until` with."""
        self._rows[reason].append((at, row))
        self._bytes[reason] += len(row.body)

    def take(self, reason: OnHold, until: float = math.inf) -> deque[TrackedRow]:
        """Remove and return the rows put on hold at or before `until`."""
        rows, taken = self._rows[reason], deque[TrackedRow]()
        while rows and rows[0][0] <= until:
            _, row = rows.popleft()
            self._bytes[reason] -= len(row.body)
            taken.append(row)
        return taken


def one_of_each_engagement(rows: Iterable[TrackedRow]) -> tuple[deque[TrackedRow], deque[TrackedRow]]:
    """One row of each engagement, to test whether it is still full, and all other rows."""
    first, others, seen = deque[TrackedRow](), deque[TrackedRow](), set[str]()
    for row in rows:
        (others if row.engagement in seen else first).append(row)
        seen.add(row.engagement)
    return first, others
