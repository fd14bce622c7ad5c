"""Which rows of a batch are new, to go on with, settled, or there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, update

from bulk_invite.checkpoint.bulk import field, insert_each, parameters
from bulk_invite.checkpoint.encoding import decode_errors, encode_errors
from bulk_invite.checkpoint.schema import invitations, unsent_rows
from bulk_invite.invitation import Invitation, Rejection, Row, RowError
from bulk_invite.journal import Admission, AlreadySettled, Duplicate, ToSend
from bulk_invite.outcome import State

_KNOWN: Final = select(
    invitations.c.client_token,
    invitations.c.run,
    invitations.c.body_hash,
    invitations.c.state,
    invitations.c.invitation_id,
    invitations.c.arn,
    invitations.c.code,
    invitations.c.errors,
    invitations.c.doubt_since,
    invitations.c.last_sent,
).where(invitations.c.client_token.in_(bindparam("tokens", expanding=True)))

_NEW: Final = insert_each(
    invitations,
    "client_token",
    "run",
    "campaign",
    "source",
    "line",
    "row_key",
    "body_hash",
    "engagement",
    "payload_type",
    "state",
)
# A row that was never sent may have been changed since.
_MAY_CHANGE: Final = (
    "run",
    "state",
    "source",
    "line",
    "row_key",
    "body_hash",
    "engagement",
    "payload_type",
    "code",
    "errors",
)
_SEEN_AGAIN: Final = (
    update(invitations)
    .where(invitations.c.client_token == field("client_token"))
    .values({name: field(name) for name in _MAY_CHANGE})
)
# The same source named twice gives the same position twice; the later reading stands.
_UNSENT: Final = insert_each(
    unsent_rows, "source", "line", "row_key", "run", "state", "client_token", "errors"
).prefix_with("OR REPLACE")


@dataclass(slots=True)
class _Known:
    """What the checkpoint holds under a token, as far as admission asks."""

    run: int
    body_hash: str
    state: State
    invitation_id: str = ""
    arn: str = ""
    code: str = ""
    errors: str = "[]"
    doubt_since: float | None = None
    last_sent: float | None = None


def admit(
    connection: Connection,
    batch: Sequence[Invitation | Rejection],
    *,
    run: int,
    campaign: str,
    retry_failed: bool,
) -> list[Admission]:
    """Decide every row of a batch, in order, and note the decisions, all within the caller's transaction.

    A token that this run has read before is a duplicate; one from an earlier run is the same row again.
    """
    known = _look_up(connection, [row.client_token for row in batch if isinstance(row, Invitation)])
    admissions: list[Admission] = []
    new: list[Invitation] = []
    again: list[tuple[Invitation, _Known]] = []
    for row in batch:
        if isinstance(row, Rejection):
            admissions.append(row)
            continue
        entry = known.get(row.client_token)
        if entry is None:
            known[row.client_token] = _Known(run, row.body_hash, State.PENDING)
            new.append(row)
            admissions.append(ToSend(row))
        elif entry.body_hash != row.body_hash and not _may_change(row, entry, run):
            admissions.append(_changed(row) if row.has_key_token else _token_reused(row))
        elif entry.run == run:
            admissions.append(Duplicate(row))
        else:
            entry.run, entry.body_hash = run, row.body_hash
            if entry.state is State.FAILED and retry_failed:
                # What it was refused with is not to be held against it once more.
                entry.state = State.PENDING if entry.doubt_since is None else State.IN_DOUBT
                entry.code, entry.errors = "", "[]"
            again.append((row, entry))
            admissions.append(_go_on(row, entry))
    _note_invitations(connection, new, again, run=run, campaign=campaign)
    _note_unsent(connection, admissions, run=run)
    return admissions


def _look_up(connection: Connection, tokens: Sequence[str]) -> dict[str, _Known]:
    if not tokens:
        return {}
    return {
        row.client_token: _Known(
            row.run,
            row.body_hash,
            State(row.state),
            row.invitation_id,
            row.arn,
            row.code,
            row.errors,
            row.doubt_since,
            row.last_sent,
        )
        for row in connection.execute(_KNOWN, {"tokens": tokens})
    }


def _go_on(row: Invitation, entry: _Known) -> Admission:
    if entry.state in {State.CREATED, State.FAILED}:
        return AlreadySettled(
            row, entry.state, entry.invitation_id, entry.arn, entry.code, decode_errors(entry.errors)
        )
    return ToSend(
        row,
        entry.doubt_since,
        entry.last_sent,
        entry.code,
        decode_errors(entry.errors),
        deferred=entry.state is State.DEFERRED,
    )


def _may_change(row: Invitation, entry: _Known, run: int) -> bool:
    """Whether a row may be another one than it was: its token is its key's, and has never left."""
    return row.has_key_token and entry.run < run and entry.last_sent is None


