"""List the rows of a source that changed since a given transaction.

Every transaction has a number higher than all before it, and stores it with the rows that it changes. So a
reader that has seen all rows up to a number has missed nothing, however often a row has changed: it always
gets the current version.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    func,
    literal,
    outerjoin,
    select,
    tuple_,
    union_all,
)

from bulk_invite.checkpoint.tables import indexes
from bulk_invite.checkpoint.tables.encoding import decode_errors
from bulk_invite.checkpoint.tables.schema import invitations, unsent_rows
from bulk_invite.domain.records import Change, Record
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State

_OF_SENT: Final = (
    "engagement",
    "payload_type",
    "invitation_id",
    "arn",
    "attempts",
    "first_sent",
    "last_sent",
)


def changes(
    connection: Connection, source: str, campaign: str, after: Change, limit: int
) -> tuple[Change, list[Record]]:
    """Return rows with keys that changed after a change, oldest first, and the last change among them.

    A row that was not sent again because it was edited is returned with what is known of the version sent.
    """
    indexes.require(connection, "invitations_by_change", "unsent_rows_by_change")
    pages = (
        _page(_sent(campaign), invitations, source, after, limit),
        _page(_unsent(), unsent_rows, source, after, limit),
    )
    both = union_all(*(select(page.subquery()) for page in pages))
    rows = connection.execute(both.order_by("changed", "row_key", "client_token").limit(limit)).all()
    if not rows:
        return after, []
    reached = (rows[-1].changed, rows[-1].row_key, rows[-1].client_token)
    records = []
    for row in rows:
        values = row._asdict()
        position = Position(source, values.pop("line"), values.pop("row_key"))
        del values["changed"]
        known = {"position": position, "state": State(row.state), "errors": decode_errors(row.errors)}
        records.append(Record(**{**values, **known}, evidence=""))
    return reached, records


def _page(wanted: Select[Any], table: Table, source: str, after: Change, limit: int) -> Select[Any]:
    order = (table.c.changed, table.c.row_key, table.c.client_token)
    later = tuple_(*order) > tuple_(*after)
    mine = wanted.where(table.c.source == source, table.c.row_key != "", table.c.changed >= after[0], later)
    return mine.order_by(*order).limit(limit)


def _sent(campaign: str) -> Select[Any]:
    columns = {**_common(invitations), **{name: invitations.c[name] for name in _OF_SENT}}
    return select(*columns.values()).where(invitations.c.campaign == campaign)


def _unsent() -> Select[Any]:
    """Rejected rows and duplicates; if a row was sent before, the data of that call take precedence."""
    of_row = and_(
        invitations.c.client_token == unsent_rows.c.client_token,
        unsent_rows.c.state == State.REJECTED.value,
    )
    common = _common(unsent_rows)
    common["state"] = func.coalesce(invitations.c.state, unsent_rows.c.state)
    common["code"] = func.coalesce(invitations.c.code, literal(""))
    for name in _OF_SENT:
        column = invitations.c[name]
        nothing = literal("") if isinstance(column.type, Text) else literal(0)
        common[name] = column if column.nullable else func.coalesce(column, nothing)
    columns = (value.label(name) for name, value in common.items())
    return select(*columns).select_from(outerjoin(unsent_rows, invitations, of_row))


def _common(table: Table) -> dict[str, ColumnElement[Any]]:
    names = ("changed", "row_key", "client_token", "line", "state", "errors", "label")
    code = invitations.c.code if table is invitations else literal("")
    return {**{name: table.c[name] for name in names}, "code": code.label("code")}
