"""A collector of traces on loopback: OTLP over HTTP, as protobuf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from command import ScriptedServer, always, http
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TAKEN = http(200, b"", content_type="application/x-protobuf")

Value = str | int | float | bool


@dataclass(frozen=True)
class TraceSpan:
    """Times in epoch seconds. events: name, time and attributes. error: message of an error status."""

    name: str
    trace: bytes
    began: float
    ended: float
    attributes: dict[str, Value]
    events: list[tuple[str, float, dict[str, Value]]]
    error: str | None


class Collector:
    """answer: its answer to a batch; called in a thread for each."""

    def __init__(self, answer: Callable[[], bytes] = lambda: TAKEN) -> None:
        self._server = ScriptedServer(always(b""), others=answer)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(*error)

    @property
    def batches(self) -> list[bytes]:
        """All requests that it received, accepted or not."""
        return [request.body for request in self._server.others]

    @property
    def spans(self) -> list[TraceSpan]:
        return [
            _span(span)
            for batch in self.batches
            for resource in ExportTraceServiceRequest.FromString(batch).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Value]:
        """Whose spans they are."""
        (resource,) = ExportTraceServiceRequest.FromString(self.batches[0]).resource_spans
        return _values(resource.resource.attributes)


def _span(span: Span) -> TraceSpan:
    return TraceSpan(
        span.name,
        span.trace_id,
        _seconds(span.start_time_unix_nano),
        _seconds(span.end_time_unix_nano),
        _values(span.attributes),
        [(event.name, _seconds(event.time_unix_nano), _values(event.attributes)) for event in span.events],
        span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
    )


def _seconds(nanoseconds: int) -> float:
    return nanoseconds // 1000 / 1e6


def _values(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    assert kind is not None
    found = getattr(value, kind)
    assert isinstance(found, str | int | float | bool)
    return found
