"""Where credentials come from and how long they are valid; never what they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.credentials import RefreshableCredentials


@dataclass(frozen=True, slots=True)
class Provenance:
    """source: the SDK's name of the provider, such as `env` or `assume-role`.

    expires: epoch seconds; None if they are permanent or the time is unknown. renews: the SDK renews them
    from the same provider before that.
    """

    source: str
    temporary: bool
    renews: bool
    expires: float | None


def provenance_of(credentials: Any) -> Provenance:
    """For credentials whose keys have been resolved."""
    renews = isinstance(credentials, RefreshableCredentials)
    # The SDK keeps the time in a private member.
    expires = getattr(credentials, "_expiry_time", None)
    return Provenance(
        source=str(credentials.method),
        temporary=renews or bool(credentials.token),
        renews=renews,
        expires=expires.timestamp() if isinstance(expires, datetime) else None,
    )
