"""The findings of a campaign about one fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """One line of the campaign's table; a campaign has failed unless all its lines are `clean`.

    times: how often the fault was made. lost: rows that ended without an invitation, twice: with more than
    one, both by the emulator's ledger. repeated: calls for a row beyond those that its faults explain.
    allowed: the most of them that may be (the calls in flight, per crash). seconds: how long it took.
    broken: whatever else was not as documented (an exit code, a message, a time), a sentence each.
    """

    fault: str
    times: int
    lost: int
    twice: int
    repeated: int
    allowed: int
    seconds: float
    broken: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.broken) and self.repeated <= self.allowed
