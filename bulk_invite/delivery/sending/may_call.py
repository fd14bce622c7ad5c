"""Whether a row may be called: asked when the call is decided on, and again right before it leaves."""

from __future__ import annotations

from functools import partial
from typing import Final

from bulk_invite.delivery.sending.full_engagements import Engagements
from bulk_invite.delivery.sending.permits import Patience
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.findings import LATE

PROOF_HOLDS: Final = 2.0
"""Seconds for which a proof that the checkpoint is ours is relied on, on a clock that counts sleep.

Whoever takes over within them sends the same tokens; where it may not, for they are too old, it has to look
rows up first, and that takes the settling time.
"""


class Grounds:
    """What speaks against a call: the run drains, another sender may be at work, the row's time is over."""

    def __init__(
        self, committer: Committer, engagements: Engagements, patience: Patience, stop: StopSwitch
    ) -> None:
        self._committer = committer
        self._engagements = engagements
        self._patience = patience
        self._stop = stop

    def is_set_aside(self, life: Life) -> bool:
        """Whether the row's engagement is full; a row in doubt is sent all the same."""
        return life.doubt_since is None and self._engagements.is_full(life.engagement)

    def is_too_old(self, life: Life) -> bool:
        """Whether the row's token may be forgotten by the time a call arrives: it might invite twice."""
        return life.age() > self._patience.repeatable_for

    def clearance(self, life: Life) -> Clearance:
        """For the call of a row whose intent is committed."""
        renew = partial(self._committer.prove, PROOF_HOLDS / 2)
        return Clearance(renew, partial(self._objection, life))

    def _objection(self, life: Life) -> str:
        if self._stop.draining:
            return "Draining"
        if self._committer.proof_age() > PROOF_HOLDS:
            return "CheckpointNotProven"
        if life.intent_age() > LATE:  # a crash would leave it dated too early
            return "IntentTooOld"
        if self.is_set_aside(life):
            return "EngagementFull"
        return "TokenTooOld" if self.is_too_old(life) else ""
