"""Store the results of admission: rows by token, and rows that are not sent by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, case, delete, or_, select, update

from bulk_invite.checkpoint.tables import returned_rows, twins
from bulk_invite.checkpoint.tables.batch_sql import CHANGE, field_for, insert_each, parameters
from bulk_invite.checkpoint.tables.encoding import encode_errors
from bulk_invite.checkpoint.tables.schema import invitations, unsent_rows
from bulk_invite.domain.admissions import Admission, Duplicate, SeenAgain
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.verdicts import State

_OF_THE_ROW: Final = ("source", "line", "row_key", "body_hash", "engagement", "label", "payload_type")
_NEW: Final = insert_each(
    invitations, "client_token", "run", "campaign", "state", "receiver", *_OF_THE_ROW, changed=CHANGE
)
# A row that was never sent may have been edited since.
_MAY_CHANGE: Final = ("run", "state", "code", "errors", "doubt_since", "last_sent", *_OF_THE_ROW)
_AGAIN: Final = {name: field_for(invitations.c[name]) for name in _MAY_CHANGE}
# Most rows that are read again are unchanged; do not mark those as changed.
_SHOWN: Final = ("state", "source", "row_key", "label")
_IS_OTHER: Final = or_(*(invitations.c[name] != _AGAIN[name] for name in _SHOWN))
_SEEN_AGAIN: Final = (
    update(invitations)
    .where(invitations.c.client_token == field_for(invitations.c.client_token))
    .values({**_AGAIN, "changed": case((_IS_OTHER, CHANGE), else_=invitations.c.changed)})
)
_UNSENT: Final = insert_each(
    unsent_rows,
    *("source", "line", "row_key", "run", "state", "campaign", "client_token", "label", "errors"),
    changed=CHANGE,
)


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
    for row, entry in new:
        entry.receiver = _receiver(row, entry, receivers)
    if new:
        rows_of_new = ({**values_of(row, entry.receiver), "campaign": campaign} for row, entry in new)
        note_rows(connection, rows_of_new, run=run, change=change)
    if again:
        rows = (
            {
                **values_of(row, entry.receiver),
                "run": run,
                "state": entry.state.value,
                "code": entry.code,
                "errors": entry.errors,
                "doubt_since": entry.doubt_since,
                "last_sent": entry.last_sent,
            }
            for row, entry in again
        )
        connection.execute(_SEEN_AGAIN, parameters(rows, change=change))
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


def note_rows(connection: Connection, rows: Iterable[Mapping[str, object]], *, run: int, change: int) -> None:
    """Store new rows, given as `values_of` plus the campaign."""
    once = {"run": run, "state": State.PENDING.value}
    connection.execute(_NEW, parameters(({**row, **once} for row in rows), change=change))


def values_of(row: Invitation, receiver: str) -> dict[str, object]:
    """Return the columns that do not depend on calls. receiver: see `twins.stored_receiver`."""
    return {
        "client_token": row.client_token,
        "source": row.position.source,
        "line": row.position.line,
        "row_key": row.position.key,
        "body_hash": row.body_hash,
        "engagement": row.engagement,
        "receiver": receiver,
        "label": row.label,
        "payload_type": row.payload_type,
    }


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
            read_again = unsent_rows.c.row_key.in_(keys)
            _clear_restored(connection, and_(unsent_rows.c.source == source, read_again), change)
        elif follows:  # earlier rows may lie between them and stay as they are
            read_again = unsent_rows.c.line.in_(lines)
        else:
            read_again = unsent_rows.c.line.between(lines[0], lines[-1])
        connection.execute(delete(unsent_rows).where(unsent_rows.c.source == source, read_again))
        # One row per position: the last one wins.
        unsent = {
            row_of(admission).position: values
            for admission in group
            # A row of a followed source is recognized by its own position when it is read again.
            if (values := _unsent_values(admission, {} if follows else first)) is not None
        }
        if unsent:
            rows = ({**values, "run": run, "campaign": campaign} for values in unsent.values())
            connection.execute(_UNSENT, parameters(rows, change=change))


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


def _unsent_values(admission: Admission, first: Mapping[Position, Position]) -> dict[str, object] | None:
    position = row_of(admission).position
    if isinstance(admission, Rejection):
        position = first.get(position, position)
    values: dict[str, object] = {
        "source": position.source,
        "line": position.line,
        "row_key": position.key,
    }
    match admission:
        case Rejection(errors=errors, sent_as=token, label=label):
            return {
                **values,
                "state": State.REJECTED.value,
                "client_token": token,
                "label": label,
                "errors": encode_errors(errors),
            }
        case Duplicate(invitation=invitation):
            return {
                **values,
                "state": State.DUPLICATE.value,
                "client_token": invitation.client_token,
                "label": invitation.label,
                "errors": "[]",
            }
        case _:
            return None
