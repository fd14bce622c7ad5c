"""Store the results of admission: rows by token, and rows that are not sent by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    literal,
    or_,
    select,
    update,
)

from bulk_invite.checkpoint.tables import returned_rows, twins
from bulk_invite.checkpoint.tables.batch_sql import CHANGE, Members, Prepared, parameters
from bulk_invite.checkpoint.tables.encoding import encode_errors
from bulk_invite.checkpoint.tables.schema import invitations, unsent_rows
from bulk_invite.domain.admissions import Admission, Duplicate, SeenAgain
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.verdicts import State

_OF_THE_ROW: Final = ("source", "line", "row_key", "body_hash", "engagement", "label", "payload_type")
_STORED: Final = Members("client_token", *_OF_THE_ROW, "receiver", "campaign")
_NEW: Final = Prepared(
    _STORED.insert_into(
        invitations, run=bindparam("of_run"), state=literal(State.PENDING.value), changed=CHANGE
    )
)
# A row that was never sent may have been edited since.
_CHANGED: Final = ("state", "code", "errors", "doubt_since", "last_sent")
_READ_AGAIN: Final = Members(*_STORED.names, *_CHANGED)
_AGAIN: Final = {name: _READ_AGAIN.of(invitations.c[name]) for name in (*_CHANGED, *_OF_THE_ROW)}
# Most rows that are read again are unchanged; do not mark those as changed.
_SHOWN: Final = ("state", "source", "row_key", "label")
_IS_OTHER: Final = or_(*(invitations.c[name] != _AGAIN[name] for name in _SHOWN))
_SEEN_AGAIN: Final = Prepared(
    update(invitations)
    .where(invitations.c.client_token == _READ_AGAIN.of(invitations.c.client_token))
    .values(
        {
            **_AGAIN,
            "run": bindparam("of_run"),
            "changed": case((_IS_OTHER, CHANGE), else_=invitations.c.changed),
        }
    )
)
_UNSENT: Final = Prepared(
    Members("source", "line", "row_key", "state", "client_token", "label", "errors").insert_into(
        unsent_rows, run=bindparam("of_run"), campaign=bindparam("campaign"), changed=CHANGE
    )
)
_FORGET_BETWEEN: Final = Prepared(
    delete(unsent_rows).where(
        unsent_rows.c.source == bindparam("source"),
        unsent_rows.c.line.between(bindparam("first"), bindparam("last")),
    )
)

StoredRow = tuple[object, ...]
"""The columns of a row that do not depend on calls, in the order of `_STORED`."""


@dataclass(slots=True)
class Known:
    """The stored data of a token, as far as admission needs it."""

    run: int
    position: Position
    body_hash: str
    state: State
    invitation_id: str = ""
    arn: str = ""
    code: str = ""
    errors: str = "[]"
    doubt_since: float | None = None
    last_sent: float | None = None
    receiver: str = ""
    label: str = ""
    campaign: str = ""


def note_invitations(
    connection: Connection,
    new: Sequence[tuple[Invitation, Known]],
    again: Sequence[tuple[Invitation, Known]],
    receivers: Mapping[str, str],
    *,
    run: int,
    change: int,
    campaign: str,
) -> None:
    """Store new rows, and what has changed of rows that were read again. receivers: hashes by token."""
    if new:
        rows_of_new = []
        for row, entry in new:
            entry.receiver = _receiver(row, entry, receivers)
            rows_of_new.append(values_of(row, entry.receiver, campaign))
        note_rows(connection, rows_of_new, run=run, change=change)
    if again:
        rows = (
            (
                *values_of(row, entry.receiver, campaign),
                entry.state.value,
                entry.code,
                entry.errors,
                entry.doubt_since,
                entry.last_sent,
            )
            for row, entry in again
        )
        _SEEN_AGAIN.run(connection, parameters(rows, change=change, of_run=run))
        twins.note(
            connection,
            [
                (row.client_token, receiver)
                for row, entry in again
                if (receiver := _receiver(row, entry, receivers)) != entry.receiver
            ],
        )


def _receiver(row: Invitation, entry: Known, receivers: Mapping[str, str]) -> str:
    return twins.stored_receiver(receivers.get(row.client_token, ""), entry.state)


def note_rows(connection: Connection, rows: Iterable[StoredRow], *, run: int, change: int) -> None:
    """Store new rows."""
    _NEW.run(connection, parameters(rows, change=change, of_run=run))


def values_of(row: Invitation, receiver: str, campaign: str) -> StoredRow:
    """The columns of a row. receiver: see `twins.stored_receiver`."""
    position = row.row.position
    return (
        row.client_token,
        position.source,
        position.line,
        position.key,
        row.body_hash,
        row.engagement,
        row.label,
        row.payload_type,
        receiver,
        campaign,
    )


def note_unsent(
    connection: Connection,
    admissions: Iterable[Admission],
    first: Mapping[Position, Position],
    *,
    run: int,
    change: int,
    campaign: str,
    follows: bool,
) -> None:
    """Store rejected rows and duplicates by position, replacing what was stored there before.

    first: see `returned_rows.first_positions`.
    """
    returned_rows.forget(connection, first)
    for source, of_source in groupby(admissions, lambda admission: row_of(admission).position.source):
        group = [each for each in of_source if not isinstance(each, SeenAgain)]
        if not group:
            continue
        positions = [row_of(admission).position for admission in group]
        lines, keys = [each.line for each in positions], [each.key for each in positions if each.key]
        if keys:
            read_again = and_(unsent_rows.c.source == source, unsent_rows.c.row_key.in_(keys))
            _clear_restored(connection, read_again, change)
            connection.execute(delete(unsent_rows).where(read_again))
        elif follows:  # earlier rows may lie between them and stay as they are
            read_again = and_(unsent_rows.c.source == source, unsent_rows.c.line.in_(lines))
            connection.execute(delete(unsent_rows).where(read_again))
        else:
            _FORGET_BETWEEN.run(connection, {"source": source, "first": lines[0], "last": lines[-1]})
        # One row per position: the last one wins.
        unsent = {
            row_of(admission).position: values
            for admission in group
            # A row of a followed source is recognized by its own position when it is read again.
            if (values := _unsent_values(admission, {} if follows else first)) is not None
        }
        if unsent:
            rows = parameters(unsent.values(), change=change, of_run=run, campaign=campaign)
            _UNSENT.run(connection, rows)


def _clear_restored(connection: Connection, read_again: ColumnElement[bool], change: int) -> None:
    """Clear rows that were rejected as changed after sending and are unchanged again."""
    rejected = select(unsent_rows.c.client_token).where(read_again, unsent_rows.c.client_token != "")
    if tokens := connection.execute(rejected).scalars().all():
        of_them = invitations.c.client_token.in_(tokens)
        connection.execute(update(invitations).where(of_them).values(changed=change))


def row_of(admission: Admission | Invitation) -> Row:
    return (
        admission.row
        if isinstance(admission, Rejection | SeenAgain | Invitation)
        else admission.invitation.row
    )


def _unsent_values(admission: Admission, first: Mapping[Position, Position]) -> tuple[object, ...] | None:
    """The members of `_UNSENT`; None for a row that may be sent."""
    match admission:
        case Rejection(errors=errors, sent_as=token, label=label):
            state, encoded = State.REJECTED, encode_errors(errors)
            position = first.get(admission.row.position, admission.row.position)
        case Duplicate(invitation=invitation):
            state, encoded, token, label = State.DUPLICATE, "[]", invitation.client_token, invitation.label
            position = invitation.position
        case _:
            return None
    return position.source, position.line, position.key, state.value, token, label, encoded
