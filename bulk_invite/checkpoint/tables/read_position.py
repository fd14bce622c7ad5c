"""The read position in a source with keys, and the rows before it that must be read again.

Invariant: a watermark is committed together with the rows up to it. So all rows below it are known here by
key, and an interrupted read resumes above it; below it only unsettled rows are fetched, by key. Positions are
per campaign: another campaign sends the same rows again and reads them from the beginning.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    union,
)

from bulk_invite.checkpoint.tables import indexes
from bulk_invite.checkpoint.tables.schema import invitations, marks, unsent_rows, watermarks
from bulk_invite.domain.admissions import SkippedRow
from bulk_invite.domain.records import SourceCursor
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import OPEN, State

_OPEN: Final = [state.value for state in OPEN]


def watermark(connection: Connection, source: str, campaign: str) -> str | None:
    """The key up to which an interrupted read has come."""
    wanted = select(watermarks.c.row_key).where(_of_campaign(watermarks, source, campaign))
    return connection.execute(wanted).scalar_one_or_none()


def note(connection: Connection, reached: Position | SourceCursor, campaign: str) -> None:
    if isinstance(reached, SourceCursor):
        connection.execute(delete(marks).where(_of_campaign(marks, reached.source, campaign)))
        text = {"source": reached.source, "campaign": campaign, "mark": reached.text}
        connection.execute(insert(marks).values(text))
        return
    forget(connection, reached.source, campaign)
    watermark_row = {"source": reached.source, "campaign": campaign, "row_key": reached.key}
    connection.execute(insert(watermarks).values(watermark_row))


def source_cursor(connection: Connection, source: str, campaign: str) -> str | None:
    """The position in a followed source, in its own notation."""
    wanted = select(marks.c.mark).where(_of_campaign(marks, source, campaign))
    return connection.execute(wanted).scalar_one_or_none()


def forget(connection: Connection, source: str, campaign: str) -> None:
    connection.execute(delete(watermarks).where(_of_campaign(watermarks, source, campaign)))


def open_keys(
    connection: Connection,
    source: str,
    campaign: str,
    after: str,
    limit: int,
    *,
    to_send: bool,
    first_run: int,
) -> list[str]:
    """Return keys of rows without an invitation, in text order, after a given key.

    to_send: only rows to be sent as they are, neither refused nor rejected. first_run: rows that only earlier
    runs have read are gone, or there is another version of them.
    """
    indexes.require(connection, "invitations_by_key")
    if to_send:
        wanted = select(invitations.c.row_key).where(
            _of(invitations, source, after),
            invitations.c.campaign == campaign,
            invitations.c.state.in_(_OPEN),
            invitations.c.run >= first_run,
        )
        return list(connection.execute(wanted.order_by(invitations.c.row_key).limit(limit)).scalars())
    both = _open_keys(source, campaign, after, first_run).order_by("row_key").limit(limit)
    return list(connection.execute(both).scalars())


def known_rows(connection: Connection, source: str, campaign: str) -> int:
    """Return the number of rows that a run takes in before it continues after the watermark."""
    still_open = select(func.count()).select_from(_open_keys(source, campaign, "", first_run=0).subquery())
    return count_created(connection, source, campaign) + int(connection.execute(still_open).scalar_one())


def count_created(connection: Connection, source: str, campaign: str, first_run: int = 0) -> int:
    """Return the number of rows with an invitation that this or a later run has read."""
    created = select(func.count()).where(
        _of(invitations, source, ""),
        invitations.c.campaign == campaign,
        invitations.c.state == State.CREATED.value,
        invitations.c.run >= first_run,
    )
    return int(connection.execute(created).scalar_one())


def known_keys(connection: Connection, source: str, campaign: str, limit: int) -> list[str]:
    """Return keys of some rows that have a token, in any state."""
    indexes.require(connection, "invitations_by_key")
    wanted = select(invitations.c.row_key).where(
        _of(invitations, source, ""), invitations.c.campaign == campaign
    )
    return list(connection.execute(wanted.order_by(invitations.c.row_key).limit(limit)).scalars())


def created_rows(
    connection: Connection, source: str, campaign: str, after: str, limit: int, *, runs: range
) -> list[SkippedRow]:
    """Return rows with an invitation, in text order of their keys, after a given key.

    runs: one of these has read them last, not the current one.
    """
    indexes.require(connection, "invitations_by_key")
    wanted = (
        select(
            invitations.c.row_key,
            invitations.c.client_token,
            invitations.c.invitation_id,
            invitations.c.arn,
            invitations.c.label,
        )
        .where(
            _of(invitations, source, after),
            invitations.c.campaign == campaign,
            invitations.c.state == State.CREATED.value,
            invitations.c.run >= runs.start,
            invitations.c.run < runs.stop,
        )
        .order_by(invitations.c.row_key)
        .limit(limit)
    )
    return [SkippedRow(Position(source, key=key), *values) for key, *values in connection.execute(wanted)]


def _open_keys(source: str, campaign: str, after: str, first_run: int) -> CompoundSelect[str]:
    sent = select(invitations.c.row_key).where(
        _of(invitations, source, after),
        invitations.c.campaign == campaign,
        invitations.c.state != State.CREATED.value,
        invitations.c.run >= first_run,
    )
    rejected = select(unsent_rows.c.row_key).where(_of(unsent_rows, source, after))
    return union(sent, rejected)


def _of_campaign(table: Table, source: str, campaign: str) -> ColumnElement[bool]:
    return and_(table.c.source == source, table.c.campaign == campaign)


def _of(table: Table, source: str, after: str) -> ColumnElement[bool]:
    return and_(table.c.source == source, table.c.row_key > after)
