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
from bulk_invite.checkpoint.tables.batch_sql import CHANGE, Members, Prepared, parameters
from bulk_invite.checkpoint.tables.encoding import encode_errors, encode_evidence
from bulk_invite.checkpoint.tables.schema import findings, invitations, log, runs
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.findings import Found
from bulk_invite.domain.verdicts import State

RECOVERED: Final = "recovered"
"""Log outcome of an intent that was missing from an outdated checkpoint and was restored."""

_LOGGED: Final = Members("client_token", "at", "event", "outcome", "request_id")
_AT: Final = _LOGGED.field("at", Float)

_MARK_SENT: Final = Prepared(
    update(invitations)
    .where(invitations.c.client_token == _LOGGED.of(invitations.c.client_token))
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
_CHANGED: Final = ("state", "invitation_id", "arn", "code", "errors", "doubt_since")
_ANSWERED: Final = Members("client_token", "uncounted", *_CHANGED)
_DOUBT_SINCE: Final = _ANSWERED.of(invitations.c.doubt_since)
_MARK_ANSWERED: Final = Prepared(
    update(invitations)
    .where(invitations.c.client_token == _ANSWERED.of(invitations.c.client_token))
    .values(
        **{name: _ANSWERED.of(invitations.c[name]) for name in _CHANGED},
        attempts=invitations.c.attempts - _ANSWERED.field("uncounted", Integer),
        # A row that was never called has no time of sending.
        last_sent=case(
            (and_(invitations.c.first_sent.is_(None), _DOUBT_SINCE.is_(None)), null()),
            else_=invitations.c.last_sent,
        ),
        changed=CHANGE,
    )
)
_TURNED_UP: Final = select(invitations.c.client_token).where(
    invitations.c.client_token.in_(bindparam("tokens", expanding=True)),
    invitations.c.first_sent.is_(None),
)
_OWNERS: Final = Prepared(
    select(invitations.c.invitation_id, invitations.c.client_token).where(
        invitations.c.invitation_id == Members("invitation_id").of(invitations.c.invitation_id),
        invitations.c.invitation_id != literal_column("''"),  # otherwise the index is not used
    )
)
_LOG: Final = Prepared(_LOGGED.insert_into(log))
_FINDINGS: Final = Prepared(Members("client_token", "at", "evidence").insert_into(findings))
_LAST_EVENT: Final = Prepared(
    update(runs).where(runs.c.run == bindparam("of_run")).values(last_event=bindparam("at"))
)


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
        changed += _MARK_SENT.run(connection, parameters(map(_log_entry, sent), change=change)).rowcount
    if answered:
        _add_missing_intents(connection, answered, change)
        changed += _MARK_ANSWERED.run(
            connection, parameters(map(_answered, answered), change=change)
        ).rowcount
    if changed != len(events):
        return None
    twins.note(connection, [(event.client_token, "") for event in answered if event.state is State.FAILED])
    _LOG.run(connection, parameters(map(_log_entry, events)))
    if evidence := [_evidence(event) for event in answered if event.finding is not None]:
        _FINDINGS.run(connection, parameters(evidence))
    _LAST_EVENT.run(connection, {"of_run": run, "at": max(event.at for event in events)})
    return of_others


def _resolve_shared_ids(
    connection: Connection, events: Sequence[Event]
) -> tuple[Sequence[Event], frozenset[str]]:
    """Return the events to write, and the tokens of those that `instead` replaces."""
    new = [event for event in events if isinstance(event, Answered) and event.instead is not None]
    if not new:
        return events, frozenset()
    indexes.require(connection, "invitations_by_id")
    owners = dict(_OWNERS.run(connection, parameters((event.invitation_id,) for event in new)))
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
    sent = [(token, arrived[token], "sent", RECOVERED, "") for token in tokens]
    _MARK_SENT.run(connection, parameters(sent, change=change))
    _LOG.run(connection, parameters(sent))
    gaps.found(connection, len(tokens))


def _answered(event: Answered) -> tuple[object, ...]:
    """The members of `_ANSWERED`."""
    return (
        event.client_token,
        0 if event.counted else 1,
        event.state.value,
        event.invitation_id,
        event.arn,
        event.code,
        encode_errors(event.errors),
        event.doubt_since,
    )


def _evidence(event: Answered) -> tuple[object, ...]:
    assert event.finding is not None  # noqa: S101 - guaranteed by the caller
    return event.client_token, event.at, encode_evidence(event.finding)


def _log_entry(event: Event) -> tuple[object, ...]:
    """The members of `_LOGGED`."""
    if isinstance(event, Sent):
        return event.client_token, event.at, "sent", "", ""
    return event.client_token, event.at, "answered", event.outcome, event.request_id
