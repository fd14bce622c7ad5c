"""Figures and times as a report says them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from bulk_invite.checkpoint.audit.result import UNANSWERED, Proof
from bulk_invite.domain.durations import DAY, HOUR, MINUTE
from bulk_invite.domain.verdicts import State

MEANINGS: Final = {
    State.CREATED: "invited; the Id is known",
    State.DUPLICATE: "the same row once more in the source; not sent twice",
    State.REJECTED: "not valid; never sent",
    State.FAILED: "refused by the service",
    State.DEFERRED: "open: the engagement is full; is tried again",
    State.IN_DOUBT: "open: sent, and nobody knows the outcome yet",
    State.PENDING: "open: not sent yet",
}

WHY_REPEATED: Final = {
    UNANSWERED: "no answer is in the log (the sender was killed or broken off)",
    "throttled": "throttled",
    "doubtful": "the call ended without a clear answer",
    "unreachable": "the endpoint was not reached",
    "withheld": "told not to start right before its first byte: nothing was sent",
    "engagement_full": "the engagement was full",
    "set_aside": "set aside: the engagement was full",
    "absent": "looked up, and found not to have arrived",
    "denied": "denied",
    "sender_refused": "the credentials were not accepted",
    "unknown": "an answer that the program does not know",
    "refused": "refused, and sent again with --retry-failed",
    "conflict": "a conflict, and sent again with --retry-failed",
}

FINDINGS: Final = {
    "found": "found: exactly one invitation says what the row says",
    "absent": "absent: the lists would show it by now",
    "too early": "too early to say",
    "unclear": "unclear",
}


def moment(epoch: float | None) -> str:
    """`2026-11-25 14:05:00` in UTC."""
    return "-" if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def width(seconds: float) -> str:
    """`5 minutes`, of what lasts a whole number of a unit."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)):
        if seconds % length == 0:
            count = round(seconds / length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"


def named(what: str) -> str:
    """A campaign, a code: what has no name is said so."""
    return what or "(none)"


def verdict(proof: Proof) -> str:
    """Whether it adds up, how many rows nobody was invited by, and what is open: a sentence each."""
    wrong = sum(not line.ok for line in proof.lines)
    whether = (
        f"All {len(proof.lines)} lines of the evidence add up."
        if not wrong
        else f"{wrong} of {len(proof.lines)} lines of the evidence do not add up: so this is no proof."
    )
    without = proof.states.get(State.FAILED, 0) + proof.states.get(State.REJECTED, 0)
    if without:
        whether += f" Without an invitation, refused or rejected: {_rows(without)}."
    count = proof.rows_open
    return (
        f"{whether} Still open, nothing is proven of them: {_rows(count)}."
        if count
        else f"{whether} No row is open."
    )


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
