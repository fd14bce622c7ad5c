"""What the pacing finds in the checkpoint: the calls of the last day, and what the run before it knew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from heapq import merge
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, case, delete, func, insert, select

from bulk_invite.checkpoint.tables import gaps
from bulk_invite.checkpoint.tables.batch_sql import PAGE
from bulk_invite.checkpoint.tables.schema import log, pacing
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.findings import LATE
from bulk_invite.domain.outcomes import NOT_COUNTED, WITHOUT_CALL, Outcome
from bulk_invite.domain.records import PacingMemory


def calls_of_day(connection: Connection, now: float, *, grace: float) -> Iterator[float]:
    """When each call of the last day was answered, in epoch seconds, oldest first, never after `now`.

    A call that nobody saw the answer of (the program died) may have been counted up to `grace` seconds after
    it was sent. Where the clock was set back since, later entries count as of now. So do calls that are known
    to be missing, as of the last moment that they may have been made at.
    """
    grace += LATE
    missing = gaps.missing(connection, now - DAY - grace)
    ends = ((min(now if until is None else until, now) + grace, calls) for until, calls in missing)
    lost = (time for time, calls in ends if time > now - DAY for _ in range(calls))
    yield from merge(_logged(connection, now, grace), lost)


def _logged(connection: Connection, now: float, grace: float) -> Iterator[float]:
    counted = _counted(now - DAY - 2 * grace)
    with connection.execution_options(yield_per=PAGE).execute(counted) as calls:
        for at, answered in calls:
            time = min(at, now) if answered else min(at, now) + grace
            if time > now - DAY:
                yield time


def count_of_day(connection: Connection, now: float) -> int:
    """How many calls of the last day the service may count."""
    calls = _counted(now - DAY - LATE).subquery()
    statement = select(func.count()).select_from(calls).where(calls.c.time > now - DAY)
    lost = sum(calls for _, calls in gaps.missing(connection, now - DAY))
    return int(connection.execute(statement).scalar_one()) + lost


def remember(connection: Connection, memory: PacingMemory) -> None:
    """Keep what the pacing knows, in place of what was kept before."""
    connection.execute(delete(pacing))
    connection.execute(insert(pacing).values(asdict(memory)))


def recall(connection: Connection) -> PacingMemory | None:
    """What was kept last; None where nothing was."""
    row = connection.execute(select(pacing)).first()
    return None if row is None else PacingMemory(**row._asdict())


def shares(connection: Connection, now: float, over: float) -> tuple[int, int]:
    """Calls that were sent, and calls that were throttled, in the last `over` seconds."""
    sent, throttled = connection.execute(
        select(
            func.coalesce(func.sum(case((log.c.event == "sent", 1), else_=0)), 0),
            func.coalesce(func.sum(case((log.c.outcome == Outcome.THROTTLED, 1), else_=0)), 0),
        ).where(log.c.at > now - over)
    ).one()
    return sent, throttled


def _counted(since: float) -> Select[Any]:
    """(time, whether it is that of the answer) of every call that the service may count."""

    def following(column: Column[Any]) -> ColumnElement[Any]:
        """What the next entry of the same row holds."""
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
