"""Wording of a report: its headline, the meaning of states and codes, dates, shares and durations."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Final

from bulk_invite.checkpoint.audit.result import UNANSWERED, Proof
from bulk_invite.domain.durations import DAY, HOUR, MINUTE
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.headline import headline

MEANINGS: Final = {
    State.CREATED: "invitation created; its Id is known",
    State.DUPLICATE: "repeats another row, or its engagement and account; not sent again",
    State.REJECTED: "invalid; never sent",
    State.FAILED: "refused by the service",
    State.DEFERRED: "open: the engagement is full; the next run retries it",
    State.IN_DOUBT: "open: sent, outcome not known yet",
    State.PENDING: "open: not sent yet",
}

WHY_REPEATED: Final = {
    UNANSWERED: "no answer in the log (the sender was killed or aborted)",
    "throttled": "throttled",
    "doubtful": "the call ended without a clear answer",
    "unreachable": "the endpoint was unreachable",
    "withheld": "canceled before its first byte: nothing was sent",
    "engagement_full": "the engagement was full",
    "set_aside": "deferred: the engagement was full",
    "absent": "looked up: the earlier call had not arrived",
    "denied": "denied",
    "sender_refused": "the credentials were rejected",
    "unknown": "an answer unknown to this program",
    "refused": "refused; sent again with --retry-failed",
    "conflict": "a conflict; sent again with --retry-failed",
}

FINDINGS: Final = {
    "found": "found: exactly one invitation matches the row",
    "absent": "absent: an invitation would be listed by now",
    "too early": "too early to decide",
    "unclear": "unclear",
}


def moment(epoch: float | None) -> str:
    """`2026-11-25 14:05:00` in UTC."""
    return "-" if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def width(seconds: float) -> str:
    """`5 minutes`: a number of the largest unit that divides the duration."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)):
        if seconds % length == 0:
            count = round(seconds / length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"


def named(what: str) -> str:
    """A campaign or a code; `(none)` for an empty one."""
    return what or "(none)"


class Standing(Enum):
    """How a backfill stands, in the words of its report. Only the first one needs nothing from its reader."""

    COMPLETE = "Complete"
    EMPTY = "Nothing to report"
    SENDING = "Still sending"
    OPEN = "Not finished"
    ATTENTION = "Needs attention"
    NONE_INVITED = "No invitation"
    NOT_PROVEN = "Not proven"


def standing(proof: Proof) -> Standing:
    """The gravest one that applies."""
    if not proof.adds_up:
        return Standing.NOT_PROVEN
    if not proof.asked:
        return Standing.SENDING if proof.active else Standing.EMPTY
    if not proof.states.get(State.CREATED) and not proof.rows_open:
        return Standing.NONE_INVITED
    if proof.needing_attention:
        return Standing.ATTENTION
    if proof.active:
        return Standing.SENDING
    return Standing.OPEN if proof.rows_open else Standing.COMPLETE


def verdict(proof: Proof) -> str:
    """How many of the rows have an invitation, how many need attention, and whether the audit passes.

    A failed audit comes first: the figures depend on it.
    """
    sentences = [headline(proof.states), _audit(proof)]
    return " ".join(sentences if proof.adds_up else reversed(sentences))


def _audit(proof: Proof) -> str:
    checks = len(proof.lines)
    failed = sum(not line.ok for line in proof.lines)
    if not failed:
        return f"All {checks} audit checks pass."
    verb = "fails" if failed == 1 else "fail"
    return f"{failed} of {checks} audit checks {verb}: these figures are not proven."
