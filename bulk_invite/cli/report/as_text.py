"""A report in some thirty lines of text, for a terminal, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.causes import Cause, needing_attention, still_open
from bulk_invite.cli.report.row_lists import row_lists
from bulk_invite.cli.report.shared_receivers import TITLE, facts_of, left_out, rows_of
from bulk_invite.cli.report.wording import MEANINGS, moment, share, verdict
from bulk_invite.domain.texts import escaped, plural
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.headline import state_name
from bulk_invite.runs.output.next_steps import export_command
from bulk_invite.runs.wiring.checkpoint import checkpoint_option

_MOST_CAUSES: Final = 10
_MOST_ROWS: Final = 20
"""Rows of one cause."""


def summary(proof: Proof) -> str:
    return "".join(f"{escaped(line)}\n" for line in _lines(proof))


def _lines(proof: Proof) -> Iterator[str]:
    yield verdict(proof)
    yield from proof.notes
    yield from _causes("Needs attention", needing_attention(proof), proof.checkpoint)
    yield from _causes("Still open", still_open(proof), proof.checkpoint)
    yield from _shared(proof)
    yield ""
    yield from _figures(proof)
    yield ""
    yield "Audit checks:"
    for line in proof.lines:
        off = f" ({line.off:,} rows do not)" if line.off else ""
        sides = f"{line.left}: {line.left_count:,}; {line.right}: {line.right_count:,}"
        yield f"  {'pass' if line.ok else 'FAIL'}  {line.claim}{off} ({sides})"
    if topics := list(_topics(proof)):
        yield ""
        yield from (f"See: bulk-invite manual {topic}" for topic in topics)


def _figures(proof: Proof) -> Iterator[str]:
    account = proof.owner.account if proof.owner is not None and proof.owner.account else "unknown"
    course, figures = proof.course, proof.figures
    counts = ((state_name(state), proof.states.get(state)) for state in MEANINGS)
    states = ", ".join(f"{rows:,} {name}" for name, rows in counts if rows)
    yield f"Checkpoint: {proof.checkpoint} (account {account}, catalog {proof.catalog})"
    yield (
        f"Period:     {moment(course.first_started)} to {moment(course.last_event)} UTC, "
        f"{plural(course.runs_in_all, 'run', 'runs')}"
    )
    yield f"Rows:       {figures.rows:,}" + (f" ({states})" if states else "")
    yield (
        f"Calls:      {figures.calls:,} ({share(proof.throttled, figures.calls)} throttled); "
        f"rows called more than once: {proof.repeats.rows:,}"
    )
    if proof.same_receiver:
        twins = plural(proof.same_receiver, "row has", "rows have")
        yield f"Twins:      {twins} the engagement and account of an earlier row"


def _causes(title: str, causes: Sequence[Cause], checkpoint: str) -> Iterator[str]:
    """The causes with the most rows, what to do about each, and where the rows are."""
    if not causes:
        return
    yield ""
    yield f"{title}:"
    for cause in causes[:_MOST_CAUSES]:
        where = f" at {cause.path}" if cause.path else ""
        why = f", {cause.code}{where}" if cause.code else ""
        yield f"  {cause.rows:,} {state_name(cause.state)}{why}: {cause.remedy}"
        yield from (f"    {listed}" for listed in row_lists(cause.first[:_MOST_ROWS]))
        if cause.first and (left := cause.rows - len(cause.first[:_MOST_ROWS])):
            yield f"    and {left:,} more: {export_command(cause.state, checkpoint_option(checkpoint))}"
    if (left := len(causes) - _MOST_CAUSES) > 0:
        yield f"  {left:,} more causes: see --html or --json."


def _shared(proof: Proof) -> Iterator[str]:
    """The partners that several rows invite to the same engagement."""
    if not proof.shared:
        return
    yield ""
    yield f"{TITLE}:"
    yield from (f"  {fact}" for fact in facts_of(proof))
    yield from (f"    {rows_of(each)}" for each in proof.shared)
    if left := left_out(proof, len(proof.shared)):
        yield f"    {left}"


def _topics(proof: Proof) -> Iterator[str]:
    """Manual topics on what needs attention."""
    if not all(line.ok for line in proof.lines):
        yield "results"
    if any(proof.states.get(state) for state in (State.FAILED, State.REJECTED, State.DEFERRED)):
        yield "troubleshooting"
    if proof.states.get(State.IN_DOUBT):
        yield "unknown-outcomes"
