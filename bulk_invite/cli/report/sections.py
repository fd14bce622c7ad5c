"""The sections of a report page, in their order: results first, background last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bulk_invite.checkpoint.audit.result import Group, Proof
from bulk_invite.cli.report.charts import calls_chart, created_chart, throttled_chart
from bulk_invite.cli.report.html import Markup, breakable, element, join, prose
from bulk_invite.cli.report.tables import Cell, facts, table
from bulk_invite.cli.report.wording import (
    FINDINGS,
    MEANINGS,
    WHY_REPEATED,
    day,
    moment,
    named,
    open_reasons,
    share,
    width,
)
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import NEED_ATTENTION, OPEN, State
from bulk_invite.runs.output.headline import state_name
from bulk_invite.runs.output.progress_bar import clock_text

_WHY_NO_CALLS: Final = (
    "The log does not say why. A run makes no calls while it is parked, while the endpoint is down, or while "
    "it has nothing to send."
)


def _results(proof: Proof) -> Markup:
    rows = proof.figures.rows
    states = [
        (state_name(state), proof.states.get(state, 0), share(proof.states.get(state, 0), rows), meaning)
        for state, meaning in MEANINGS.items()
    ]
    sources = [_of_source(each) for each in proof.sources]
    campaigns = [(named(each.name), each.rows) for each in proof.campaigns]
    heads = ("source", "rows", *map(state_name, State))
    return join(
        [
            table("Rows by state", ("state", "rows", "share", "meaning"), states),
            table("Rows by source", heads, sources, more=_omitted(len(sources), proof.sources_in_all)),
            table(
                "Rows by campaign",
                ("campaign", "rows"),
                campaigns,
                more=_omitted(len(campaigns), proof.campaigns_in_all),
            ),
        ]
    )


def _of_source(group: Group) -> list[Cell]:
    return [group.name, group.rows, *(group.states.get(state, 0) for state in State)]


def _attention(proof: Proof) -> Markup:
    problems: list[list[Cell]] = [
        [
            state_name(each.state),
            breakable(named(each.code)),
            breakable(each.path),
            each.rows,
            _remedy(each.state, each.code),
        ]
        for each in proof.problems
        if each.state in NEED_ATTENTION
    ]
    if not problems:
        return element("p", "Nothing: no row failed or was rejected.")
    of_errors = ("state", "code", "member", "rows", "what to do")
    errors = table("Errors by code and member (a row counts once per error)", of_errors, problems)
    return join([errors, _latest(proof, NEED_ATTENTION, "rows that failed or were rejected")])


def _still_open(proof: Proof) -> Markup:
    if not proof.open:
        return element("p", "Nothing: no row is open.")
    reasons: list[list[Cell]] = [
        [state_name(each.state), breakable(named(each.code)), each.rows, _remedy(each.state, each.code)]
        for each in open_reasons(proof)
    ]
    heads = ("state", "code of the last answer", "rows", "what to do")
    latest = _latest(proof, OPEN, "rows that an answer left in doubt")
    return join([table("Open rows by reason", heads, reasons), latest])


def _latest(proof: Proof, states: Sequence[State], which: str) -> Markup:
    """The rows in these states among the latest ones without an invitation; nothing if there is none."""
    rows: list[list[Cell]] = [
        [
            breakable(str(each.position)),
            state_name(each.state),
            breakable(named(each.code)),
            breakable(each.path),
            _time(each.at),
        ]
        for each in proof.failures
        if each.state in states
    ]
    heads = ("row", "state", "code", "member", "last call (UTC)")
    return table(f"Latest {which}", heads, rows) if rows else Markup()


def _remedy(state: State, code: str) -> Markup:
    return prose(remedy_of(state, code))


def _audit(proof: Proof) -> Markup:
    lines = []
    for line in proof.lines:
        result = element("strong", "pass" if line.ok else "FAIL", class_="good" if line.ok else "bad")
        off = f" ({line.off:,} rows do not)" if line.off else ""
        lines.append((line.claim + off, result, line.left_count, line.left, line.right_count, line.right))
    heads = ("check", "result", "count", "of", "must equal", "of")
    figures, repeats = proof.figures, proof.repeats
    why: list[tuple[Cell, ...]] = [
        (WHY_REPEATED.get(each, each), calls) for each, calls in repeats.why.items()
    ]
    calls = (
        f"{figures.calls:,} calls were made for {figures.called:,} rows. {repeats.rows:,} rows were called "
        f"more than once, in {repeats.calls:,} additional calls. Every repeated call carries the same client "
        "token, because the checkpoint identifies a row by its token. "
        f"{figures.unanswered:,} calls have no answer in the log."
    )
    parts = [
        table("Counts that must be equal", heads, lines),
        element("h3", "Repeated calls"),
        element("p", calls),
    ]
    if why:
        parts.append(table("Reasons for repeated calls", ("outcome of the call before", "calls"), why))
    return join([*parts, element("h3", "Look-ups"), _look_ups(proof)])


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
    legend = (
        f"Each bar covers {width(course.over_time.width)}. Red: throttled. Dashed line: a run started. "
        "Gray: a run made no call for longer than a bar and longer than ten minutes."
    )
    charts = (created_chart(course, valid), calls_chart(course), throttled_chart(course))
    figures = [
        element("figure", element("figcaption", title), element("div", chart, class_="box"))
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
    ("results", "Results", _results),
    ("attention", "Needs attention", _attention),
    ("open", "Still open", _still_open),
    ("audit", "Audit: each row sent once", _audit),
    ("time", "Over time", _over_time),
    ("runs", "Runs and gaps", _runs),
    ("background", "Checkpoint and period", _background),
)
"""Anchor, heading and content of each."""
