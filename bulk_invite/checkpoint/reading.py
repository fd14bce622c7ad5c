"""How far the reading of a source with keys has come, and which of its rows are to be read again.

Invariant: a watermark is committed together with the rows up to it. So what stands below it is known here by
key, and a reading that was broken off goes on above it; below it only the rows that are not settled are
asked for, by their keys. All of that is one campaign's: another one invites the same rows once more, and
reads them from the beginning.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, select, union

from bulk_invite.checkpoint.schema import invitations, unsent_rows, watermarks
from bulk_invite.invitation import Position
from bulk_invite.journal import Arrived
from bulk_invite.outcome import State

_INDEX: Final = "CREATE INDEX IF NOT EXISTS invitations_by_key ON invitations (source, row_key)"
"""Made when it is first asked for: files have no keys, and every row would pay for it."""


def watermark(connection: Connection, source: str, campaign: str) -> str | None:
    """The key up to which a reading that was broken off has come."""
    wanted = select(watermarks.c.row_key).where(_mark(source, campaign))
    return connection.execute(wanted).scalar_one_or_none()


def note(connection: Connection, reached: Position, campaign: str) -> None:
    forget(connection, reached.source, campaign)
    mark = {"source": reached.source, "campaign": campaign, "row_key": reached.key}
    connection.execute(insert(watermarks).values(mark))


def forget(connection: Connection, source: str, campaign: str) -> None:
    connection.execute(delete(watermarks).where(_mark(source, campaign)))


def open_keys(connection: Connection, source: str, campaign: str, after: str, limit: int) -> list[str]:
    """Keys of rows that have no invitation, in the order of their text, after one of them."""
    connection.exec_driver_sql(_INDEX)
    sent = select(invitations.c.row_key).where(
        _of(invitations, source, after),
        invitations.c.campaign == campaign,
        invitations.c.state != State.CREATED.value,
    )
    rejected = select(unsent_rows.c.row_key).where(_of(unsent_rows, source, after))
    both = union(sent, rejected).order_by("row_key").limit(limit)
    return list(connection.execute(both).scalars())


def arrived(connection: Connection, source: str, campaign: str, after: str, limit: int) -> list[Arrived]:
    """Rows that have an invitation, likewise."""
    connection.exec_driver_sql(_INDEX)
    wanted = (
        select(
            invitations.c.row_key,
            invitations.c.client_token,
            invitations.c.engagement,
            invitations.c.invitation_id,
            invitations.c.arn,
        )
        .where(
            _of(invitations, source, after),
            invitations.c.campaign == campaign,
            invitations.c.state == State.CREATED.value,
        )
        .order_by(invitations.c.row_key)
        .limit(limit)
    )
    return [
        Arrived(Position(source, key=key), token, engagement, invitation_id, arn)
        for key, token, engagement, invitation_id, arn in connection.execute(wanted)
    ]


def _mark(source: str, campaign: str) -> ColumnElement[bool]:
    return and_(watermarks.c.source == source, watermarks.c.campaign == campaign)


def _of(table: Table, source: str, after: str) -> ColumnElement[bool]:
    return and_(table.c.source == source, table.c.row_key > after)
