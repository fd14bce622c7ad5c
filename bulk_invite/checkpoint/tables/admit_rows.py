"""Classify the rows of a batch as new, resumed, settled or duplicate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, select

from bulk_invite.checkpoint.tables import finished_read, read_prefix, returned_rows, twins
from bulk_invite.checkpoint.tables.batch_sql import Members, Prepared, parameters
from bulk_invite.checkpoint.tables.decide_row import Terms, Twins, decide
from bulk_invite.checkpoint.tables.edited_rows import is_refused, refusal
from bulk_invite.checkpoint.tables.encoding import encode_errors
from bulk_invite.checkpoint.tables.schema import invitations, unsent_rows
from bulk_invite.checkpoint.tables.stored_rows import Known, note_invitations, note_unsent, row_of
from bulk_invite.domain.admissions import Admission, Duplicate, SeenAgain
from bulk_invite.domain.rows import Invitation, Position, Rejection
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.domain.verdicts import State

_KNOWN: Final = Prepared(
    select(
        invitations.c.client_token,
        invitations.c.run,
        invitations.c.source,
        invitations.c.line,
        invitations.c.row_key,
        invitations.c.body_hash,
        invitations.c.state,
        invitations.c.invitation_id,
        invitations.c.arn,
        invitations.c.code,
        invitations.c.errors,
        invitations.c.doubt_since,
        invitations.c.last_sent,
        invitations.c.receiver,
        invitations.c.label,
        invitations.c.campaign,
    ).where(invitations.c.client_token == Members("client_token").of(invitations.c.client_token))
)


def admit(
    connection: Connection,
    batch: Sequence[Invitation | Rejection],
    recognized: read_prefix.Recognized,
    hashed: twins.ReceiverHash,
    terms: Terms,
    *,
    run: int,
    change: int,
    campaign: str,
    follows: bool,
) -> tuple[list[Admission], Mapping[str, str]]:
    """Classify every row of a batch, in order, and store the results within the caller's transaction.

    Also returns the receivers of the rows, as hashes by token.

    A token that this run has read before is a duplicate; one from an earlier run is the same row again.
    follows: the source is read repeatedly, so the same row may come again within a run.
    """
    known = look_up(connection, [row.client_token for row in batch if isinstance(row, Invitation)])
    recognized.count_as_read(known.values(), run)
    batch = [
        row.as_new() if isinstance(row, Invitation) and row.client_token not in known else row
        for row in batch
    ]
    stored = _stored_rejections(connection, batch) if follows else set()
    may_lack_calls = terms.uncertain_period is not None
    versions = _versions(batch, known, run, may_lack_calls=may_lack_calls)
    receivers = hashed.of_each(versions, campaign)
    of_batch = _find_twins(connection, receivers, known, terms, run)
    admissions: list[Admission] = []
    new: list[tuple[Invitation, Known]] = []
    again: list[tuple[Invitation, Known]] = []
    for row in batch:
        if isinstance(row, Rejection):
            seen = (row.row.position, encode_errors(row.errors)) in stored
            admissions.append(SeenAgain(row.row) if seen else row)
            continue
        entry = known.get(row.client_token)
        if entry is None:
            entry = known[row.client_token] = Known(
                run, row.position, row.body_hash, State.PENDING, label=row.label, campaign=campaign
            )
            new.append((row, entry))
            admissions.append(decide(row, entry, of_batch, terms, is_new=True))
            if entry.state is not State.PENDING:
                again.append((row, entry))
        elif is_refused(row, entry, run, may_lack_calls=may_lack_calls):
            admissions.append(refusal(row, entry, run=run, follows=follows, may_lack_calls=may_lack_calls))
        elif entry.run == run:
            again_there = follows and entry.position == row.position
            if again_there and entry.label != row.label:
                entry.label = row.label
                again.append((row, entry))
            admissions.append(SeenAgain(row.row) if again_there else Duplicate(row))
        else:
            entry.run, entry.body_hash = run, row.body_hash
            admissions.append(decide(row, entry, of_batch, terms, is_new=False))
            again.append((row, entry))
    _forget_reads(connection, again, campaign)
    note_invitations(connection, new, again, receivers, run=run, change=change, campaign=campaign)
    claims = returned_rows.claims_of(batch)
    recognized.returned.update(position.source for position in claims)
    first = returned_rows.first_positions(connection, claims)
    note_unsent(connection, admissions, first, run=run, change=change, campaign=campaign, follows=follows)
    return admissions, receivers


def _forget_reads(connection: Connection, again: Iterable[tuple[Invitation, Known]], campaign: str) -> None:
    """Forget what was read of sources whose rows are known under other positions from now on."""
    for source, owner in {(row.position.source, entry.campaign) for row, entry in again}:
        if owner != campaign:  # a row of that campaign is at a line now at which it did not read it
            read_prefix.forget(connection, source, owner)
    moved = {
        (entry.position.source, entry.campaign)
        for row, entry in again
        if entry.position.key and entry.position.source != row.position.source
    }
    for source, owner in moved:  # fewer of its rows are known there than were read
        finished_read.forget(connection, source, owner)


def _versions(
    batch: Sequence[Invitation | Rejection], known: Mapping[str, Known], run: int, *, may_lack_calls: bool
) -> Iterable[Invitation]:
    """The rows of a batch without other versions of them, which are refused: one for each token."""
    versions: dict[str, Invitation] = {}
    for row in batch:
        if isinstance(row, Invitation):
            entry = known.get(row.client_token)
            if entry is None or not is_refused(row, entry, run, may_lack_calls=may_lack_calls):
                versions.setdefault(row.client_token, row)
    return versions.values()


def _find_twins(
    connection: Connection, receivers: Mapping[str, str], known: Mapping[str, Known], terms: Terms, run: int
) -> Twins:
    if terms.on_same_receiver is OnSameReceiver.SEND:
        return Twins({}, {})
    asked = {token: each for token, each in receivers.items() if terms.compares(known.get(token))}
    open_too = terms.uncertain_period is not None
    return Twins(receivers, twins.look_up(connection, asked, run=run, open_too=open_too))


def look_up(connection: Connection, tokens: Sequence[str]) -> dict[str, Known]:
    """Return what is stored of the tokens that are known."""
    if not tokens:
        return {}
    rows = _KNOWN.run(connection, parameters((token,) for token in set(tokens)))
    return {
        token: Known(run, Position(source, line, key), body_hash, State(state), *others)
        for token, run, source, line, key, body_hash, state, *others in rows
    }


def _stored_rejections(
    connection: Connection, batch: Sequence[Invitation | Rejection]
) -> set[tuple[Position, str]]:
    """Return the rejections of a batch that were stored before, with their errors."""
    stored = set()
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
            stored.add((Position(source, row.line, row.row_key), row.errors))
    return stored
