"""Calls that a checkpoint may lack: it was found to be older than the last one, or may be a copy that is.

Rows that were not called after a gap, as far as is known here, may have been called in it. So they are looked
up before they are called, however long ago it was found: nobody knows which rows are still to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from bulk_invite.checkpoint.tables.schema import gaps


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls since a moment, up to another one, may be missing. Epoch seconds; until None: up to now.

    calls: how many are, None where that is not known. why: how it was found, for the operator.
    """

    since: float
    until: float | None
    calls: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Rows whose last call is not known to be after `until` may have been called since `since`.

    is_counted: it is known how many calls that is, and the day counts them already.
    """

    since: float
    until: float
    is_counted: bool = False


def note(connection: Connection, gap: Gap) -> None:
    values = {"since": gap.since, "until": gap.until, "calls": gap.calls, "why": gap.why, "found": 0}
    connection.execute(insert(gaps).values(values))


def close(connection: Connection, now: float) -> list[Gap]:
    """End the open ones, and say which: whoever made those calls is gone, for the checkpoint is ours."""
    is_open = gaps.c.until.is_(None)
    rows = connection.execute(
        select(gaps.c.since, gaps.c.calls, gaps.c.why).where(is_open).order_by(gaps.c.entry)
    ).all()
    connection.execute(update(gaps).where(is_open).values(until=now))
    return [Gap(row.since, now, row.calls, row.why) for row in rows]


def suspicion(connection: Connection) -> Suspicion | None:
    """What follows from all of them; None where there are none."""
    all_known = func.count(gaps.c.calls) == func.count()
    since, until, is_counted = connection.execute(
        select(func.min(gaps.c.since), func.max(gaps.c.until), all_known)
    ).one()
    return None if until is None else Suspicion(since, until, bool(is_counted))


def found(connection: Connection, calls: int) -> None:
    """Some of the missing calls have turned up."""
    last = select(func.max(gaps.c.entry)).scalar_subquery()
    connection.execute(update(gaps).where(gaps.c.entry == last).values(found=gaps.c.found + calls))


def missing(connection: Connection, since: float) -> Sequence[tuple[float | None, int]]:
    """(until, how many) of the calls that are known to be missing still, of gaps that end after `since`."""
    wanted = select(gaps.c.until, gaps.c.calls - gaps.c.found).where(
        gaps.c.calls > gaps.c.found, or_(gaps.c.until.is_(None), gaps.c.until > since)
    )
    return [(until, int(calls)) for until, calls in connection.execute(wanted.order_by(gaps.c.until))]


def count(connection: Connection) -> tuple[int, list[str]]:
    """How many are known for what they are, and how the others were found, which may be nothing."""
    perhaps = and_(gaps.c.calls.is_(None), gaps.c.found == 0)
    rows = connection.execute(select(gaps.c.why, perhaps).order_by(gaps.c.entry)).all()
    return sum(not doubt for _, doubt in rows), [why for why, doubt in rows if doubt]
