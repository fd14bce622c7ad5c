"""The outcome of an attempt or a lookup, in one word: for the checkpoint's log, metrics and traces."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The values appear in checkpoints and on dashboards, so they must not change."""

    CREATED = "created"
    THROTTLED = "throttled"
    ENGAGEMENT_FULL = "engagement_full"
    CONFLICT = "conflict"
    REFUSED = "refused"
    DENIED = "denied"
    SENDER_REFUSED = "sender_refused"
    DOUBTFUL = "doubtful"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    WITHHELD = "withheld"
    SET_ASIDE = "set_aside"
    FOUND = "found"
    ABSENT = "absent"
    TOO_EARLY = "too_early"
    UNCLEAR = "unclear"

    __hash__ = str.__hash__  # see `State`


NOT_SENT: Final = frozenset({Outcome.UNREACHABLE, Outcome.WITHHELD})
"""No byte left."""

NO_ATTEMPT: Final = NOT_SENT | {Outcome.SENDER_REFUSED}
"""The call asked nothing for the row, so it uses up no attempt."""

NOT_COUNTED: Final = NO_ATTEMPT | {Outcome.THROTTLED}
"""The service does not count the call against the day: it never received it, or turned it away."""

WITHOUT_CALL: Final = frozenset(
    {Outcome.SET_ASIDE, Outcome.FOUND, Outcome.ABSENT, Outcome.TOO_EARLY, Outcome.UNCLEAR}
)
"""No call produced the outcome."""

INVITED: Final = frozenset({Outcome.CREATED, Outcome.FOUND})
"""The row has its invitation."""
