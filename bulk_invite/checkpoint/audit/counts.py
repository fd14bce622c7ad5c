"""Count what the tables and the log say of each row, in the database itself.

The log is read in row order and reduced to one line per row; only sums leave the database, so millions of
entries need no memory here.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, Subquery, and_, case, func, or_, select

from bulk_invite.checkpoint.audit.result import UNANSWERED, Repeats
from bulk_invite.checkpoint.tables.schema import findings, invitations, log, unsent_rows
from bulk_invite.domain.outcomes import INVITED, NO_ATTEMPT, WITHOUT_CALL, Outcome
from bulk_invite.domain.verdicts import State

_STATES: Final = [state.value for state in State]


def _count(of: ColumnElement[bool]) -> ColumnElement[int]:
    """Count the rows for which a condition holds."""
    return func.coalesce(func.sum(case((of, 1), else_=0)), 0)


def _entries() -> Subquery:
    """Every log entry with the previous entry of its row, and that row's number of calls so far."""
    of_row: dict[str, Any] = {"partition_by": log.c.client_token, "order_by": log.c.entry}
    is_sent = case((log.c.event == "sent", 1), else_=0)
    return select(
        log.c.client_token,
        log.c.event,
        log.c.outcome,
        func.coalesce(func.lag(log.c.event).over(**of_row), "").label("event_before"),
        func.coalesce(func.lag(log.c.outcome).over(**of_row), "").label("outcome_before"),
        func.sum(is_sent).over(**of_row, rows=(None, 0)).label("nth_call"),
    ).subquery("entries")


def _is_answer(entry: Any) -> ColumnElement[bool]:
    """Whether an entry answers a call; a denial is logged again when it turns out to be the row's own."""
    told_again = and_(
        entry.outcome == Outcome.DENIED,
        entry.event_before == "answered",
        entry.outcome_before == Outcome.DENIED,
    )
    return and_(entry.event == "answered", entry.outcome.not_in(WITHOUT_CALL), ~told_again)


def _rows_of_log() -> Subquery:
    """One line for each row in the log."""
    entry = _entries().c
    is_call, is_answer = entry.event == "sent", _is_answer(entry)
    answered = and_(is_answer, entry.event_before == "sent")
    return (
        select(
            entry.client_token,
            _count(is_call).label("calls"),
            _count(is_answer).label("answers"),
            _count(answered).label("answered"),
            _count(and_(answered, entry.outcome.in_(NO_ATTEMPT))).label("uncounted"),
            _count(and_(answered, entry.outcome == Outcome.DENIED)).label("denied"),
            _count(and_(answered, entry.outcome == Outcome.CREATED)).label("created"),
            _count(entry.outcome == Outcome.FOUND).label("found"),
            _count(entry.outcome.in_(INVITED)).label("yeses"),
            _count(and_(is_call, entry.outcome_before.in_(INVITED))).label("after_id"),
        )
        .group_by(entry.client_token)
        .subquery("rows_of_log")
    )


def figures(connection: Connection) -> dict[str, int]:
    """The members of `invariants.Figures` except the findings of lookups."""
    counted = {**_of_table(connection), **_of_log(connection)}
    unsent, in_a_state = connection.execute(
        select(func.count(), _count(unsent_rows.c.state.in_(_STATES))).select_from(unsent_rows)
    ).one()
    counted["rows"] += int(unsent)
    counted["in_a_state"] += int(in_a_state)
    return counted


def _of_table(connection: Connection) -> dict[str, int]:
    row = invitations.c
    is_created, has_id = row.state == State.CREATED.value, row.invitation_id != ""
    is_skipped = row.state == State.DUPLICATE.value
    counts = select(
        func.count().label("rows"),
        _count(row.state.in_(_STATES)).label("in_a_state"),
        _count(is_created).label("created"),
        _count(and_(is_created, has_id)).label("created_with_id"),
        _count(has_id).label("with_id"),
        func.count(func.nullif(row.invitation_id, "").distinct()).label("ids"),
        _count(row.first_sent.is_not(None)).label("called"),
        _count(is_skipped).label("skipped"),
        _count(and_(is_skipped, row.doubt_since.is_(None), ~has_id)).label("skipped_uninvited"),
        func.coalesce(func.sum(row.attempts), 0).label("attempts"),
    ).select_from(invitations)
    return _integers(connection, counts)


def _of_log(connection: Connection) -> dict[str, int]:
    rows = _rows_of_log()
    entry = rows.c
    row = invitations.c
    is_created = func.coalesce(row.state, "") == State.CREATED.value
    is_known = row.client_token.is_not(None)
    counting = entry.calls - entry.uncounted
    is_odd = or_(row.attempts > counting, row.attempts < counting - entry.denied)
    found = findings.c.evidence.like('{"finding":"found"%')
    has_finding = entry.client_token.in_(select(findings.c.client_token).where(found))
    looked_up = and_(is_created, entry.created == 0, entry.found > 0, entry.calls > 0, has_finding)
    counts = [
        _count(and_(is_known, row.first_sent.is_not(None), entry.calls > 0)).label("called_in_log"),
        func.count().label("rows_in_log"),
        _count(is_known).label("known_rows_in_log"),
        _sum(entry.calls).label("calls"),
        _sum(entry.calls - entry.answered).label("unanswered"),
        _sum(entry.answers).label("answers"),
        _sum(entry.answered).label("answers_after_intent"),
        _count(and_(is_created, entry.created > 0)).label("created_by_call"),
        _count(looked_up).label("created_by_look_up"),
        _count(entry.yeses > 0).label("yeses"),
        _count(and_(is_created, entry.yeses > 0)).label("yeses_created"),
        _sum(entry.after_id).label("calls_after_id"),
        _sum(entry.uncounted).label("uncounted"),
        _sum(entry.denied).label("perhaps_uncounted"),
        _count(and_(is_known, is_odd)).label("odd_attempts"),
    ]
    of_row = row.client_token == entry.client_token
    return _integers(connection, select(*counts).outerjoin_from(rows, invitations, of_row))


def repeats(connection: Connection) -> Repeats:
    """Calls after the first one of their row, by reason."""
    entry = _entries().c
    why = case((entry.event_before == "sent", UNANSWERED), else_=entry.outcome_before).label("why")
    again = and_(entry.event == "sent", entry.nth_call > 1)
    counts = select(why, func.count(), _count(entry.nth_call == 2)).where(again).group_by(why)  # noqa: PLR2004 - once per row
    by_why = [(each, int(calls), int(rows)) for each, calls, rows in connection.execute(counts)]
    ordered = sorted(by_why, key=lambda each: (-each[1], each[0]))
    return Repeats(
        rows=sum(rows for _, _, rows in by_why),
        calls=sum(calls for _, calls, _ in by_why),
        why={each: calls for each, calls, _ in ordered},
    )


def _sum(of: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(of), 0)


def _integers(connection: Connection, counts: Executable) -> dict[str, int]:
    """The only row of a query as integers; some databases return decimals for sums of sums."""
    return {name: int(value) for name, value in connection.execute(counts).mappings().one().items()}
