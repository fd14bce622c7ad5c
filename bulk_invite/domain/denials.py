"""Decide whether a denial concerns the row or the sender. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from bulk_invite.domain.verdicts import Conflict, Created, Denied, EngagementFull, Refused, Verdict

_MANY_ENGAGEMENTS: Final = 5
_MANY_DENIALS: Final = 20
"""Denied engagements, and denials, that blame the sender. Sources are often sorted by engagement."""

_PROVEN_FACTOR: Final = 4
"""Factor on both limits for a sender that has been allowed to send before."""

_PROOF: Final = (Created, Refused, Conflict, EngagementFull)
"""Verdicts on the row itself."""


class PermissionGuard:
    """Tells denied rows from a denied sender.

    AccessDeniedException covers both. So a denied row is held until the answer to a call that left after the
    denial proves that the sender may send; then the denial concerned the row. If many engagements are
    denied, or one of them many times, without such a proof, the sender is to blame and no row fails. A sender
    that has created invitations before is allowed more denials, but not without limit: it may lose its
    permission.

    proven_until: when the latest call that proved it in this run left, in seconds of the caller's clock.
    """

    def __init__(self, *, proven: bool) -> None:
        self.proven_until = -math.inf
        self._proven = proven
        self._denials = 0
        self._engagements: set[str] = set()

    @staticmethod
    def is_proof(verdict: Verdict) -> bool:
        """Whether the verdict concerns the row itself, so the sender had permission when the call left."""
        return isinstance(verdict, _PROOF)

    def judge(self, verdict: Verdict, engagement: str, left_at: float) -> Verdict:
        """Return the verdict; for a denial, decide who is denied. Others may prove the permission to send."""
        if isinstance(verdict, Denied):
            return verdict if verdict.whole_account else self._blamed(verdict, engagement)
        if self.is_proof(verdict):
            self.proven_until = max(self.proven_until, left_at)
            self._proven = True
            self._denials = 0
            self._engagements.clear()
        return verdict

    def blames_sender(self, denied: int) -> bool:
        """Whether `denied` rows at the end of a run are too many to be their own fault."""
        return self.proven_until == -math.inf and denied >= _MANY_ENGAGEMENTS

    def _blamed(self, verdict: Denied, engagement: str) -> Denied:
        self._denials += 1
        self._engagements.add(engagement)
        factor = _PROVEN_FACTOR if self._proven else 1
        if len(self._engagements) >= _MANY_ENGAGEMENTS * factor or self._denials >= _MANY_DENIALS * factor:
            return replace(verdict, whole_account=True)
        return verdict
