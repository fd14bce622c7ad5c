"""Traces, where the extra for them is installed. This module can be imported without it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from bulk_invite.domain.errors import UsageError

if TYPE_CHECKING:
    from bulk_invite.monitoring.tracing.spans import Tracing

_ONE_OF: Final = {
    "OTEL_TRACES_EXPORTER": {"otlp"},
    "OTEL_EXPORTER_OTLP_PROTOCOL": {"http/protobuf"},
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": {"http/protobuf"},
}
"""What of the standard variables can be had here; all others are the SDK's."""


def open_tracing(version: str) -> Tracing:
    """Begin to send spans to a collector, as the OTEL_* variables of the environment say.

    Raises UsageError where they cannot be followed, and where OpenTelemetry is not installed.
    """
    for name, possible in _ONE_OF.items():
        if (given := os.environ.get(name)) and given not in possible:
            raise UsageError(
                f"{name} is {given!r}; traces are only sent by OTLP over HTTP.",
                hint=f"Take it out of the environment, or set it to {' or '.join(sorted(possible))}.",
            )
    try:
        from bulk_invite.monitoring.tracing.spans import Tracing  # noqa: PLC0415 - an extra: only who traces needs it
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise UsageError(
            "Traces need OpenTelemetry.", hint="Install it: pip install 'bulk-invite[tracing]'."
        ) from None
    try:
        return Tracing(version)
    except ValueError as error:
        raise UsageError(
            f"The OTEL_* variables ask for something impossible: {error}",
            hint="Mend or remove them.",
        ) from None
