"""Read everything that a report shows from a checkpoint, in one transaction."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import orjson
from sqlalchemy import Connection, case, func, literal, select, union_all

from bulk_invite.checkpoint.audit import counts, timeline
from bulk_invite.checkpoint.audit.invariants import Figures
from bulk_invite.checkpoint.audit.result import MOST_LISTED, Group, LookUps, Open, Proof
from bulk_invite.checkpoint.audit.same_receiver import shared_receivers
from bulk_invite.checkpoint.tables import figures, gaps, problems
from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.problems import OTHER
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.schema import findings, invitations, log, unsent_rows
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import OPEN, State

_MOST_GROUPS: Final = 100
_MOST_FAILURES: Final = 50
_MOST_OPEN: Final = 50

_OPEN: Final = [state.value for state in OPEN]


def proof(
    connection: Connection,
    *,
    now: float,
    name: str,
    about: dict[str, str],
    owner: Owner | None,
    active: bool | None,
    is_older: bool,
) -> Proof:
    """is_older: the record beside it says so, and no sender has noticed it yet."""
    look_ups, of_look_ups = _look_ups(connection)
    sources, sources_in_all = _by_source(connection)
    campaigns, campaigns_in_all = _by_campaign(connection)
    shared, shared_in_all, invited_again = shared_receivers(connection)
    older, doubts = gaps.count(connection)
    throttled = select(func.count()).select_from(log).where(log.c.outcome == Outcome.THROTTLED)
    return Proof(
        at=now,
        checkpoint=name,
        catalog=about["catalog"],
        version=int(about["version"]),
        owner=owner,
        active=active,
        states=_states(connection),
        sources=sources,
        sources_in_all=sources_in_all,
        campaigns=campaigns,
        campaigns_in_all=campaigns_in_all,
        figures=Figures(**counts.figures(connection), **of_look_ups, older=older + is_older),
        same_receiver=figures.same_receiver(query_of(connection)),
        shared=shared,
        shared_in_all=shared_in_all,
        invited_again=invited_again,
        throttled=int(connection.execute(throttled).scalar_one()),
        repeats=counts.repeats(connection),
        look_ups=look_ups,
        open=_open(connection),
        problems=tuple(problems.problems(connection)),
        first_rows=problems.first_rows(connection, MOST_LISTED),
        failures=tuple(problems.last_failures(connection, _MOST_FAILURES)),
        course=timeline.course(connection),
        pacing=figures.pacing(query_of(connection)),
        notes=tuple(
            f"It may have been older than the last call at some time: {why}." for why in dict.fromkeys(doubts)
        ),
    )


def _known(states: Counter[str]) -> dict[State, int]:
    """Drop invalid states; an invariant fails for them."""
    return {state: states[state.value] for state in State if states[state.value]}


def _states(connection: Connection) -> dict[State, int]:
    counts = (
        select(table.c.state, func.count()).group_by(table.c.state) for table in (invitations, unsent_rows)
    )
    found: Counter[str] = Counter()
    for state, rows in connection.execute(union_all(*counts)):
        found[state] += rows
    return _known(found)


def _by_source(connection: Connection) -> tuple[tuple[Group, ...], int]:
    both = union_all(*(select(table.c.source, table.c.state) for table in (invitations, unsent_rows)))
    rows = both.subquery()
    return _groups(connection, rows.c.source, rows.c.state)


def _by_campaign(connection: Connection) -> tuple[tuple[Group, ...], int]:
    """Rows that were or will be sent; the others are rejected in any campaign."""
    return _groups(connection, invitations.c.campaign, invitations.c.state)


def _groups(connection: Connection, name: Any, state: Any) -> tuple[tuple[Group, ...], int]:
    """The largest groups, and the number of groups."""
    counts = [func.sum(case((state == each.value, 1), else_=0)) for each in State]
    largest = select(name, *counts).group_by(name).order_by(func.count().desc(), name).limit(_MOST_GROUPS)
    groups = tuple(
        Group(row[0], {each: int(rows) for each, rows in zip(State, row[1:], strict=True) if rows})
        for row in connection.execute(largest)
    )
    in_all = connection.execute(select(func.count(name.distinct()))).scalar_one()
    return groups, int(in_all)


def _open(connection: Connection) -> tuple[Open, ...]:
    row = invitations.c
    rows = func.count().label("rows")
    counts = select(row.state, row.code, rows).where(row.state.in_(_OPEN)).group_by(row.state, row.code)
    found = connection.execute(counts.order_by(rows.desc(), row.state, row.code)).all()
    others: Counter[str] = Counter()
    for each in found[_MOST_OPEN:]:
        others[each.state] += each.rows
    return (
        *(Open(State(each.state), each.code, each.rows) for each in found[:_MOST_OPEN]),
        *(Open(State(state), OTHER, count) for state, count in sorted(others.items())),
    )


def _look_ups(connection: Connection) -> tuple[tuple[LookUps, ...], dict[str, int]]:
    """By finding, with the number of rows whose state shows the Id that was found last."""
    last = func.max(findings.c.entry).over(partition_by=findings.c.client_token)
    row = invitations.c
    wanted = select(
        findings.c.evidence,
        (last == findings.c.entry).label("is_last"),
        func.coalesce(row.state, literal("")).label("state"),
        func.coalesce(row.invitation_id, literal("")).label("invitation_id"),
    ).outerjoin_from(findings, invitations, row.client_token == findings.c.client_token)
    all_of_them: Counter[tuple[str, str]] = Counter()
    became: dict[tuple[str, str], Counter[str]] = {}
    found = Counter[str]()
    with connection.execute(wanted, execution_options=BY_PAGE) as rows:
        for each in rows:
            said = orjson.loads(each.evidence)
            key = (said["finding"], said.get("why", ""))
            all_of_them[key] += 1
            if not each.is_last:
                continue
            became.setdefault(key, Counter())[each.state] += 1
            if key[0] == "found":
                found["ids_found"] += 1
                found["ids_found_kept"] += said["invitation_id"] == each.invitation_id
    ordered = sorted(all_of_them.items(), key=lambda each: (-each[1], each[0]))
    look_ups = (LookUps(*key, count, _known(became.get(key, Counter()))) for key, count in ordered)
    return tuple(look_ups), dict(found)
