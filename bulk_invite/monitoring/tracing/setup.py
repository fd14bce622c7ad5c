"""Sets up tracing. This module can be imported without the `tracing` extra."""

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
"""Standard variables with restricted values; the SDK handles all others."""


def open_tracing(version: str) -> Tracing:
    """Start sending spans to a collector, as configured by the OTEL_* environment variables.

    Raises UsageError for unsupported variables, and where OpenTelemetry is not installed.
    """
    for name, possible in _ONE_OF.items():
        if (given := os.environ.get(name)) and given not in possible:
            raise UsageError(
                f"{name} is {given!r}, but traces are sent only by OTLP over HTTP.",
                hint=f"Unset it, or set it to {' or '.join(sorted(possible))}.",
                topic="monitoring",
            )
    try:
        from bulk_invite.monitoring.tracing.spans import Tracing  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise UsageError(
            "Traces need OpenTelemetry.",
            hint="Install it from the checkout: pip install '.[tracing]'.",
            topic="monitoring",
        ) from None
    try:
        return Tracing(version)
    except ValueError as error:
        raise UsageError(
            f"Invalid OTEL_* variables: {error}",
            hint="Correct or unset them.",
            topic="monitoring",
        ) from None
