"""The calls of a checkpoint over time: per period and per run, and the times without calls.

Only sums per period leave the database, at most `MOST_BUCKETS` of them, however long the log is.
"""

from __future__ import annotations

import math
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from bulk_invite.checkpoint.audit.result import Bucket, Course, OverTime, Run, Silence
from bulk_invite.checkpoint.tables.schema import log, runs
from bulk_invite.domain.durations import DAY, HOUR, MINUTE
from bulk_invite.domain.outcomes import INVITED, Outcome

MOST_BUCKETS: Final = 240
MOSTDAYS: Final = 60
MOST_RUNS: Final = 50
MOST_SILENCES: Final = 50

SILENCE: Final = 600.0
"""Seconds without a call from which a silence is reported."""

_WIDTHS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(HOUR * hours for hours in (1, 2, 3, 6, 12)),
    DAY,
)
"""Possible widths of a bucket in seconds, up to whole days."""


class _Floor(FunctionElement[int]):
    """Floor of a positive number; databases round a cast differently."""

    inherit_cache = True
    type = Integer()


@compiles(_Floor, "sqlite")
def _by_sqlite(floor: _Floor, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(floor.clauses, **options)} AS INTEGER)"


@compiles(_Floor, "postgresql")
def _by_postgres(floor: _Floor, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor({compiler.process(floor.clauses, **options)}) AS BIGINT)"


def course(connection: Connection) -> Course:
    lengths = func.coalesce(func.sum(runs.c.last_event - runs.c.started), 0.0)
    first_started, last_event, elapsed, in_all = connection.execute(
        select(func.min(runs.c.started), func.max(runs.c.last_event), lengths, func.count()).select_from(runs)
    ).one()
    days_in_all = connection.execute(select(func.count(_Floor(log.c.at / DAY).distinct()))).scalar_one()
    return Course(
        first_started=first_started,
        last_event=last_event,
        elapsed=elapsed,
        over_time=_over_time(connection),
        days=tuple(_buckets(connection, DAY, latest=MOSTDAYS)),
        days_in_all=int(days_in_all),
        runs=_runs(connection),
        runs_in_all=int(in_all),
        silences=_silences(connection),
    )


def width_of(first: float, last: float) -> float:
    """Width of a bucket in seconds, so that few enough of them, aligned to multiples of it, cover a span."""
    for width in _WIDTHS:
        if _reach(first, last, width) <= MOST_BUCKETS:
            return float(width)
    days = math.ceil((last - first) / DAY / (MOST_BUCKETS - 1))
    return float(days * DAY)


def _reach(first: float, last: float, width: float) -> int:
    return math.floor(last / width) - math.floor(first / width) + 1


def _over_time(connection: Connection) -> OverTime:
    first, last = connection.execute(select(func.min(log.c.at), func.max(log.c.at))).one()
    if first is None:
        return OverTime(1.0)
    width = width_of(first, last)
    return OverTime(width, tuple(_buckets(connection, width, latest=MOST_BUCKETS)))


def _buckets(connection: Connection, width: float, *, latest: int) -> list[Bucket]:
    number = _Floor(log.c.at / width).label("number")

    def count(of: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((of, 1), else_=0))

    counts = select(
        number,
        count(log.c.event == "sent"),
        count(log.c.outcome == Outcome.THROTTLED),
        count(log.c.outcome.in_(INVITED)),
    )
    rows = connection.execute(counts.group_by(number).order_by(number.desc()).limit(latest)).all()
    return [
        Bucket(at * width, int(calls), int(throttled), int(yes)) for at, calls, throttled, yes in rows[::-1]
    ]


def _runs(connection: Connection) -> tuple[Run, ...]:
    """The latest runs, with the calls made during each."""
    latest = select(runs).order_by(runs.c.run.desc()).limit(MOST_RUNS).subquery()
    within = and_(log.c.at >= latest.c.started, log.c.at <= latest.c.last_event, log.c.event == "sent")
    calls = select(func.count()).select_from(log).where(within).scalar_subquery()
    rows = connection.execute(select(latest, calls).order_by(latest.c.run)).all()
    return tuple(Run(*row) for row in rows)


def _silences(connection: Connection) -> tuple[Silence, ...]:
    """The longest silences, in chronological order.

    The time between two runs does not count: only from the beginning to the last event of a run.
    """
    before = func.coalesce(func.lag(log.c.at).over(order_by=log.c.at), 0.0)
    calls = select(log.c.at.label("until"), before.label("since")).where(log.c.event == "sent").subquery()
    gaps = select(calls).where(calls.c.until - calls.c.since > SILENCE).subquery()
    since = case((gaps.c.since > runs.c.started, gaps.c.since), else_=runs.c.started)
    until = case((gaps.c.until < runs.c.last_event, gaps.c.until), else_=runs.c.last_event)
    pieces = (
        select(runs.c.run, since.label("since"), until.label("until"), (until - since).label("length"))
        .join_from(gaps, runs, and_(runs.c.started < gaps.c.until, runs.c.last_event > gaps.c.since))
        .where(until - since > SILENCE)
    ).subquery()
    longest = select(pieces.c.run, pieces.c.since, pieces.c.until).order_by(pieces.c.length.desc())
    rows = connection.execute(longest.limit(MOST_SILENCES)).all()
    return tuple(sorted((Silence(*row) for row in rows), key=lambda each: each.since))
