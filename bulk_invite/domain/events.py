"""What the flow tells the checkpoint and hears from it: the vocabulary of the resumable log.

Order of durable steps in a row's life, each committed before the next begins:
admitted (`pending`) -> `Sent` (in doubt from here on) -> the call -> `Answered` (what is known now).
A crash between any two of them leaves a state from which the same row goes on with the same token, or is
looked up where the token may be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.findings import Finding
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt is about to leave. `at` is epoch seconds."""

    client_token: str
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of a row after an attempt, or after it was looked up or set aside without one.

    outcome: one word for the log (`created`, `throttled`, `reset` ...), code: the service's or exception's.
    doubt_since: epoch seconds of the earliest attempt whose fate is still unknown; None when there is none.
    counted: whether the attempt counts on the row (False: nothing was sent).
    finding: what the row was found to be, where it was looked up.
    instead: what is written in its place where another row has its Id already.
    """

    client_token: str
    at: float
    state: State
    outcome: str
    code: str = ""
    request_id: str = ""
    invitation_id: str = ""
    arn: str = ""
    errors: tuple[RowError, ...] = ()
    doubt_since: float | None = None
    counted: bool = True
    finding: Finding | None = None
    instead: Answered | None = None


Event = Sent | Answered

NOT_SENT: Final = ("unreachable", "withheld")
"""Outcomes of intents that no byte has left for."""

WITHOUT_CALL: Final = frozenset({"set_aside", "found", "absent", "too_early", "unclear"})
"""Outcomes that no call has brought about."""
