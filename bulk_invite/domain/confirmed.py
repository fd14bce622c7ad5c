"""What the operator has confirmed before sending to the live catalog."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.domain.errors import NotConfirmedError
from bulk_invite.domain.records import Owner


@dataclass(frozen=True, slots=True)
class Confirmed:
    """owner: of the credentials, None if any may send. invitations: how many, None for no limit."""

    owner: Owner | None = None
    invitations: int | None = None


def require_confirmed(confirmed: Owner | None, owner: Owner) -> None:
    """Raise NotConfirmedError where the credentials are not of the owner that was confirmed."""
    if confirmed is not None and confirmed.is_known and not confirmed.is_same_as(owner):
        raise NotConfirmedError(
            f"Sending was confirmed for {confirmed}; the credentials are now of {owner}.",
            hint="Use the credentials that were confirmed, or run the same command again: it asks anew.",
            topic="operations",
        )
