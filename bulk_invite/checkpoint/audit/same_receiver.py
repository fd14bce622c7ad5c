"""Find the partners that several rows invite to the same engagement, for the report."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from sqlalchemy import Connection, case, func, literal_column, select

from bulk_invite.checkpoint.audit.result import SharedReceiver, TwinRow
from bulk_invite.checkpoint.tables.schema import invitations
from bulk_invite.domain.records import NamedRow
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import OPEN, State

_MOST_RECEIVERS: Final = 50
_MOST_ROWS: Final = 5
"""Rows of one receiver that are named."""

_row: Final = invitations.c
# Refused rows have no hash, and a skipped row is not sent.
_COUNTS: Final = _row.state.in_([State.CREATED.value, *(state.value for state in OPEN)])
_PLACE: Final = (_row.source, _row.line, _row.row_key)
_GROUPS: Final = (
    select(
        _row.receiver,
        func.count().label("rows"),
        func.sum(case((_row.state == State.CREATED.value, 1), else_=0)).label("invited"),
        func.min(_row.first_sent).label("since"),
    )
    .where(_row.receiver != literal_column("''"), _COUNTS)
    .group_by(_row.receiver)
    .having(func.count() > 1)
    .subquery("groups")
)
_IS_OPEN: Final = case((_GROUPS.c.invited > 1, 0), else_=1)


def shared_receivers(connection: Connection) -> tuple[tuple[SharedReceiver, ...], int, int]:
    """Return the receivers of several rows, how many there are, and how many have several invitations.

    Those with several invitations come first; only the first receivers and the first rows of each are named.
    """
    several = func.coalesce(func.sum(1 - _IS_OPEN), 0)
    in_all, invited_again = connection.execute(select(func.count(), several).select_from(_GROUPS)).one()
    order = (_IS_OPEN, _GROUPS.c.since.is_(None), _GROUPS.c.since, _GROUPS.c.receiver)
    first = select(_GROUPS, func.row_number().over(order_by=order).label("rank"))
    largest = first.order_by(*order).limit(_MOST_RECEIVERS).subquery("largest")
    number = func.row_number().over(
        partition_by=_row.receiver, order_by=(_row.first_sent.is_(None), _row.first_sent, *_PLACE)
    )
    rows = (
        select(*_PLACE, _row.state, _row.label, largest, number.label("number"))
        .join(largest, largest.c.receiver == _row.receiver)
        .where(_COUNTS)
        .subquery("named")
    )
    named = select(rows).where(rows.c.number <= _MOST_ROWS).order_by(rows.c.rank, rows.c.number)
    shared = []
    for _, group in groupby(connection.execute(named), lambda each: each.receiver):
        twins = list(group)
        first_rows = tuple(
            TwinRow(NamedRow(Position(each.source, each.line, each.row_key), each.label), State(each.state))
            for each in twins
        )
        shared.append(SharedReceiver(first_rows, int(twins[0].rows), int(twins[0].invited)))
    return tuple(shared), int(in_all), int(invited_again)
