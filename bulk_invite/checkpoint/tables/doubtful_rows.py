"""Queries for lookups: rows in doubt, and invitations that belong to other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, func, select

from bulk_invite.checkpoint.tables import indexes
from bulk_invite.checkpoint.tables.encoding import decode_errors
from bulk_invite.checkpoint.tables.schema import invitations
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State

_COLUMNS: Final = (
    invitations.c.client_token,
    invitations.c.body_hash,
    invitations.c.engagement,
    invitations.c.payload_type,
    invitations.c.doubt_since,
    invitations.c.last_sent,
    invitations.c.code,
    invitations.c.errors,
)
_DOUBTFUL: Final = select(*_COLUMNS).where(invitations.c.state == State.IN_DOUBT.value)

_OF_ENGAGEMENTS: Final = invitations.c.engagement.in_(bindparam("engagements", expanding=True))


def rows_of(connection: Connection, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
    """Return the rows in doubt, and those with an invitation, of some engagements."""
    indexes.require(connection, "invitations_by_engagement")
    parameters = {"engagements": engagements}
    created = select(invitations.c.client_token, invitations.c.invitation_id).where(
        invitations.c.state == State.CREATED.value, _OF_ENGAGEMENTS
    )
    doubtful = connection.execute(_DOUBTFUL.where(_OF_ENGAGEMENTS), parameters)
    return (
        [_doubtful(row) for row in doubtful],
        [SettledRow(*row) for row in connection.execute(created, parameters)],
    )


def in_doubt(connection: Connection, after: str, limit: int) -> list[tuple[DoubtfulRow, Position, str]]:
    """Return rows in doubt of engagements after the given one, with their positions and campaigns.

    The rows of an engagement are never split: the result contains as many engagements as `limit` rows
    require.
    """
    indexes.require(connection, "invitations_by_engagement")
    more = invitations.c.engagement > after
    column = invitations.c.engagement
    doubtful = _DOUBTFUL.add_columns(
        invitations.c.source, invitations.c.line, invitations.c.row_key, invitations.c.campaign
    ).where(more)
    last = connection.execute(
        select(column)
        .where(invitations.c.state == State.IN_DOUBT.value, more)
        .order_by(column)
        .offset(limit - 1)
        .limit(1)
    ).scalar_one_or_none()
    if last is not None:
        doubtful = doubtful.where(column <= last)
    return [
        (_doubtful(row), Position(row.source, row.line, row.row_key), row.campaign)
        for row in connection.execute(doubtful.order_by(column, invitations.c.client_token))
    ]


def has_created(connection: Connection) -> bool:
    created = select(exists().where(invitations.c.state == State.CREATED.value))
    return bool(connection.execute(created).scalar_one())


def count_in_doubt(connection: Connection) -> int:
    count = select(func.count()).select_from(invitations)
    return int(connection.execute(count.where(invitations.c.state == State.IN_DOUBT.value)).scalar_one())


def _doubtful(row: Any) -> DoubtfulRow:
    return DoubtfulRow(
        row.client_token,
        row.body_hash,
        row.engagement,
        row.payload_type,
        row.doubt_since,
        row.last_sent,
        row.code,
        decode_errors(row.errors),
    )
