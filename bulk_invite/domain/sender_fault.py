"""What is wrong on the sender's side before a byte leaves: it speaks of no row, and costs none anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bulk_invite.domain.errors import BulkInviteError, SenderError, SettingError


class Heal(Enum):
    """How a fault may be over: by itself in a moment, by somebody's hand, or by a new start only.

    A process keeps the environment that it was started with; files, logins and endpoints change beside it.
    """

    BY_ITSELF = "by_itself"
    BY_HAND = "by_hand"
    BY_A_NEW_START = "by_a_new_start"


@dataclass(frozen=True, slots=True)
class Fault:
    """what: one sentence that names the setting. mend: what to do. Neither repeats what may be secret."""

    what: str
    mend: str
    heal: Heal = Heal.BY_HAND

    @property
    def passes(self) -> bool:
        """Whether a run that has got on its way waits for it."""
        return self.heal is Heal.BY_ITSELF

    def error(self) -> BulkInviteError:
        """The end of a run by it; a service waits where a new start is not the only mend."""
        hint = f"{self.mend} No row was touched."
        if self.heal is Heal.BY_A_NEW_START:
            return SettingError(self.what, hint=hint)
        return SenderError(self.what, hint=hint)
