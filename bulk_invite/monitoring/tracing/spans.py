"""One span per row, from its first attempt to its outcome, without the content of the row.

The event loop only puts finished spans into a bounded queue. The SDK's thread exports them, and drops spans
that do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Final

import structlog
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode

from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.tracing.otlp_exporter import Exporter

_log = structlog.get_logger()

_NAME: Final = "bulk_invite.invitation"

_MOST_OPEN: Final = 4096
"""Maximum open spans, some 4 KB each. Deferred rows stay open for hours; beyond, the oldest is ended."""

_ROOM: Final = 256
"""Spans that fit into the queue of the SDK, unless it was configured very small."""

_PATIENCE: Final = 5.0
"""Seconds for exporting the last spans before the process exits."""

_ERRORS: Final = frozenset({State.FAILED, State.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class _Open:
    """began: epoch nanoseconds. Times before it, from a clock that was set back, are raised to it."""

    span: Span
    began: int

    def add(self, name: str, attributes: Mapping[str, str | float], at: float) -> None:
        self.span.add_event(name, attributes, timestamp=self._time(at))

    def end(self, attributes: Mapping[str, str | int | bool], at: float | None) -> None:
        self.span.set_attributes(attributes)
        self.span.end(None if at is None else self._time(at))

    def _time(self, at: float) -> int:
        return max(self.began, _nanoseconds(at))


class Tracing(Observer):
    """An observer of the flow. version: of the program. most_open: maximum open spans.

    The OTEL_* environment variables set endpoint, headers, sampling, limits and service name. Raises
    ValueError where one of them is invalid.
    """

    def __init__(self, version: str, *, most_open: int = _MOST_OPEN) -> None:
        self._exporter = Exporter()
        # The SDK's shutdown at exit waits for half a minute; `close` replaces it.
        self._provider = TracerProvider(resource=_resource(version), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("bulk_invite", version)
        self._open: dict[str, _Open] = {}
        self._most_open = most_open

    def sent(self, to_send: ToSend, at: float) -> None:
        invitation = to_send.invitation
        if invitation.client_token in self._open:
            return
        if len(self._open) >= self._most_open:
            self._leave_open(next(iter(self._open)))
        began = _nanoseconds(at)
        span = self._tracer.start_span(_NAME, attributes=_identity(invitation), start_time=began)
        self._open[invitation.client_token] = _Open(span, began)

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:
        opened = self._open.get(to_send.invitation.client_token)
        if opened is None:
            return
        known = {
            "bulk_invite.outcome": answered.outcome.value,
            "bulk_invite.code": answered.code,
            "aws.request_id": answered.request_id,
        }
        attributes: dict[str, str | float] = {name: value for name, value in known.items() if value}
        if seconds is not None:
            attributes["bulk_invite.seconds"] = seconds
        opened.add("settled" if seconds is None else "attempt", attributes, answered.at)

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:
        opened = self._open.pop(to_send.invitation.client_token, None)
        if opened is None:
            return
        attributes: dict[str, str | int | bool] = {
            "bulk_invite.state": str(answered.state),
            "bulk_invite.attempts": attempts,
        }
        if answered.code:
            attributes["bulk_invite.code"] = answered.code
        if answered.state in _ERRORS:
            opened.span.set_status(Status(StatusCode.ERROR, answered.code or str(answered.state)))
        opened.end(attributes, answered.at)

    def close(self, patience: float = _PATIENCE) -> None:
        """End open spans, marked as left open, and export everything; blocks for at most `patience` seconds.

        No other method may be called afterwards.
        """
        # The SDK would wait for half a minute; a daemon thread does not delay the exit.
        flushing = Thread(target=self._flush, name="flush-traces", daemon=True)
        flushing.start()
        flushing.join(patience)
        if flushing.is_alive():
            _log.warning("traces.dropped", reason="the collector did not accept the last spans in time")
            self._exporter.shutdown()

    def _flush(self) -> None:
        for number, client_token in enumerate(tuple(self._open), start=1):
            self._leave_open(client_token)
            if number % _ROOM == 0:
                self._provider.force_flush()  # the queue cannot hold all of them
        self._provider.shutdown()

    def _leave_open(self, client_token: str) -> None:
        self._open.pop(client_token).end({"bulk_invite.left_open": True}, None)


def _identity(invitation: Invitation) -> dict[str, str | int]:
    position = invitation.position
    where: dict[str, str | int] = (
        {"bulk_invite.line": position.line} if position.line else {"bulk_invite.key": position.key}
    )
    return {
        "bulk_invite.source": position.source,
        **where,
        "bulk_invite.client_token": invitation.client_token,
        "bulk_invite.engagement": invitation.engagement,
    }


def _resource(version: str) -> Resource:
    named = OTELResourceDetector().detect().attributes
    return Resource.create(
        {SERVICE_NAME: named.get(SERVICE_NAME, "bulk-invite"), SERVICE_VERSION: version},
    )


def _nanoseconds(at: float) -> int:
    return round(at * 1e6) * 1000  # a float holds no finer time of today
