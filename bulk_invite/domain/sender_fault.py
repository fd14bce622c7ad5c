"""Faults on the sender's side that keep a call from leaving. They concern no row and cost no attempts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bulk_invite.domain.errors import BulkInviteError, SenderError, SettingError


class Recovery(Enum):
    """How a fault can be cleared: by itself, by an operator while the program runs, or only by a restart.

    A process keeps its environment until it restarts; files, logins and endpoints can change while it runs.
    """

    TRANSIENT = "transient"
    MANUAL = "manual"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Fault:
    """problem: a sentence that names the setting. remedy: what to do. Neither can contain a secret."""

    problem: str
    remedy: str
    recovery: Recovery = Recovery.MANUAL

    @property
    def is_transient(self) -> bool:
        """Whether a run that has started waits for it to pass."""
        return self.recovery is Recovery.TRANSIENT

    def error(self) -> BulkInviteError:
        """The error that ends a run; a service waits instead, unless only a restart can clear the fault."""
        hint = f"{self.remedy} No row was touched."
        if self.recovery is Recovery.RESTART:
            return SettingError(self.problem, hint=hint)
        return SenderError(self.problem, hint=hint)
