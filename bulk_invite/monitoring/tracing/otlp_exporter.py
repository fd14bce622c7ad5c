"""Spans on their way to the collector, on the SDK's thread: a trouble is told once, and so is its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from bulk_invite.domain.urls import origins_only

_log = structlog.get_logger()

_LIBRARY: Final = "opentelemetry"


class Delivery(SpanExporter):
    """OTLP over HTTP, whose complaints become events of this program's log."""

    def __init__(self) -> None:
        self._in_trouble = False
        logger = logging.getLogger(_LIBRARY)
        logger.handlers, logger.propagate = [_Complaints(self._complain)], False
        self._exporter = OTLPSpanExporter()
        self._is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS and self._in_trouble:
            self._in_trouble = False
            _log.info("traces.recovered")
        return result

    def shutdown(self) -> None:
        """Break off what is being tried again. May be called twice, from two threads."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # it has no annotations

    def _complain(self, reason: str) -> None:
        # A collector that is down would fill the log: every batch complains several times.
        say = _log.debug if self._in_trouble else _log.warning
        self._in_trouble = True
        say("traces.warning", reason=reason)


class _Complaints(logging.Handler):
    """Warnings of the library, without tracebacks."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry.util"):
            # It repeats what it cannot read: headers with a token in them.
            self._tell("an OTEL_* variable is malformed")
            return
        error = record.exc_info[1] if record.exc_info else None
        kind = f" {type(error).__name__}" if error is not None else ""
        self._tell(f"{origins_only(record.getMessage())}{kind}")