def _token_reused(row: Invitation) -> Rejection:
    error = RowError(
        "$.ClientToken",
        "token_reused",
        "This ClientToken already goes with another request; a changed request needs a token of its own.",
    )
    return Rejection(row.row, (error,))


def _changed(row: Invitation) -> Rejection:
    error = RowError(
        "$",
        "changed_since_sent",
        "The row with this key was sent as it was then; it is not sent again, however it is changed.",
    )
    return Rejection(row.row, (error,))


def _note_invitations(
    connection: Connection,
    new: Sequence[Invitation],
    again: Sequence[tuple[Invitation, _Known]],
    *,
    run: int,
    campaign: str,
) -> None:
    if new:
        connection.execute(
            _NEW,
            parameters(
                {
                    "client_token": row.client_token,
                    "run": run,
                    "campaign": campaign,
                    "source": row.position.source,
                    "line": row.position.line,
                    "row_key": row.position.key,
                    "body_hash": row.body_hash,
                    "engagement": row.engagement,
                    "payload_type": row.payload_type,
                    "state": State.PENDING.value,
                }
                for row in new
            ),
        )
    if again:
        connection.execute(
            _SEEN_AGAIN,
            parameters(
                {
                    "client_token": row.client_token,
                    "run": run,
                    "state": entry.state.value,
                    "source": row.position.source,
                    "line": row.position.line,
                    "code": entry.code,
                    "errors": entry.errors,
                    "row_key": row.position.key,
                    "body_hash": row.body_hash,
                    "engagement": row.engagement,
                    "payload_type": row.payload_type,
                }
                for row, entry in again
            ),
        )


def _note_unsent(connection: Connection, admissions: Iterable[Admission], *, run: int) -> None:
    """Note rejected rows and duplicates by position, in place of what earlier runs found on those lines."""
    for source, of_source in groupby(admissions, lambda admission: _row_of(admission).position.source):
        group = list(of_source)
        positions = [_row_of(admission).position for admission in group]
        lines, keys = [each.line for each in positions], [each.key for each in positions if each.key]
        by_line = unsent_rows.c.line.between(lines[0], lines[-1])
        read_again = unsent_rows.c.row_key.in_(keys) if keys else by_line
        connection.execute(
            delete(unsent_rows).where(unsent_rows.c.source == source, read_again, unsent_rows.c.run < run)
        )
        unsent = [values for admission in group if (values := _unsent_values(admission)) is not None]
        if unsent:
            connection.execute(_UNSENT, parameters({**values, "run": run} for values in unsent))


def _row_of(admission: Admission) -> Row:
    return admission.row if isinstance(admission, Rejection) else admission.invitation.row


def _unsent_values(admission: Admission) -> dict[str, object] | None:
    row = _row_of(admission)
    values: dict[str, object] = {
        "source": row.position.source,
        "line": row.position.line,
        "row_key": row.position.key,
    }
    match admission:
        case Rejection(errors=errors):
            return {
                **values,
                "state": State.REJECTED.value,
                "client_token": "",
                "errors": encode_errors(errors),
            }
        case Duplicate(invitation=invitation):
            return {
                **values,
                "state": State.DUPLICATE.value,
                "client_token": invitation.client_token,
                "errors": "[]",
            }
        case _:
            return None
