"""Draws the fault of a call, if any, from the seed and the number of the call. Pure.

A fault occurs either *before* the service processes the call, so that nothing is committed, or *after* the
commit of the invitation, when it only affects the response. A fault after the commit affects only successful
calls: a refused call gets its refusal. For faults where the caller cannot tell which, chance decides
(`faults_committed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bulk_invite.rehearsal.emulator.ids import seeded
from bulk_invite.rehearsal.emulator.options import Options


class Fault(StrEnum):
    """Names as in `FaultOptions`."""

    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    CLOSE = "close"
    TRUNCATE = "truncate"
    EMPTY = "empty"
    HTML = "html"
    SLOW = "slow"
    THROTTLE = "throttle"


_ALWAYS_BEFORE: Final = frozenset({Fault.RESET_BEFORE, Fault.THROTTLE})
_ALWAYS_AFTER: Final = frozenset({Fault.RESET_AFTER})


@dataclass(frozen=True, slots=True)
class Draw:
    """The fault of a call. after: it occurs after the commit. jitter: share of the jitter, 0 to 1.

    gives_up: a slow call is dropped if its caller has disconnected in the meantime; otherwise it is executed
    late, without a receiver for its response.
    """

    fault: Fault | None
    after: bool
    gives_up: bool
    jitter: float


class Faults:
    def __init__(self, options: Options) -> None:
        self._seed = options.seed
        self._chances = [(Fault(kind), p) for kind, p in options.faults.probabilities().items() if p > 0]
        self._committed = options.faults_committed

    def draw(self, number: int) -> Draw:
        digest = seeded(self._seed, "luck", number)
        which, coin, late, jitter = (
            int.from_bytes(digest[start : start + 6], "big") / 2**48 for start in range(0, 24, 6)
        )
        fault = self._pick(which)
        after = fault in _ALWAYS_AFTER or (fault not in _ALWAYS_BEFORE and coin < self._committed)
        return Draw(fault, after, late < 0.5, jitter)  # noqa: PLR2004 - a fair coin

    def _pick(self, which: float) -> Fault | None:
        for fault, probability in self._chances:
            if which < probability:
                return fault
            which -= probability
        return None
