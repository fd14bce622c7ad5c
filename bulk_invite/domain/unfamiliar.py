"""Whether an unfamiliar answer is due to the row or to the service. Pure.

A page of a firewall, a 413, an empty 400, a code of tomorrow: whether the call has created an invitation is
not known, so the row is in doubt, and the same token with the same body is the way out, as after a 5xx. When
all calls are answered so, the endpoint or a proxy before it is to blame, and `CircuitBreaker` makes all wait.
When the same answer comes again for the same row while other rows are answered well, it is that row's: this
run calls it no more, so that it holds up no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.verdicts import Unknown, Verdict


@dataclass(frozen=True, slots=True)
class UnfamiliarAnswer:
    """The last unfamiliar answer to a row.

    good_answers: number of good answers to other rows before it. is_due_to_row: the same answer came again
    after further good answers.
    """

    code: str
    good_answers: int
    is_due_to_row: bool = False


class UnfamiliarGuard:
    """Tells a row that is always answered by something unfamiliar from a service that always answers so."""

    def __init__(self) -> None:
        self._good_answers = 0

    def judge(self, verdict: Verdict, before: UnfamiliarAnswer | None) -> UnfamiliarAnswer | None:
        """The unfamiliar answer that a row had last, with whose it is; `before` is what it was so far.

        Anything familiar passes through, and counts where it judges its row.
        """
        if not isinstance(verdict, Unknown):
            is_good = PermissionGuard.is_proof(verdict)
            self._good_answers += is_good
            return None if is_good else before
        if before is None or before.code != verdict.code:
            return UnfamiliarAnswer(verdict.code, self._good_answers)
        return replace(before, is_due_to_row=self._good_answers > before.good_answers)
