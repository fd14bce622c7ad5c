"""What an attempt or a look-up came to, in one word: for the checkpoint's log, metrics and traces."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The values are in checkpoints and on dashboards: none of them may change."""

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


NOT_SENT: Final = frozenset({Outcome.UNREACHABLE, Outcome.WITHHELD})
"""No byte has left."""

NO_ATTEMPT: Final = NOT_SENT | {Outcome.SENDER_REFUSED}
"""Nothing was asked for the row: none of its attempts is used up."""

NOT_COUNTED: Final = NO_ATTEMPT | {Outcome.THROTTLED}
"""The service does not count the call by the day: it never saw it, or turned it away at the door."""

WITHOUT_CALL: Final = frozenset(
    {Outcome.SET_ASIDE, Outcome.FOUND, Outcome.ABSENT, Outcome.TOO_EARLY, Outcome.UNCLEAR}
)
"""No call has brought it about."""

INVITED: Final = frozenset({Outcome.CREATED, Outcome.FOUND})
"""The row has its invitation."""
