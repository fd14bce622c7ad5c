"""Exports spans to the collector, on the SDK's thread; logs when delivery starts to fail and recovers."""

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


class Exporter(SpanExporter):
    """OTLP over HTTP; warnings of the library become log events."""

    def __init__(self) -> None:
        self._is_failing = False
        logger = logging.getLogger(_LIBRARY)
        logger.handlers, logger.propagate = [_Warnings(self._warn)], False
        self._exporter = OTLPSpanExporter()
        self._is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS and self._is_failing:
            self._is_failing = False
            _log.info("traces.recovered")
        return result

    def shutdown(self) -> None:
        """Abort retries. May be called twice, from two threads."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # it has no annotations

    def _warn(self, reason: str) -> None:
        # A collector that is down would flood the log: each batch causes several warnings.
        log = _log.debug if self._is_failing else _log.warning
        self._is_failing = True
        log("traces.warning", reason=reason)


class _Warnings(logging.Handler):
    """Passes on warnings of the library, without tracebacks."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry.util"):
            # These messages quote malformed values, such as headers with a token.
            self._report("an OTEL_* variable is malformed")
            return
        error = record.exc_info[1] if record.exc_info else None
        kind = f" {type(error).__name__}" if error is not None else ""
        self._report(f"{origins_only(record.getMessage())}{kind}")
