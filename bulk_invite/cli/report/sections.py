"""The sections of a report page, in their order: what needs attention first, evidence last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.attention import attention_section, open_section
from bulk_invite.cli.report.charts import calls_chart, created_chart, throttled_chart
from bulk_invite.cli.report.html import Markup, breakable, element, join
from bulk_invite.cli.report.shared_receivers import TITLE, shared_section
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
from bulk_invite.domain.durations import clock_text
from bulk_invite.domain.texts import plural
from bulk_invite.domain.verdicts import OPEN, State
from bulk_invite.runs.output.headline import state_name

_WHY_NO_CALLS: Final = (
    "The log does not say why. A run makes no calls while it is parked, while the endpoint is down, or while "
    "it has nothing to send."
)


def _results(proof: Proof) -> Markup:
    rows = proof.figures.rows
    if not rows:
        return element("p", "No row was read.")
    found = [state for state in MEANINGS if proof.states.get(state)]
    states = [
        (state_name(state), proof.states[state], share(proof.states[state], rows), MEANINGS[state])
        for state in found
    ]
    sources: list[list[Cell]] = [
        [breakable(each.name), each.rows, *(each.states.get(state, 0) for state in found)]
        for each in proof.sources
    ]
    of_sources = ("source", "rows", *map(state_name, found))
    parts = [
        table("Rows by state", ("state", "rows", "share", "meaning"), states),
        table("Rows by source", of_sources, sources, more=_omitted(len(sources), proof.sources_in_all)),
    ]
    if proof.same_receiver:
        twins = plural(proof.same_receiver, "row has", "rows have")
        parts.append(element("p", f"{twins} the engagement and the account of an earlier row."))
    if any(each.name for each in proof.campaigns):
        campaigns = [(breakable(named(each.name)), each.rows) for each in proof.campaigns]
        more = _omitted(len(campaigns), proof.campaigns_in_all)
        parts.append(table("Rows by campaign", ("campaign", "rows"), campaigns, more=more))
    return join(parts)


def _audit(proof: Proof) -> Markup:
    lines = []
    for line in proof.lines:
        result = element("strong", "pass" if line.ok else "FAIL", class_="good" if line.ok else "bad")
        off = f" ({line.off:,} rows do not)" if line.off else ""
        lines.append((line.claim + off, result, line.left_count, line.left, line.right_count, line.right))
    heads = ("check", "result", "count", "of", "must equal", "of")
    why: list[tuple[Cell, ...]] = [
        (WHY_REPEATED.get(each, each), calls) for each, calls in proof.repeats.why.items()
    ]
    parts = [
        table("Counts that must be equal", heads, lines),
        element("h3", "Repeated calls"),
        element("p", _repeated_calls(proof)),
    ]
    if why:
        parts.append(table("Reasons for repeated calls", ("outcome of the call before", "calls"), why))
    return join([*parts, element("h3", "Look-ups"), _look_ups(proof)])


def _repeated_calls(proof: Proof) -> str:
    figures, repeats = proof.figures, proof.repeats
    calls, rows = plural(figures.calls, "call was", "calls were"), plural(figures.called, "row", "rows")
    again = "No row was called more than once."
    if repeats.rows:
        more = plural(repeats.calls, "additional call", "additional calls")
        again = (
            f"{plural(repeats.rows, 'row was', 'rows were')} called more than once, in {more}. Every "
            "repeated call carries the same client token: the checkpoint identifies a row by its token."
        )
    unanswered = "Every call has an answer in the log."
    if figures.unanswered:
        unanswered = f"{plural(figures.unanswered, 'call has', 'calls have')} no answer in the log."
    return f"{calls} made for {rows}. {again} {unanswered}"


def _look_ups(proof: Proof) -> Markup:
    if not proof.look_ups:
        return element("p", "No row was looked up.")
    rows = []
    for each in proof.look_ups:
        became = ", ".join(f"{count:,} {state_name(state)}" for state, count in each.became.items()) or "-"
        finding = FINDINGS.get(each.finding, each.finding) + (f" ({each.why})" if each.why else "")
        rows.append((finding, each.findings, became))
    heads = ("finding", "look-ups", "current state of the rows with this as their latest finding")
    return table("Look-ups by finding", heads, rows)


def _over_time(proof: Proof) -> Markup:
    course = proof.course
    if not course.over_time.buckets:
        return element("p", "No call has been made yet.")
    valid = sum(proof.states.get(state, 0) for state in (State.CREATED, State.FAILED, *OPEN))
    legend = f"Each bar covers {width(course.over_time.width)}. Dashed line: a run started."
    if course.silences:
        legend += " Gray: a run made no call for longer than a bar and longer than ten minutes."
    charts = [created_chart(course, valid), calls_chart(course)]
    if any(bucket.throttled for bucket in course.over_time.buckets):
        legend += " Red: throttled."
        charts.append(throttled_chart(course))
    figures = [
        element("figure", element("figcaption", title), element("div", chart, class_="chart"))
        for title, chart in charts
    ]
    days: list[list[Cell]] = [
        [day(each.at), each.calls, each.throttled, share(each.throttled, each.calls), each.created]
        for each in course.days
    ]
    heads = ("day (UTC)", "calls", "throttled", "throttled share", "invitations")
    more = _omitted(len(days), course.days_in_all, "latest")
    return join([element("p", legend), *figures, table("Calls by day", heads, days, more=more)])


def _runs(proof: Proof) -> Markup:
    course = proof.course
    runs: list[list[Cell]] = [
        [
            f"{each.number}",
            _time(each.started),
            _time(each.last_event),
            _length(each.started, each.last_event),
            each.calls,
        ]
        for each in course.runs
    ]
    gaps: list[list[Cell]] = [
        [
            f"no call for {_length(each.since, each.until)}",
            f"{each.run}",
            _time(each.since),
            _time(each.until),
        ]
        for each in course.silences
    ]
    heads = ("run", "started (UTC)", "last event (UTC)", "duration", "calls")
    parts = [table("Runs of the sender", heads, runs, more=_omitted(len(runs), course.runs_in_all, "latest"))]
    if gaps:
        parts.append(table("Longest gaps during a run", ("gap", "run", "from (UTC)", "until (UTC)"), gaps))
        parts.append(element("p", _WHY_NO_CALLS, class_="more"))
    return join([*parts, element("h3", "Last saved pacing state"), _pacing(proof)])


def _pacing(proof: Proof) -> Markup:
    memory = proof.pacing
    if memory is None:
        return element("p", "None was saved.")
    pairs: list[tuple[str, Cell]] = [
        ("Saved at", f"{moment(memory.at)} UTC"),
        ("Parked", memory.parked or "no"),
        ("Next call", moment(memory.next_call)),
        ("Resumes at", moment(memory.parked_until)),
        ("Rate, calls per second", f"{memory.rate:.3g}"),
        ("Estimated quota, calls per second", "-" if memory.estimate is None else f"{memory.estimate:.3g}"),
        ("Daily quota, configured", "-" if memory.daily_quota is None else memory.daily_quota),
        ("Daily quota, learned", "-" if memory.learned_quota is None else memory.learned_quota),
        ("Calls in the last 24 hours", memory.counted),
    ]
    return facts(pairs)


def _background(proof: Proof) -> Markup:
    owner, course = proof.owner, proof.course
    account = owner.account if owner is not None and owner.account else "unknown"
    return facts(
        [
            ("Checkpoint", proof.checkpoint),
            ("Account", account),
            ("Catalog", proof.catalog),
            ("Rows", proof.figures.rows),
            ("Sources", proof.sources_in_all),
            ("First run started", f"{moment(course.first_started)} UTC"),
            ("Last event", f"{moment(course.last_event)} UTC"),
            ("Days with calls", course.days_in_all),
            ("Runs", course.runs_in_all),
            ("Total run time", clock_text(course.elapsed)),
        ]
    )


def _time(epoch: float | None) -> str:
    return "-" if epoch is None else element("time", moment(epoch))


def _length(since: float, until: float) -> str:
    return clock_text(until - since)


def _omitted(shown: int, total: int, which: str = "largest") -> str:
    return f"Only the {which} {shown:,} of {total:,} are shown." if total > shown else ""


SECTIONS: Final[tuple[tuple[str, str, Callable[[Proof], Markup]], ...]] = (
    ("attention", "Needs attention", attention_section),
    ("open", "Still open", open_section),
    ("receivers", TITLE, shared_section),
    ("results", "Results", _results),
    ("time", "Over time", _over_time),
    ("background", "Checkpoint and period", _background),
    ("runs", "Runs and gaps", _runs),
    ("audit", "Audit: each row sent once", _audit),
)
"""Anchor, heading and content of each."""
