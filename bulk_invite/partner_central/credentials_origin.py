"""Where credentials come from and how long they last; never what they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.credentials import RefreshableCredentials


@dataclass(frozen=True, slots=True)
class Provenance:
    """source: the SDK's word for the kind of place, such as `env` or `assume-role`.

    expires: epoch seconds; None where they last for good, and where nobody here knows. renews: the SDK gets
    new ones from the same place before that.
    """

    source: str
    temporary: bool
    renews: bool
    expires: float | None


def provenance_of(credentials: Any) -> Provenance:
    """Of credentials of the SDK that have been asked for their keys before."""
    renews = isinstance(credentials, RefreshableCredentials)
    # The SDK keeps the time to itself.
    expires = getattr(credentials, "_expiry_time", None)
    return Provenance(
        source=str(credentials.method),
        temporary=renews or bool(credentials.token),
        renews=renews,
        expires=expires.timestamp() if isinstance(expires, datetime) else None,
    )
