"""Which rows of a batch are new, to go on with, settled, or there twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, bindparam, select

from bulk_invite.checkpoint.tables.encoding import decode_errors, encode_errors
from bulk_invite.checkpoint.tables.gaps import Suspicion
from bulk_invite.checkpoint.tables.noted_rows import Known, note_invitations, note_unsent, row_of
from bulk_invite.checkpoint.tables.schema import invitations, unsent_rows
from bulk_invite.domain.admissions import Admission, AlreadySettled, Duplicate, SeenAgain, ToSend
from bulk_invite.domain.classify import NOES
from bulk_invite.domain.findings import MAY_BE_MISSING
from bulk_invite.domain.rows import Invitation, Position, Rejection, RowError
from bulk_invite.domain.verdicts import OPEN, State

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
    invitations.c.source,
    invitations.c.line,
    invitations.c.row_key,
).where(invitations.c.client_token.in_(bindparam("tokens", expanding=True)))


def admit(
    connection: Connection,
    batch: Sequence[Invitation | Rejection],
    *,
    run: int,
    change: int,
    campaign: str,
    retry_failed: bool,
    follows: bool,
    suspicion: Suspicion | None = None,
) -> list[Admission]:
    """Decide every row of a batch, in order, and note the decisions, all within the caller's transaction.

    A token that this run has read before is a duplicate; one from an earlier run is the same row again.
    follows: the source is read again and again, so that the same row may come again in one run.
    suspicion: when rows may have been called without being known to.
    """
    told = _told(connection, batch) if follows else set()
    known = _look_up(connection, [row.client_token for row in batch if isinstance(row, Invitation)])
    admissions: list[Admission] = []
    new: list[Invitation] = []
    again: list[tuple[Invitation, Known]] = []
    for row in batch:
        if isinstance(row, Rejection):
            seen = (row.row.position, encode_errors(row.errors)) in told
            admissions.append(SeenAgain(row.row) if seen else row)
            continue
        entry = known.get(row.client_token)
        if entry is None:
            entry = known[row.client_token] = Known(run, row.position, row.body_hash, State.PENDING)
            new.append(row)
            if _suspect(entry, suspicion):
                again.append((row, entry))
            admissions.append(_go_on(row, entry))
        elif entry.body_hash != row.body_hash and not _may_change(row, entry, run):
            admissions.append(_changed(row, entry) if row.has_key_token else _token_reused(row))
        elif entry.run == run:
            again_there = follows and entry.position == row.position
            admissions.append(SeenAgain(row.row) if again_there else Duplicate(row))
        else:
            entry.run, entry.body_hash = run, row.body_hash
            if entry.state is State.FAILED and retry_failed:
                _try_again(entry)
            _suspect(entry, suspicion)
            again.append((row, entry))
            admissions.append(_go_on(row, entry))
    note_invitations(connection, new, again, run=run, change=change, campaign=campaign)
    note_unsent(connection, admissions, run=run, change=change, follows=follows)
    return admissions


def _try_again(entry: Known) -> None:
    """What it was refused with is not to be held against it once more."""
    entry.state, entry.code, entry.errors = State.PENDING, "", "[]"


def _suspect(entry: Known, suspicion: Suspicion | None) -> bool:
    """Take a row for one in doubt where calls of it may be missing; whether it is one."""
    if suspicion is None or (entry.last_sent is not None and entry.last_sent >= suspicion.until):
        return False
    if entry.state not in OPEN:
        return False
    entry.last_sent = suspicion.until
    if entry.doubt_since is None:
        entry.state, entry.doubt_since = State.IN_DOUBT, suspicion.since
    elif entry.code in NOES:
        return True  # it is looked up anyway, and what it was refused with counts then
    entry.code, entry.errors = MAY_BE_MISSING, "[]"
    return True


def _look_up(connection: Connection, tokens: Sequence[str]) -> dict[str, Known]:
    if not tokens:
        return {}
    return {
        row.client_token: Known(
            row.run,
            Position(row.source, row.line, row.row_key),
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


def _told(connection: Connection, batch: Sequence[Invitation | Rejection]) -> set[tuple[Position, str]]:
    """The rejections that were told of before, among those of a batch, with their errors."""
    told = set()
    for source, group in groupby(batch, lambda row: row_of(row).position.source):
        positions = [row.row.position for row in group if isinstance(row, Rejection)]
        lines, keys = {each.line for each in positions}, {each.key for each in positions}
        wanted = select(unsent_rows.c.line, unsent_rows.c.row_key, unsent_rows.c.errors).where(
            unsent_rows.c.source == source,
            unsent_rows.c.state == State.REJECTED.value,
            unsent_rows.c.line.in_(lines),
            unsent_rows.c.row_key.in_(keys),
        )
        for row in connection.execute(wanted) if positions else ():
            told.add((Position(source, row.line, row.row_key), row.errors))
    return told


def _go_on(row: Invitation, entry: Known) -> Admission:
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


def _may_change(row: Invitation, entry: Known, run: int) -> bool:
    """Whether a row may be another one than it was: its token is its key's, and has never left."""
    is_same = row.has_key_token and entry.position.source == row.position.source
    return is_same and entry.run < run and entry.last_sent is None


def _token_reused(row: Invitation) -> Rejection:
    error = RowError(
        "$.ClientToken",
        "token_reused",
        "This ClientToken already goes with another request; a changed request needs a token of its own.",
    )
    return Rejection(row.row, (error,))


def _changed(row: Invitation, entry: Known) -> Rejection:
    if entry.position.source != row.position.source:
        error = RowError(
            "$",
            "key_of_another_source",
            f"A row of {entry.position.source} with this key has the token already; another source needs a "
            "--campaign of its own.",
        )
        return Rejection(row.row, (error,))
    if entry.state is State.FAILED:
        error = RowError(
            "$",
            "changed_since_refused",
            "The service refused the row with this key before it was changed, and nobody was invited by it; "
            "what it says now needs another key.",
        )
    else:
        error = RowError(
            "$",
            "changed_since_sent",
            "The row with this key was taken up as it was; it is not sent again, however it is changed.",
        )
    return Rejection(row.row, (error,), row.client_token)
