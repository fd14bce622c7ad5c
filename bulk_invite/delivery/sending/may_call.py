"""Whether a row may be called: checked when the call is decided, and again right before it leaves."""

from __future__ import annotations

from functools import partial
from typing import Final

from bulk_invite.delivery.sending.account_room import AccountRoom
from bulk_invite.delivery.sending.permits import Patience
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.findings import LATE

PROOF_LIFETIME: Final = 2.0
"""Seconds for which a proof of holding the checkpoint is valid, by a clock that counts system sleep.

A sender that takes over within this time sends the same tokens. If they are too old for that, it must first
look the rows up, which takes the settling time.
"""


class MayCall:
    """Objections to a call: a drain, possibly another sender, a full engagement, an old intent or token."""

    def __init__(self, committer: Committer, room: AccountRoom, patience: Patience, stop: StopSwitch) -> None:
        self._committer = committer
        self._room = room
        self._repeatable_for = patience.repeatable_for
        self._stop = stop

    def is_too_old(self, row: TrackedRow) -> bool:
        """Whether the service may have forgotten the row's token when the call arrives, and invite twice."""
        return row.age() > self._repeatable_for

    def clearance(self, row: TrackedRow) -> Clearance:
        """Clearance for the call of a row whose intent is committed."""
        renew = partial(self._committer.prove, PROOF_LIFETIME / 2)
        return Clearance(renew, partial(self._objection, row))

    def _objection(self, row: TrackedRow) -> str:
        if self._stop.draining:
            return "Draining"
        if self._committer.proof_age() > PROOF_LIFETIME:
            return "CheckpointNotProven"
        if row.intent_age() > LATE:  # after a crash, its timestamp would be too early
            return "IntentTooOld"
        if self._room.is_full(row):
            return "EngagementFull"
        return "TokenTooOld" if self.is_too_old(row) else ""
