"""Events of the resumable log.

Each durable step in a row's life is committed before the next one begins: admitted (`pending`) -> `Sent` (in
doubt from here on) -> the call -> `Answered` (the outcome as far as it is known). After a crash between any
two steps, the row continues with the same token, or is looked up if the service may have forgotten the token.
"""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.domain.findings import Finding
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt is about to leave. `at` is epoch seconds."""

    client_token: str
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of a row after an attempt, after a lookup, or after it was set aside without either.

    code: the service's code or the exception's name. doubt_since: epoch seconds of the earliest attempt whose
    outcome is unknown, or None. counted: whether the attempt counts against the row (False: nothing was
    sent). finding: the result of the lookup, if there was one. instead: the event to write in place of this
    one if another row already has its Id.
    """

    client_token: str
    at: float
    state: State
    outcome: Outcome
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
