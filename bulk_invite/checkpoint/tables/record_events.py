"""Record events: the new state of each row, and one log entry per event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    update,
)

from bulk_invite.checkpoint.tables import gaps, indexes, twins
from bulk_invite.checkpoint.tables.batch_sql import CHANGE, field, field_for, insert_each, parameters
from bulk_invite.checkpoint.tables.encoding import encode_errors, encode_evidence
from bulk_invite.checkpoint.tables.schema import findings, invitations, log, runs
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.findings import Found
from bulk_invite.domain.verdicts import State

RECOVERED: Final = "recovered"
"""Log outcome of an intent that was missing from an outdated checkpoint and was restored."""

_OF_THE_ROW: Final = invitations.c.client_token == field_for(invitations.c.client_token)
_AT: Final = field("at", Float)

_MARK_SENT: Final = (
    update(invitations)
    .where(_OF_THE_ROW)
    .values(
        state=State.IN_DOUBT.value,
        code="",
        errors="[]",
        attempts=invitations.c.attempts + 1,
        first_sent=func.coalesce(invitations.c.first_sent, _AT),
        last_sent=_AT,
        doubt_since=func.coalesce(invitations.c.doubt_since, _AT),
        changed=CHANGE,
    )
)
_ANSWERED: Final = ("state", "invitation_id", "arn", "code", "errors", "doubt_since")
_MARK_ANSWERED: Final = (
    update(invitations)
    .where(_OF_THE_ROW)
    .values(
        **{name: field_for(invitations.c[name]) for name in _ANSWERED},
        attempts=invitations.c.attempts - field("uncounted", Integer),
        # A row that was never called has no time of sending.
        last_sent=case(
            (and_(invitations.c.first_sent.is_(None), field("doubt_since", Float).is_(None)), null()),
            else_=invitations.c.last_sent,
        ),
        changed=CHANGE,
    )
)
_TURNED_UP: Final = select(invitations.c.client_token).where(
    invitations.c.client_token.in_(bindparam("tokens", expanding=True)),
    invitations.c.first_sent.is_(None),
)
_OWNERS: Final = select(invitations.c.invitation_id, invitations.c.client_token).where(
    invitations.c.invitation_id == field_for(invitations.c.invitation_id),
    invitations.c.invitation_id != literal_column("''"),  # otherwise the index is not used
)
_LOG: Final = insert_each(log, "client_token", "event", "at", "outcome", "request_id")
_FINDINGS: Final = insert_each(findings, "client_token", "at", "evidence")


def record(
    connection: Connection, events: Sequence[Event], *, run: int, change: int
) -> frozenset[str] | None:
    """Record events of different rows; None if a row does not exist.

    Returns the tokens of rows whose Id belongs to another row; for them, `instead` is written.
    """
    events, of_others = _resolve_shared_ids(connection, events)
    sent = [event for event in events if isinstance(event, Sent)]
    answered = [event for event in events if isinstance(event, Answered)]
    changed = 0
    if sent:
        changed += connection.execute(_MARK_SENT, parameters(map(_log_entry, sent), change=change)).rowcount
    if answered:
        _add_missing_intents(connection, answered, change)
        changed += connection.execute(
            _MARK_ANSWERED, parameters(map(_answered, answered), change=change)
        ).rowcount
    if changed != len(events):
        return None
    twins.note(connection, [(event.client_token, "") for event in answered if event.state is State.FAILED])
    connection.execute(_LOG, parameters(map(_log_entry, events)))
    if evidence := [_evidence(event) for event in answered if event.finding is not None]:
        connection.execute(_FINDINGS, parameters(evidence))
    last = max(event.at for event in events)
    connection.execute(update(runs).where(runs.c.run == run).values(last_event=last))
    return of_others


def _resolve_shared_ids(
    connection: Connection, events: Sequence[Event]
) -> tuple[Sequence[Event], frozenset[str]]:
    """Return the events to write, and the tokens of those that `instead` replaces."""
    new = [event for event in events if isinstance(event, Answered) and event.instead is not None]
    if not new:
        return events, frozenset()
    indexes.require(connection, "invitations_by_id")
    wanted = parameters({"invitation_id": event.invitation_id} for event in new)
    owners = {row.invitation_id: row.client_token for row in connection.execute(_OWNERS, wanted)}
    of_others = {
        event.client_token: event.instead
        for event in new
        # Within a batch, the first row keeps the Id.
        if owners.setdefault(event.invitation_id, event.client_token) != event.client_token
    }
    return [of_others.get(event.client_token) or event for event in events], frozenset(of_others)


def _add_missing_intents(connection: Connection, answered: Sequence[Answered], change: int) -> None:
    """Add the missing intents of unrecorded calls whose invitations were found."""
    arrived = {
        event.client_token: event.at
        if event.finding.invitation.invited_at is None
        else event.finding.invitation.invited_at
        for event in answered
        if isinstance(event.finding, Found)
    }
    if not arrived:
        return
    tokens = connection.execute(_TURNED_UP, {"tokens": list(arrived)}).scalars().all()
    if not tokens:
        return
    sent = [{**_log_entry(Sent(token, arrived[token])), "outcome": RECOVERED} for token in tokens]
    connection.execute(_MARK_SENT, parameters(sent, change=change))
    connection.execute(_LOG, parameters(sent))
    gaps.found(connection, len(tokens))


def _answered(event: Answered) -> dict[str, object]:
    return {
        "client_token": event.client_token,
        "state": event.state.value,
        "invitation_id": event.invitation_id,
        "arn": event.arn,
        "code": event.code,
        "errors": encode_errors(event.errors),
        "uncounted": 0 if event.counted else 1,
        "doubt_since": event.doubt_since,
    }


def _evidence(event: Answered) -> dict[str, object]:
    assert event.finding is not None  # noqa: S101 - guaranteed by the caller
    return {
        "client_token": event.client_token,
        "at": event.at,
        "evidence": encode_evidence(event.finding),
    }


def _log_entry(event: Event) -> dict[str, object]:
    match event:
        case Sent():
            return {
                "client_token": event.client_token,
                "event": "sent",
                "at": event.at,
                "outcome": "",
                "request_id": "",
            }
        case Answered():
            return {
                "client_token": event.client_token,
                "event": "answered",
                "at": event.at,
                "outcome": event.outcome,
                "request_id": event.request_id,
            }
