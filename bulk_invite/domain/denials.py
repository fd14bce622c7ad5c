"""Whether a denial is due to the row or to the sender. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from bulk_invite.domain.verdicts import Conflict, Created, Denied, EngagementFull, Refused, Verdict

_MANY_ENGAGEMENTS: Final = 5
_MANY_DENIALS: Final = 20
"""Engagements, and rows, that are not denied by chance. Sources are often sorted by engagement."""

_PROVEN_FACTOR: Final = 4
"""So many times as many denials may come to a sender that was allowed to send before."""


class PermissionGuard:
    """Tells a row that is not allowed from a sender that is not allowed.

    AccessDeniedException is said of both. So a denied row is held until the answer to a call that left after
    the denial proves that the sender may send: then the denial was the row's. When one engagement after the
    other is denied, or one of them many times, and nothing proves it, the sender is to blame and no row
    fails. A sender that has created invitations before gets more credit, but not for ever: a permission can
    be lost.

    proven_until: when the latest call left that proved it in this run, in seconds of the caller's clock.
    """

    def __init__(self, *, proven: bool) -> None:
        self.proven_until = -math.inf
        self._proven = proven
        self._denials = 0
        self._engagements: set[str] = set()

    @staticmethod
    def is_proof(verdict: Verdict) -> bool:
        """Whether it judges the row itself: the sender got past the permission when the call left."""
        return isinstance(verdict, Created | Refused | Conflict | EngagementFull)

    def judge(self, verdict: Verdict, engagement: str, left_at: float) -> Verdict:
        """The verdict, a denial with whose it is; anything else passes through, and may prove the sender."""
        if isinstance(verdict, Denied):
            return verdict if verdict.whole_account else self._blamed(verdict, engagement)
        if self.is_proof(verdict):
            self.proven_until = max(self.proven_until, left_at)
            self._proven = True
            self._denials = 0
            self._engagements.clear()
        return verdict

    def blames_sender(self, denied: int) -> bool:
        """Whether so many rows that are denied at the end of a run are too many to be to blame themselves."""
        return self.proven_until == -math.inf and denied >= _MANY_ENGAGEMENTS

    def _blamed(self, verdict: Denied, engagement: str) -> Denied:
        self._denials += 1
        self._engagements.add(engagement)
        factor = _PROVEN_FACTOR if self._proven else 1
        if len(self._engagements) >= _MANY_ENGAGEMENTS * factor or self._denials >= _MANY_DENIALS * factor:
            return replace(verdict, whole_account=True)
        return verdict
