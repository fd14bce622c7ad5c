"""What the pacing shows of itself."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.pacing.parking import Why


@dataclass(frozen=True, slots=True)
class PacingView:
    """The pacing at one moment. Rates are calls per second; shares are 0 to 1, or None if nothing was sent.

    ceiling: the maximum rate. counted: calls of the last 24 hours. day: maximum of them, if known; learned:
    as found out by the run. next_call, parked_until: as in `PacingState`, in epoch seconds of the wall clock.
    paused: an operator has paused the run.
    """

    rate: float
    ceiling: float
    estimate: float | None
    throttled_minute: float | None
    throttled_hour: float | None
    counted: int
    day: int | None
    learned: int | None
    parked: Why | None
    next_call: float | None
    parked_until: float | None
    paused: bool
