"""The sections of a page, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bulk_invite.checkpoint.audit.result import Group, Proof
from bulk_invite.cli.report.charts import calls_chart, created_chart, throttled_chart
from bulk_invite.cli.report.html import Markup, element, join, prose
from bulk_invite.cli.report.tables import Cell, facts, table
from bulk_invite.cli.report.wording import (
    FINDINGS,
    MEANINGS,
    WHY_REPEATED,
    day,
    moment,
    named,
    share,
    width,
)
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.progress import clock_text


def _asked(proof: Proof) -> Markup:
    owner, course = proof.owner, proof.course
    account = owner.account if owner is not None and owner.account else "unknown"
    pairs: list[tuple[str, Cell]] = [
        ("Checkpoint", proof.checkpoint),
        ("Account", account),
        ("Catalog", proof.catalog),
        ("Rows", proof.figures.rows),
        ("Sources", proof.sources_in_all),
        ("First start", f"{moment(course.first_started)} UTC"),
        ("Last event", f"{moment(course.last_event)} UTC"),
        ("Days with calls", course.days_in_all),
        ("Starts", course.runs_in_all),
        ("Time of all runs", clock_text(course.elapsed)),
    ]
    campaigns = [(named(each.name), each.rows) for each in proof.campaigns]
    left = _left(len(campaigns), proof.campaigns_in_all)
    return join([facts(pairs), table("Rows by campaign", ("campaign", "rows"), campaigns, more=left)])


def _became(proof: Proof) -> Markup:
    rows = proof.figures.rows
    states = [
        (state.value, proof.states.get(state, 0), share(proof.states.get(state, 0), rows), MEANINGS[state])
        for state in (State.CREATED, State.DUPLICATE, State.REJECTED, State.FAILED, *_OPEN)
    ]
    sources = [_of_source(each) for each in proof.sources]
    heads = ("source", "rows", *(state.value.replace("_", " ") for state in State))
    return join(
        [
            table("All rows by state", ("state", "rows", "share", "meaning"), states),
            table("Rows by source and state", heads, sources, more=_left(len(sources), proof.sources_in_all)),
        ]
    )


_WHY_SILENT: Final = (
    "The log does not say why: a run that is parked, whose endpoint is down, or that has nothing to send, "
    "makes no calls."
)

_OPEN: Final = (State.DEFERRED, State.IN_DOUBT, State.PENDING)


def _of_source(group: Group) -> list[Cell]:
    return [group.name, group.rows, *(group.states.get(state, 0) for state in State)]


def _once(proof: Proof) -> Markup:
    lines = []
    for line in proof.lines:
        says = element("strong", "ok" if line.ok else "NOT OK", class_="good" if line.ok else "bad")
        off = f" ({line.off:,} rows do not)" if line.off else ""
        lines.append((line.claim + off, says, line.left_count, line.left, line.right_count, line.right))
    heads = ("claim", "holds", "count", "of", "the same as", "of")
    figures, repeats = proof.figures, proof.repeats
    why: list[tuple[Cell, ...]] = [
        (WHY_REPEATED.get(each, each), calls) for each, calls in repeats.why.items()
    ]
    said = (
        f"{figures.calls:,} calls of {figures.called:,} rows. {repeats.rows:,} rows were called again, "
        f"which took {repeats.calls:,} further calls, all with the token of the row: it is the key that the "
        f"checkpoint keeps the row by. {figures.unanswered:,} calls have no answer in the log."
    )
    parts = [
        table("Counts that have to be the same", heads, lines),
        element("h3", "Repeated calls"),
        element("p", said),
    ]
    if why:
        parts.append(table("Why rows were called again", ("what was known of the call before", "calls"), why))
    return join([*parts, element("h3", "Rows that were looked up"), _look_ups(proof)])


def _look_ups(proof: Proof) -> Markup:
    if not proof.look_ups:
        return element("p", "No row was looked up.")
    rows = []
    for each in proof.look_ups:
        became = ", ".join(f"{count:,} {state.value}" for state, count in each.became.items()) or "-"
        finding = FINDINGS.get(each.finding, each.finding) + (f" ({each.why})" if each.why else "")
        rows.append((finding, each.findings, became))
    heads = ("what was found", "look-ups", "rows it was the last word on are now")
    return table("Look-ups and what followed", heads, rows)


def _over_time(proof: Proof) -> Markup:
    course = proof.course
    if not course.over_time.buckets:
        return element("p", "No call was made yet.")
    valid = sum(proof.states.get(state, 0) for state in (State.CREATED, State.FAILED, *_OPEN))
    legend = (
        f"Each bar is {width(course.over_time.width)}. Red: throttled. Dashed: a run began. "
        "Grey: no call for longer than that, and than ten minutes, while a run was on."
    )
    charts = (calls_chart(course), throttled_chart(course), created_chart(course, valid))
    figures = [
        element("figure", element("figcaption", title), element("div", chart, class_="box"))
        for title, chart in charts
    ]
    days: list[list[Cell]] = [
        [day(each.at), each.calls, each.throttled, share(each.throttled, each.calls), each.created]
        for each in course.days
    ]
    heads = ("day (UTC)", "calls", "throttled", "throttled share", "invitations")
    left = _left(len(days), course.days_in_all, "latest")
    return join([element("p", legend), *figures, table("Calls by day", heads, days, more=left)])


def _attention(proof: Proof) -> Markup:
    if not (proof.problems or proof.open):
        return element("p", "Nothing: no row is open, rejected or failed.")
    problems: list[list[Cell]] = [
        [each.state.value, named(each.code), each.path, each.rows, prose(remedy_of(each.state, each.code))]
        for each in proof.problems
    ]
    opened: list[list[Cell]] = [
        [each.state.value, named(each.code), each.rows, prose(remedy_of(each.state, each.code))]
        for each in proof.open
    ]
    failures: list[list[Cell]] = [
        [str(each.position), each.state.value, named(each.code), each.path, moment(each.at)]
        for each in proof.failures
    ]
    parts = []
    if opened:
        parts.append(
            table("Open rows by reason", ("state", "code of the last answer", "rows", "what to do"), opened)
        )
    if problems:
        heads = ("state", "code", "member", "rows", "what to do")
        parts.append(
            table("Errors by code and member (a row counts once for each of its errors)", heads, problems)
        )
    if failures:
        caption = (
            f"The latest {len(failures)} rows that failed, were rejected or left in doubt after an answer"
        )
        parts.append(table(caption, ("row", "state", "code", "member", "last call (UTC)"), failures))
    return join(parts)


def _runs(proof: Proof) -> Markup:
    course = proof.course
    runs: list[list[Cell]] = [
        [
            f"{each.number}",
            moment(each.started),
            moment(each.last_event),
            _length(each.started, each.last_event),
            each.calls,
        ]
        for each in course.runs
    ]
    silences: list[list[Cell]] = [
        [
            f"no call for {_length(each.since, each.until)}",
            f"{each.run}",
            moment(each.since),
            moment(each.until),
        ]
        for each in course.silences
    ]
    of_run = ("run", "started (UTC)", "last event (UTC)", "time", "calls")
    parts = [table("Starts of the sender", of_run, runs, more=_left(len(runs), course.runs_in_all, "latest"))]
    if silences:
        heads = ("what", "run", "from (UTC)", "until (UTC)")
        parts.append(table("Longest times without a call while a run was on", heads, silences))
        parts.append(element("p", _WHY_SILENT, class_="more"))
    return join([*parts, element("h3", "What the pacing wrote down last"), _pacing(proof)])


def _pacing(proof: Proof) -> Markup:
    memory = proof.pacing
    if memory is None:
        return element("p", "Nothing.")
    pairs: list[tuple[str, Cell]] = [
        ("Written at", f"{moment(memory.at)} UTC"),
        ("Parked", memory.parked or "no"),
        ("Next call", moment(memory.next_call)),
        ("Goes on by itself", moment(memory.parked_until)),
        ("Rate, calls per second", f"{memory.rate:.3g}"),
        ("Quota as measured, calls per second", "-" if memory.estimate is None else f"{memory.estimate:.3g}"),
        ("Daily quota", "-" if memory.daily_quota is None else memory.daily_quota),
        ("Daily quota as learned", "-" if memory.learned_quota is None else memory.learned_quota),
        ("Calls of the 24 hours before", memory.counted),
    ]
    return facts(pairs)


def _length(since: float, until: float) -> str:
    return clock_text(until - since)


def _left(shown: int, in_all: int, which: str = "largest") -> str:
    return f"The {which} {shown:,} of {in_all:,} are shown." if in_all > shown else ""


SECTIONS: Final[tuple[tuple[str, str, Callable[[Proof], Markup]], ...]] = (
    ("asked", "What was asked", _asked),
    ("became", "What became of it", _became),
    ("once", "Each row once: the evidence", _once),
    ("time", "Over time", _over_time),
    ("attention", "What needs attention", _attention),
    ("runs", "Starts and silences", _runs),
)
"""Anchor, heading and content of each."""
