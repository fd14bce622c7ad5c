"""A report in some thirty lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.wording import MEANINGS, moment, open_reasons, share, verdict
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import NEED_ATTENTION, State
from bulk_invite.runs.output.headline import state_name
from bulk_invite.runs.output.logs import escaped

_MOST_GROUPS: Final = 10
_WHOLE_ROW: Final = ("", "$")

_Rows = tuple[int, State, str, str]
"""How many, their state, the code of an error and its path."""


def summary(proof: Proof) -> str:
    return "".join(f"{escaped(line)}\n" for line in _lines(proof))


def _lines(proof: Proof) -> Iterator[str]:
    yield verdict(proof)
    yield from proof.notes
    yield ""
    yield from _figures(proof)
    errors = [(each.rows, each.state, each.code, each.path) for each in proof.problems]
    yield from _groups("Needs attention", [each for each in errors if each[1] in NEED_ATTENTION])
    yield from _groups("Still open", [(each.rows, each.state, each.code, "") for each in open_reasons(proof)])
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
        f"{course.runs_in_all:,} {'run' if course.runs_in_all == 1 else 'runs'}"
    )
    yield f"Rows:       {figures.rows:,}" + (f" ({states})" if states else "")
    yield (
        f"Calls:      {figures.calls:,} ({share(proof.throttled, figures.calls)} throttled); "
        f"rows called more than once: {proof.repeats.rows:,}"
    )


def _groups(title: str, groups: Sequence[_Rows]) -> Iterator[str]:
    """The largest groups of rows with the same reason, and what to do about each."""
    if not groups:
        return
    yield ""
    yield f"{title}:"
    for rows, state, code, path in groups[:_MOST_GROUPS]:
        where = f" at {path}" if path not in _WHOLE_ROW else ""
        why = f", {code}{where}" if code else ""
        yield f"  {rows:,} {state_name(state)}{why}: {remedy_of(state, code)}"
    if (left := len(groups) - _MOST_GROUPS) > 0:
        yield f"  {left:,} more: see --html or --json."


def _topics(proof: Proof) -> Iterator[str]:
    """Manual topics on what needs attention."""
    if not all(line.ok for line in proof.lines):
        yield "results"
    if any(proof.states.get(state) for state in (State.FAILED, State.REJECTED, State.DEFERRED)):
        yield "troubleshooting"
    if proof.states.get(State.IN_DOUBT):
        yield "unknown-outcomes"
