"""How long is waited before something is tried again that was away."""

from __future__ import annotations

from typing import Final

from bulk_invite.domain.backoff import Backoff

UNREACHABLE: Final = Backoff(base=0.5, cap=30.0)
"""An endpoint, a database, whatever ends a session of a service: found again within half a minute."""
