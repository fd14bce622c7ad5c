"""Whose an answer is that nobody knows: the row's or the service's. Pure.

A page of a firewall, a 413, an empty 400, a code of tomorrow: whether anybody was invited by the call is
not known, so the row is in doubt, and the same token with the same body is the way out, as after a 5xx. When
all calls are answered so, the endpoint or a proxy before it is to blame, and `Outage` lets everybody wait.
When the same answer comes again for the same row while other rows are answered well, it is that row's: this
run calls it no more, so that it holds nobody up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.transitions import Disposition, Next
from bulk_invite.domain.verdicts import Unknown, Verdict


@dataclass(frozen=True, slots=True)
class Strange:
    """The unfamiliar answer that a row had last. well: how many rows had been answered well before it."""

    code: str
    well: int


class UnfamiliarGuard:
    """Tells a row that is always answered by something unfamiliar from a service that always answers so."""

    def __init__(self) -> None:
        self._well = 0

    def judge(
        self, verdict: Verdict, disposition: Disposition, before: Strange | None
    ) -> tuple[Disposition, Strange | None]:
        """Say whose answer it is; anything familiar passes through, and counts where it judges its row.

        before: the unfamiliar answer that the row had last, as this said it.
        """
        if not isinstance(verdict, Unknown):
            is_well = PermissionGuard.is_proof(verdict)
            self._well += is_well
            return disposition, None if is_well else before
        if before is None or before.code != verdict.code:
            return disposition, Strange(verdict.code, self._well)
        if self._well > before.well:
            return replace(disposition, next=Next.LOOK_UP), before
        return disposition, before
