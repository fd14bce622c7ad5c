"""Pacing data in the checkpoint: the calls of the last day, and the state saved by the previous run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from heapq import merge

from sqlalchemy import Connection, delete, insert, text

from bulk_invite.checkpoint.tables import figures
from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.schema import pacing
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.findings import LATE
from bulk_invite.domain.records import PacingState


def calls_of_day(connection: Connection, now: float, *, grace: float) -> Iterator[float]:
    """Return the answer times of the last day's calls: epoch seconds, oldest first, never after `now`.

    If the program died before the answer, the service may have counted the call up to `grace` seconds after
    it was sent. If the clock was set back, later entries count as of now. Calls known to be missing count as
    of the last moment at which they can have been made.
    """
    grace += LATE
    missing = figures.missing(query_of(connection), now - DAY - grace)
    ends = ((min(now if until is None else until, now) + grace, calls) for until, calls in missing)
    lost = (time for time, calls in ends if time > now - DAY for _ in range(calls))
    yield from merge(_logged(connection, now, grace), lost)


def _logged(connection: Connection, now: float, grace: float) -> Iterator[float]:
    counted, since = text(figures.COUNTED), now - DAY - 2 * grace
    with connection.execute(counted, {"since": since}, execution_options=BY_PAGE) as calls:
        for at, answered in calls:
            time = min(at, now) if answered else min(at, now) + grace
            if time > now - DAY:
                yield time


def save(connection: Connection, memory: PacingState) -> None:
    """Save the pacing state, replacing the previous one."""
    connection.execute(delete(pacing))
    connection.execute(insert(pacing).values(asdict(memory)))
