"""Decide whether an unfamiliar answer is due to the row or to the service. Pure.

Examples: a firewall's page, a 413, an empty 400, a future error code. The call may have created an
invitation, so the row is in doubt and is sent again with the same token and body, as after a 5xx. If every
call is answered this way, the endpoint or a proxy is at fault, and `CircuitBreaker` makes all rows wait. If
one row gets the same answer again while other rows get good ones, the row is the cause: this run stops
calling it, so that it does not delay others.
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
    """Tells a row that always gets an unfamiliar answer from a service that always gives one."""

    def __init__(self) -> None:
        self._good_answers = 0

    def judge(self, verdict: Verdict, before: UnfamiliarAnswer | None) -> UnfamiliarAnswer | None:
        """Return the last unfamiliar answer to the row and its cause, given the one before this verdict.

        A good answer clears it and counts as good; other familiar answers leave it unchanged.
        """
        if not isinstance(verdict, Unknown):
            is_good = PermissionGuard.is_proof(verdict)
            self._good_answers += is_good
            return None if is_good else before
        if before is None or before.code != verdict.code:
            return UnfamiliarAnswer(verdict.code, self._good_answers)
        return replace(before, is_due_to_row=self._good_answers > before.good_answers)
