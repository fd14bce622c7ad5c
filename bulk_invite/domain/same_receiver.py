"""Near-twins: rows of a campaign that invite the same account to the same engagement, with different tokens.

The same row twice has the same token and is a duplicate. A row that differs by a space or a corrected typo
has another token, so the service would accept it as a second invitation.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bulk_invite.domain.matching import engagement_id
from bulk_invite.domain.rows import Invitation, Position, RowError
from bulk_invite.domain.verdicts import State

SAME_RECEIVER: Final = "same_receiver"
"""Code of a row that has the engagement and the account of another row."""

IS_SKIPPED: Final = RowError("$", SAME_RECEIVER, "")
"""The error of a row that is not sent because of another row."""


class OnSameReceiver(StrEnum):
    """What happens to a row whose engagement and account another row has."""

    WARN = "warn"
    SKIP = "skip"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Twin:
    """The other row with the same engagement and account. sent: epoch seconds of its last call, or None."""

    position: Position
    state: State
    sent: float | None = None

    @property
    def invited(self) -> str:
        """The date (UTC) of its invitation, or "" if it has none yet."""
        return _date(self.sent) if self.state is State.CREATED and self.sent is not None else ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a checkpoint knows of a row before a run reads it.

    state: None if no run has read it. is_compared: whether the run would compare it with other rows; it does
    not if the row may have been called. twin: the row of an earlier run that it would find.
    """

    state: State | None
    is_compared: bool
    twin: Twin | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first row with the same engagement and account. has_same_token: a row before has the same token."""

    position: Position
    has_same_token: bool


def repetition(earlier: Earlier, position: Position) -> RowError:
    """The warning about a row at `position` that repeats an earlier one."""
    place = _place(earlier.position, position)
    if earlier.has_same_token:
        return RowError("$", "duplicate", f"same row as {place}; it is sent once")
    return RowError("$", SAME_RECEIVER, f"same engagement and account as {place}")


def receiver_of(invitation: Invitation, campaign: str) -> bytes | None:
    """What two near-twins have in common, unambiguously; None if the row names no account. Sensitive."""
    if not invitation.account:
        return None
    # None of the three contains NUL.
    common = f"{campaign}\0{engagement_id(invitation.engagement)}\0{invitation.account}"
    return common.encode("utf-8", "surrogatepass")


def described(twin: Twin, position: Position) -> str:
    """One clause about the twin of the row at `position`: "same engagement and account as line 1, ..."."""
    return f"same engagement and account as {_place(twin.position, position)}, {_fate(twin)}"


def _place(of_twin: Position, of_row: Position) -> str:
    if of_twin.source != of_row.source:
        return str(of_twin)
    place = f"line {of_twin.line}" if of_twin.line else f"key {of_twin.key}"
    # The source has changed since an earlier run read it.
    return f"the row that {place} had before" if of_twin == of_row else place


def _fate(twin: Twin) -> str:
    match twin.state:
        case State.CREATED:
            return f"invited on {twin.invited}" if twin.invited else "which is invited"
        case State.IN_DOUBT:
            return "which was sent" + (f" on {_date(twin.sent)}" if twin.sent else "") + ", outcome unknown"
        case State.DEFERRED:
            return "which waits for room in its engagement"
        case _:
            return "which is waiting to be sent"


def _date(at: float | None) -> str:
    return "" if at is None else dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
