"""Which fault, if any, a call meets: drawn from the seed and the number of the call. Pure.

Faults stand at one of two places: *before* the service has looked at the call, so that nothing is committed,
or *after* it has committed the invitation, when only the answer suffers. A fault after the commit befalls
only calls that succeed: a refused call gets its refusal. Where the caller cannot know which it was, a coin
decides (`faults_committed`).
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
class Luck:
    """What a call meets. `after`: the fault comes after the commit. `jitter`: its share of it, 0 to 1.

    `gives_up`: a slow call that waits to be looked at is dropped if its caller has hung up by then; otherwise
    it is carried out late, with nobody there to hear it.
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

    def luck(self, number: int) -> Luck:
        digest = seeded(self._seed, "luck", number)
        which, coin, late, jitter = (
            int.from_bytes(digest[start : start + 6], "big") / 2**48 for start in range(0, 24, 6)
        )
        fault = self._pick(which)
        after = fault in _ALWAYS_AFTER or (fault not in _ALWAYS_BEFORE and coin < self._committed)
        return Luck(fault, after, late < 0.5, jitter)  # noqa: PLR2004 - a fair coin

    def _pick(self, which: float) -> Fault | None:
        for fault, probability in self._chances:
            if which < probability:
                return fault
            which -= probability
        return None
