"""Periods whose calls a checkpoint may lack because it is, or may be, older than its last call.

Rows without a recorded call after a gap may have been called during it. So they are looked up before they are
sent, however old the gap is: any row that is still to be read may be one of them.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, insert, select, update

from bulk_invite.checkpoint.tables.schema import gaps
from bulk_invite.checkpoint.tables.values import Gap, UncertainPeriod


def note(connection: Connection, gap: Gap) -> None:
    values = {"since": gap.since, "until": gap.until, "calls": gap.calls, "why": gap.why, "found": 0}
    connection.execute(insert(gaps).values(values))


def close(connection: Connection, now: float) -> list[Gap]:
    """End the open gaps and return them: we hold the checkpoint, so whoever made those calls has ended."""
    is_open = gaps.c.until.is_(None)
    rows = connection.execute(
        select(gaps.c.since, gaps.c.calls, gaps.c.why).where(is_open).order_by(gaps.c.entry)
    ).all()
    connection.execute(update(gaps).where(is_open).values(until=now))
    return [Gap(row.since, now, row.calls, row.why) for row in rows]


def uncertain_period(connection: Connection) -> UncertainPeriod | None:
    """Combine all gaps; None if there are none."""
    all_known = func.count(gaps.c.calls) == func.count()
    since, until, is_counted = connection.execute(
        select(func.min(gaps.c.since), func.max(gaps.c.until), all_known)
    ).one()
    return None if until is None else UncertainPeriod(since, until, bool(is_counted))


def found(connection: Connection, calls: int) -> None:
    """Count missing calls that have been found."""
    last = select(func.max(gaps.c.entry)).scalar_subquery()
    connection.execute(update(gaps).where(gaps.c.entry == last).values(found=gaps.c.found + calls))


def count(connection: Connection) -> tuple[int, list[str]]:
    """Return the number of confirmed gaps, and the reasons of the unconfirmed ones."""
    perhaps = and_(gaps.c.calls.is_(None), gaps.c.found == 0)
    rows = connection.execute(select(gaps.c.why, perhaps).order_by(gaps.c.entry)).all()
    return sum(not doubt for _, doubt in rows), [why for why, doubt in rows if doubt]
