"""Why rows have no invitation: counts by error code and path, with the rows, and the latest failures."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    Table,
    and_,
    cast,
    func,
    literal,
    not_,
    null,
    select,
    text,
    union_all,
)

from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.encoding import decode_errors
from bulk_invite.checkpoint.tables.schema import invitations, runs, unsent_rows
from bulk_invite.domain.records import Failure, NamedRow, Problem, Reason
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State

MOST_PROBLEMS: Final = 200

OTHER: Final = "other"
"""Code of the rows outside the largest groups; counted once per error."""

_MOST_COUNTED: Final = 10_000
"""Maximum number of groups while counting: a hostile source can have one for every row."""

_ALL_OF_IT: Final = "$"
"""Path of an error that concerns the whole row."""

_PLACE: Final = (text("source"), text("line"), text("row_key"))
_SENT: Final = [State.FAILED.value, State.IN_DOUBT.value]
_ANSWERED: Final = [*_SENT, State.DEFERRED.value]


def problems(connection: Connection) -> list[Problem]:
    """Count failed, doubtful, deferred and rejected rows by state, code and path; largest groups first.

    A row with several errors counts in each group. Everything beyond the largest groups is summed up as
    `OTHER` by state, at the end.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    others: Counter[str] = Counter()
    with connection.execute(_groups(), execution_options=BY_PAGE) as groups:
        for state, code, errors, rows in groups:
            for group in {(state, *each) for each in _told(code, errors)}:
                if group in counts or len(counts) < _MOST_COUNTED:
                    counts[group] += rows
                else:
                    others[state] += rows
    largest = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    for (state, _, _), rows in largest[MOST_PROBLEMS:]:
        others[state] += rows
    shown = [Problem(State(state), code, path, rows) for (state, code, path), rows in largest[:MOST_PROBLEMS]]
    return shown + [Problem(State(state), OTHER, "", rows) for state, rows in sorted(others.items())]


def first_rows(connection: Connection, limit: int) -> dict[Reason, tuple[NamedRow, ...]]:
    """Return the first rows of each problem, by position, and those of each answer that left rows open.

    An answer has no path: its rows are found by state and code.
    """
    found: dict[Reason, list[NamedRow]] = {}
    with connection.execute(_first_of_groups(limit), execution_options=BY_PAGE) as rows:
        for row in rows:
            state = State(row.state)
            reasons = {(state, *each) for each in _told(row.code, row.errors)}
            if state is not State.REJECTED:
                reasons.add((state, row.code, ""))
            for reason in reasons:
                if reason in found or len(found) < _MOST_COUNTED:
                    listed = found.setdefault(reason, [])
                    if len(listed) < limit:
                        listed.append(NamedRow(Position(row.source, row.line, row.row_key), row.label))
    return {reason: tuple(listed) for reason, listed in found.items()}


def _first_of_groups(limit: int) -> Select[Any]:
    """The first rows with the same state, code and errors, all of them in the order of their positions."""
    both = union_all(
        select(*_common(invitations), invitations.c.code).where(invitations.c.state.in_(_ANSWERED)),
        select(*_common(unsent_rows), literal("").label("code")).where(
            unsent_rows.c.state == State.REJECTED.value
        ),
    ).subquery()
    number = func.row_number().over(
        partition_by=[both.c.state, both.c.code, both.c.errors],
        order_by=[both.c.source, both.c.line, both.c.row_key],
    )
    numbered = select(both, number.label("number")).subquery()
    return select(numbered).where(numbered.c.number <= limit).order_by(*_PLACE)


def last_failures(connection: Connection, limit: int) -> list[Failure]:
    """Return the latest failed, doubtful and rejected rows, newest first, with their first errors.

    Rows in doubt without an answer are left out: they may be in flight. A rejected row was never sent; it is
    sorted by the start of the run that read it. No position comes twice.
    """
    pages = (select(each.limit(limit).subquery()) for each in (_sent(), _rejected()))
    both = union_all(*pages).subquery()
    # A row that was refused, and is rejected since it was edited, is in both.
    latest = select(both).order_by(both.c.since.desc(), *_PLACE).limit(2 * limit)
    found: dict[Position, Failure] = {}
    for row in connection.execute(latest):
        position = Position(row.source, row.line, row.row_key)
        failure = Failure(position, State(row.state), *_first(row), row.at, row.label)
        found.setdefault(position, failure)
    return list(found.values())[:limit]


def _sent() -> Select[Any]:
    last = invitations.c.last_sent
    no_answer = and_(invitations.c.state == State.IN_DOUBT.value, invitations.c.code == "")
    return (
        select(*_common(invitations), invitations.c.code, last.label("at"), last.label("since"))
        .where(invitations.c.state.in_(_SENT), not_(no_answer))
        .order_by(last.desc(), *_PLACE)
    )


def _rejected() -> Select[Any]:
    never = cast(null(), Float)
    return (
        select(
            *_common(unsent_rows),
            literal("").label("code"),
            never.label("at"),
            runs.c.started.label("since"),
        )
        .join(runs, runs.c.run == unsent_rows.c.run)
        .where(unsent_rows.c.state == State.REJECTED.value)
        .order_by(unsent_rows.c.run.desc(), *_PLACE)
    )


def _common(table: Table) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in ("source", "line", "row_key", "state", "errors", "label")]


def _groups() -> Select[Any]:
    """Return (state, code, errors as JSON, rows), largest groups first."""
    sent = (
        select(invitations.c.state, invitations.c.code, invitations.c.errors, func.count().label("rows"))
        .where(invitations.c.state.in_(_ANSWERED))
        .group_by(invitations.c.state, invitations.c.code, invitations.c.errors)
    )
    rejected = (
        select(unsent_rows.c.state, literal(""), unsent_rows.c.errors, func.count())
        .where(unsent_rows.c.state == State.REJECTED.value)
        .group_by(unsent_rows.c.state, unsent_rows.c.errors)
    )
    return select(union_all(sent, rejected).subquery()).order_by(text("rows DESC"))


def _told(code: str, errors: str) -> list[tuple[str, str]]:
    """Return (code, path) of each error of a row; of its last answer if the answer names no errors."""
    decoded = decode_errors(errors)
    return [(each.code, each.path) for each in decoded] or [(code, _ALL_OF_IT)]


def _first(row: Any) -> tuple[str, str]:
    return _told(row.code, row.errors)[0]
