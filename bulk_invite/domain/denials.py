"""Whose denial it is: the row's or the sender's. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bulk_invite.domain.transitions import Disposition, Next
from bulk_invite.domain.verdicts import Conflict, Created, Denied, EngagementFull, Refused, Verdict


class PermissionGuard:
    """Tells a row that is not allowed from a sender that is not allowed.

    AccessDeniedException is said of both. So a denied row is held until the answer to a call that left after
    the denial proves that the sender may send: then the denial was the row's. When one engagement after the
    other is denied, or one of them many times, and nothing proves it, the sender is to blame and no row is
    burnt. A sender that has created invitations before gets more credit, but not for ever: a permission can
    be lost.
    """

    FEW: Final = 5
    _MANY: Final = 20
    """Engagements, and rows, that are not denied by chance. Sources are often sorted by engagement."""

    _CREDIT: Final = 4
    """So many times as much is put up with from a sender that was allowed to send."""

    def __init__(self, *, proven: bool) -> None:
        self._proven = proven
        self._proven_now = False
        self._denials = 0
        self._engagements: set[str] = set()

    @property
    def proven_now(self) -> bool:
        """Whether this run has shown it."""
        return self._proven_now

    @staticmethod
    def is_proof(verdict: Verdict) -> bool:
        """Whether it judges the row itself: the sender got past the permission when the call left."""
        return isinstance(verdict, Created | Refused | Conflict | EngagementFull)

    def judge(self, verdict: Verdict, disposition: Disposition, engagement: str) -> Disposition:
        """Say whose denial it is; anything but a denial passes through, and may prove the sender."""
        if not isinstance(verdict, Denied):
            if self.is_proof(verdict):
                self._proven = self._proven_now = True
                self._denials = 0
                self._engagements.clear()
            return disposition
        if verdict.whole_account:
            return replace(disposition, next=Next.STOP_RUN, counted=False)
        self._denials += 1
        self._engagements.add(engagement)
        credit = self._CREDIT if self._proven else 1
        if len(self._engagements) >= self.FEW * credit or self._denials >= self._MANY * credit:
            return replace(disposition, next=Next.STOP_RUN, counted=False)
        return disposition
