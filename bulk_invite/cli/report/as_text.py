"""A proof in some twenty lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.wording import moment, share, verdict
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.logs import escaped


def summary(proof: Proof) -> str:
    return "".join(f"{escaped(line)}\n" for line in _lines(proof))


def _lines(proof: Proof) -> Iterator[str]:
    account = proof.owner.account if proof.owner is not None and proof.owner.account else "unknown"
    course, figures = proof.course, proof.figures
    yield f"{proof.checkpoint}: account {account}, catalog {proof.catalog}"
    yield f"{moment(course.first_started)} to {moment(course.last_event)} UTC, starts: {course.runs_in_all:,}"
    states = ((state.value.replace("_", " "), proof.states.get(state)) for state in State)
    counts = (f"{name} {rows:,}" for name, rows in states if rows)
    yield f"{figures.rows:,} rows: {', '.join(counts) or 'none'}"
    yield (
        f"{figures.calls:,} calls, {share(proof.throttled, figures.calls)} throttled; "
        f"rows that were called more than once: {proof.repeats.rows:,}"
    )
    for line in proof.lines:
        off = f" ({line.off:,} rows do not)" if line.off else ""
        sides = f"{line.left}: {line.left_count:,}, {line.right}: {line.right_count:,}"
        yield f"{'ok    ' if line.ok else 'NOT OK'}  {line.claim}{off} ({sides})"
    yield from proof.notes
    yield verdict(proof)
    yield from (f"See: bulk-invite manual {topic}" for topic in _topics(proof))


def _topics(proof: Proof) -> Iterator[str]:
    """Of the manual, where something needs attention."""
    if not all(line.ok for line in proof.lines):
        yield "results"
    if any(proof.states.get(state) for state in (State.FAILED, State.REJECTED, State.DEFERRED)):
        yield "troubleshooting"
    if proof.states.get(State.IN_DOUBT):
        yield "unknown-outcomes"
