"""Pacing data in the checkpoint: the calls of the last day, and the state saved by the previous run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from heapq import merge
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, case, delete, func, insert, select

from bulk_invite.checkpoint.tables import gaps
from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.schema import log, pacing
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.findings import LATE
from bulk_invite.domain.outcomes import NOT_COUNTED, WITHOUT_CALL, Outcome
from bulk_invite.domain.records import PacingState


def calls_of_day(connection: Connection, now: float, *, grace: float) -> Iterator[float]:
    """Return the answer times of the last day's calls: epoch seconds, oldest first, never after `now`.

    If the program died before the answer, the service may have counted the call up to `grace` seconds after
    it was sent. If the clock was set back, later entries count as of now. Calls known to be missing count as
    of the last moment at which they can have been made.
    """
    grace += LATE
    missing = gaps.missing(connection, now - DAY - grace)
    ends = ((min(now if until is None else until, now) + grace, calls) for until, calls in missing)
    lost = (time for time, calls in ends if time > now - DAY for _ in range(calls))
    yield from merge(_logged(connection, now, grace), lost)


def _logged(connection: Connection, now: float, grace: float) -> Iterator[float]:
    counted = _counted(now - DAY - 2 * grace)
    with connection.execute(counted, execution_options=BY_PAGE) as calls:
        for at, answered in calls:
            time = min(at, now) if answered else min(at, now) + grace
            if time > now - DAY:
                yield time


def count_of_day(connection: Connection, now: float) -> int:
    """Count the calls of the last day that the service may count."""
    calls = _counted(now - DAY - LATE).subquery()
    statement = select(func.count()).select_from(calls).where(calls.c.time > now - DAY)
    lost = sum(calls for _, calls in gaps.missing(connection, now - DAY))
    return int(connection.execute(statement).scalar_one()) + lost


def save(connection: Connection, memory: PacingState) -> None:
    """Save the pacing state, replacing the previous one."""
    connection.execute(delete(pacing))
    connection.execute(insert(pacing).values(asdict(memory)))


def load(connection: Connection) -> PacingState | None:
    """Load the saved state, or None."""
    row = connection.execute(select(pacing)).first()
    return None if row is None else PacingState(**row._asdict())


def shares(connection: Connection, now: float, over: float) -> tuple[int, int]:
    """Return the numbers of calls sent and of calls throttled in the last `over` seconds."""
    sent, throttled = connection.execute(
        select(
            func.coalesce(func.sum(case((log.c.event == "sent", 1), else_=0)), 0),
            func.coalesce(func.sum(case((log.c.outcome == Outcome.THROTTLED, 1), else_=0)), 0),
        ).where(log.c.at > now - over)
    ).one()
    return sent, throttled


def _counted(since: float) -> Select[Any]:
    """(time, whether it is the answer's time) of every call that the service may count."""

    def following(column: Column[Any]) -> ColumnElement[Any]:
        """The value in the next entry of the same row."""
        return func.lead(column).over(partition_by=log.c.client_token, order_by=log.c.entry)

    calls = (
        select(
            log.c.event,
            log.c.at,
            following(log.c.event).label("next_event"),
            following(log.c.at).label("next_at"),
            following(log.c.outcome).label("next_outcome"),
        )
        .where(log.c.at > since)
        .subquery()
    )
    outcome = func.coalesce(calls.c.next_outcome, "")
    answered = (calls.c.next_event == "answered") & outcome.not_in(WITHOUT_CALL)
    time = case((answered, calls.c.next_at), else_=calls.c.at).label("time")
    return (
        select(time, answered.is_(True))
        .where(calls.c.event == "sent", outcome.not_in(NOT_COUNTED))
        .order_by(time)
    )
