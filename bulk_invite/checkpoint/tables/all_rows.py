"""Every row of a checkpoint in certain states, sent or not, by source and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, null, select, union_all

from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.encoding import decode_errors
from bulk_invite.checkpoint.tables.schema import findings, invitations, runs, unsent_rows
from bulk_invite.checkpoint.tables.twins import first_row_of_skipped
from bulk_invite.domain.records import Record
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import OPEN, State

_OF_BOTH: Final = ("client_token", "state", "source", "line", "row_key", "errors", "campaign", "label")
_TEXTS: Final = ("engagement", "payload_type", "invitation_id", "arn", "code")
"""Columns of rows that were admitted to be sent."""

_PLACE: Final = ("source", "line", "row_key")


def records(connection: Connection, states: Sequence[State]) -> Iterator[Record]:
    """Iterate over the rows by source, line and key, in constant memory."""
    wanted = [state.value for state in states]
    both = union_all(_sent(wanted), _unsent(wanted)).order_by("source", "line", "row_key")
    with connection.execute(both, execution_options=BY_PAGE) as rows:
        for row in rows:
            values = row._asdict()
            known = {
                "duplicate_of": _position(values, "first_"),
                "position": _position(values, ""),
                "state": State(row.state),
                "errors": decode_errors(row.errors),
            }
            yield Record(**{**values, **known})


def engagements_to_send(connection: Connection) -> int:
    """Count the engagements, by id or Arn, of the rows that the last run has read and not settled."""
    given = invitations.c.engagement
    before_id = func.rtrim(given, func.replace(given, "/", ""))  # up to the last slash
    last_run = select(func.max(runs.c.run)).scalar_subquery()
    counted = select(func.count(func.substr(given, func.length(before_id) + 1).distinct())).where(
        invitations.c.run == last_run, invitations.c.state.in_([state.value for state in OPEN])
    )
    return int(connection.execute(counted).scalar_one())


def _sent(states: Sequence[str]) -> Select[Any]:
    names = (*_OF_BOTH, *_TEXTS, "attempts", "first_sent", "last_sent")
    columns = [invitations.c[name].label(name) for name in names]  # two tables have a `source`
    first = invitations.alias("first")
    is_skipped = invitations.c.state == State.DUPLICATE.value
    token = case((is_skipped, first_row_of_skipped()), else_=null())
    return (
        select(
            *columns,
            _evidence().label("evidence"),
            *(first.c[name].label(f"first_{name}") for name in _PLACE),
        )
        .select_from(invitations)
        .outerjoin(first, first.c.client_token == token)
        .where(invitations.c.state.in_(states))
    )


def _unsent(states: Sequence[str]) -> Select[Any]:
    """Rejected rows and duplicates, these with the row that has their token."""
    first = and_(
        unsent_rows.c.state == State.DUPLICATE.value,
        invitations.c.client_token == unsent_rows.c.client_token,
    )
    return (
        select(
            *(unsent_rows.c[name] for name in _OF_BOTH),
            *(literal("").label(name) for name in _TEXTS),
            literal(0).label("attempts"),
            null().label("first_sent"),
            null().label("last_sent"),
            literal("").label("evidence"),
            *(invitations.c[name].label(f"first_{name}") for name in _PLACE),
        )
        .outerjoin(invitations, first)
        .where(unsent_rows.c.state.in_(states))
    )


def _position(values: dict[str, Any], prefix: str) -> Position | None:
    """Take the position out of the values of a row."""
    source, line, key = (values.pop(f"{prefix}{name}") for name in _PLACE)
    return None if source is None else Position(source, line, key)


def _evidence() -> ColumnElement[str]:
    """The latest finding of a row."""
    latest = (
        select(findings.c.evidence)
        .where(findings.c.client_token == invitations.c.client_token)
        .order_by(findings.c.entry.desc())
        .limit(1)
    )
    return func.coalesce(latest.scalar_subquery(), "")
