"""Whether a checkpoint is, or may be, older than its last call: what a reader finds, as a sender would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bulk_invite.checkpoint.tables.values import Gap, Generation, is_later


@dataclass(frozen=True, slots=True)
class Findings:
    """why: the reason to suspect missing calls, or "".

    later: the last known transaction, if it is a later one.
    """

    why: str
    later: Generation | None

    def lost(self, kept: Generation) -> int | None:
        """Number of missing calls; None if unknown."""
        return None if self.later is None else max(0, self.later.calls - kept.calls)


def why_older(
    name: str, beside: Generation | None, kept: Generation, copy_evidence: Callable[[], str]
) -> str:
    """Return why calls may be missing, or "".

    name: of the file beside the checkpoint; beside: its content, as read before the checkpoint.
    copy_evidence: see `LastTransaction`.
    """
    if is_later(beside, kept):
        return f"{name} records later transactions"
    if beside is not None and beside.checkpoint != kept.checkpoint:
        return f"{name} beside it belongs to another checkpoint"
    if beside is None and name and kept.number:
        return f"it was copied or moved without {name}"
    return copy_evidence()


def find_gap(
    name: str, beside: Generation | None, kept: Generation, copy_evidence: Callable[[], str] = lambda: ""
) -> Gap | None:
    """Return the gap that a sender would find, or None. Arguments: as for `why_older`."""
    why = why_older(name, beside, kept, copy_evidence)
    found = Findings(why, beside if is_later(beside, kept) else None)
    return Gap(0.0 if kept.at is None else kept.at, None, found.lost(kept), why) if why else None
