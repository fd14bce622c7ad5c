"""Spans as a collector gets them, and a collector that is not there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from collector import TAKEN, Collector, TraceSpan, Value
from command import free_port, http, wait_until
from fakes import FULL, REFUSED, RESET, THROTTLED, invitation
from observed import BEGAN, CREATED, ObservedRow
from structlog.testing import capture_logs

from bulk_invite.domain.admissions import Duplicate, ToSend
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.domain.transitions import Transition
from bulk_invite.monitoring.tracing.setup import open_tracing
from bulk_invite.monitoring.tracing.spans import Tracing

TROUBLES = {"traces.warning", "traces.recovered", "traces.dropped"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")


@contextmanager
def tracing(url: str, **env: str) -> Iterator[Tracing]:
    """A sender to `url` that is closed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        for name, value in env.items():
            patch.setenv(name, value)
        opened = open_tracing("0.1.0")
    yield opened
    opened.close()


def test_a_row_is_a_span_with_an_event_for_every_attempt() -> None:
    with Collector() as collector:
        with tracing(collector.url) as traces:
            ObservedRow(traces, "a", line=17, source="rows.ndjson").attempts(THROTTLED, CREATED, seconds=0.25)
            traces.took_in(Duplicate(invitation("a")))
            traces.committed(0.001, 2)
        (span,) = collector.spans
        assert collector.resource["service.name"] == "bulk-invite"
        assert collector.resource["service.version"] == "0.1.0"
    assert (span.name, span.began, span.ended, span.error) == (
        "bulk_invite.invitation",
        BEGAN,
        BEGAN + 0.5,
        None,
    )
    assert span.attributes == {
        "bulk_invite.source": "rows.ndjson",
        "bulk_invite.line": 17,
        "bulk_invite.client_token": "a",
        "bulk_invite.engagement": "eng-17",
        "bulk_invite.state": "created",
        "bulk_invite.attempts": 2,
    }
    assert span.events == [
        (
            "attempt",
            BEGAN + 0.25,
            {
                "bulk_invite.outcome": "throttled",
                "bulk_invite.code": "ThrottlingException",
                "bulk_invite.seconds": 0.25,
            },
        ),
        (
            "attempt",
            BEGAN + 0.5,
            {
                "bulk_invite.outcome": "created",
                "aws.request_id": "request-1",
                "bulk_invite.seconds": 0.25,
            },
        ),
    ]


def test_rows_that_fail_or_stay_in_doubt_are_errors_and_each_row_is_a_trace() -> None:
    with Collector() as collector:
        with tracing(collector.url) as traces:
            ObservedRow(traces, "a").attempts(REFUSED)
            ObservedRow(traces, "b").attempts(RESET, RESET).ends()
            ObservedRow(traces, "c").attempts(FULL).ends()
            ObservedRow(traces, "d").attempts(THROTTLED).found(Transition.deferred()).ends()
        spans = {span.attributes["bulk_invite.client_token"]: span for span in collector.spans}
    exported = {
        token: (span.attributes["bulk_invite.state"], span.attributes["bulk_invite.code"], span.error)
        for token, span in spans.items()
    }
    assert exported == {
        "a": ("failed", "ValidationException", "ValidationException"),
        "b": ("in_doubt", "ClientOSError", "ClientOSError"),
        "c": ("deferred", "ServiceQuotaExceededException", None),
        "d": ("deferred", "ServiceQuotaExceededException", None),
    }
    assert [name for name, _, _ in spans["d"].events] == ["attempt", "settled"]
    assert "bulk_invite.seconds" not in spans["d"].events[1][2]
    assert len({span.trace for span in spans.values()}) == 4


def test_an_unsent_row_has_no_span_and_a_row_sent_again_has_two() -> None:
    with Collector() as collector:
        with tracing(collector.url) as traces:
            ObservedRow(traces, "a").found(Transition.deferred()).ends()
            ObservedRow(traces, "b").attempts(FULL).ends().attempts(CREATED)
        states = [span.attributes["bulk_invite.state"] for span in collector.spans]
    assert states == ["deferred", "created"]


def test_spans_open_at_the_end_are_marked() -> None:
    with Collector() as collector:
        with tracing(collector.url) as traces:
            ObservedRow(traces, "a").attempts(THROTTLED)
            ObservedRow(traces, "b").sends()
        spans = collector.spans
    assert [span.attributes["bulk_invite.left_open"] for span in spans] == [True, True]
    assert [len(span.events) for span in spans] == [1, 0]
    assert all("bulk_invite.state" not in span.attributes for span in spans)


def test_a_database_row_is_located_by_its_key_and_its_data_is_not_exported() -> None:
    position = Position("postgresql://crm@db.example.com/crm", key="4711")
    secret = b'{"Message": "Marked message", "AwsAccountId": "918273000001"}'
    row = Row(position, secret)
    marked = Invitation(row, "token-1", secret, "hash-of-it", "eng-1", "LeadInvitation")
    with Collector() as collector:
        with tracing(collector.url) as traces:
            observed = ObservedRow(traces, "a")
            observed.to_send = ToSend(marked)
            observed.attempts(THROTTLED, REFUSED)
        (span,) = collector.spans
        sent = b"".join(collector.batches)
    assert span.attributes["bulk_invite.key"] == "4711"
    assert "bulk_invite.line" not in span.attributes
    assert b"token-1" in sent
    for word in (b"Marked message", b"918273000001", b"hash-of-it", b"$.A", b"LeadInvitation"):
        assert word not in sent


def test_a_clock_set_back_makes_no_span_end_before_it_begins() -> None:
    with Collector() as collector:
        with tracing(collector.url) as traces:
            ObservedRow(traces, "a").attempts(CREATED, seconds=-3600.0)
        (span,) = collector.spans
    assert span.began == span.ended == span.events[0][1] == BEGAN


def _fate(span: TraceSpan) -> Value:
    return span.attributes.get(
        "bulk_invite.state", "left open" if span.attributes.get("bulk_invite.left_open") else ""
    )


def test_open_spans_are_limited_and_the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        traces = Tracing("0.1.0", most_open=2)
        a, b, c = (ObservedRow(traces, token).sends() for token in "abc")
        a.attempts(CREATED)
        b.attempts(CREATED)
        c.attempts(CREATED)
        traces.close()
        exported = [(span.attributes["bulk_invite.client_token"], _fate(span)) for span in collector.spans]
    # Each came back as another span, which took the place of the oldest.
    assert exported == [
        ("a", "left open"),
        ("b", "left open"),
        ("a", "created"),
        ("b", "created"),
        ("c", "created"),
    ]


def test_all_open_spans_are_exported_at_the_end_through_a_small_queue() -> None:
    with Collector() as collector:
        with tracing(
            collector.url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="256", OTEL_BSP_MAX_QUEUE_SIZE="256"
        ) as traces:
            for number in range(600):
                ObservedRow(traces, f"t{number}").sends()
        assert len({span.trace for span in collector.spans}) == 600


def _logged(act: Callable[[], None]) -> list[tuple[str, str]]:
    """Level and name of the events about traces."""
    with capture_logs() as logged:
        act()
    return [(each["log_level"], each["event"]) for each in logged if each["event"] in TROUBLES]


def test_a_collector_that_is_down_is_logged_once() -> None:
    def act() -> None:
        # With so little time nothing is tried again.
        with tracing(f"http://127.0.0.1:{free_port()}", OTEL_EXPORTER_OTLP_TIMEOUT="0.3") as traces:
            for number in range(40):
                ObservedRow(traces, f"t{number}").attempts(CREATED)

    first, *more = _logged(act)
    assert first == ("warning", "traces.warning")
    assert len(more) >= 4
    assert set(more) == {("debug", "traces.warning")}


def test_a_collector_that_recovers_is_logged_and_so_is_its_next_failure() -> None:
    refused, taken = http(400, b"no"), TAKEN
    answers = [refused, refused, taken, taken, refused]

    def act() -> None:
        left = iter(answers)
        with Collector(lambda: next(left)) as collector, tracing(collector.url) as traces:
            for batch in range(1, len(answers) + 1):
                for number in range(8):
                    ObservedRow(traces, f"t{number}").attempts(CREATED)
                wait_until(lambda: len(collector.batches) == batch)  # noqa: B023 - it is called at once

    assert _logged(act) == [
        ("warning", "traces.warning"),
        ("debug", "traces.warning"),
        ("info", "traces.recovered"),
        ("warning", "traces.warning"),
    ]


def test_a_hanging_collector_does_not_delay_the_run() -> None:
    hangs = threading.Event()

    def answer() -> bytes:
        hangs.wait(60)
        return TAKEN

    logged: list[tuple[str, str]] = []
    with Collector(answer) as collector, tracing(collector.url, OTEL_BSP_MAX_QUEUE_SIZE="16") as traces:
        for number in range(500):
            ObservedRow(traces, f"t{number}").attempts(CREATED)
        wait_until(lambda: collector.batches)
        logged = _logged(lambda: traces.close(patience=0.1))
        # No batch has been answered, and what had no room was dropped.
        assert len(collector.batches) == 1
        hangs.set()
    assert ("warning", "traces.dropped") in logged


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "sent only by OTLP over HTTP"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set it to http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "set it to http/protobuf"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "max_queue_size must be a positive integer"),
    ],
)
def test_unsupported_variables_are_refused(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=sentence):
        open_tracing("0.1.0")


def test_the_environment_names_the_service_and_can_sample_spans() -> None:
    with Collector() as collector:
        with tracing(
            collector.url, OTEL_SERVICE_NAME="invitations", OTEL_RESOURCE_ATTRIBUTES="team=crm"
        ) as traces:
            ObservedRow(traces, "a").attempts(CREATED)
        assert (collector.resource["service.name"], collector.resource["team"]) == ("invitations", "crm")
        for switch in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}):
            with tracing(collector.url, **switch) as traces:
                ObservedRow(traces, "b").attempts(THROTTLED, CREATED)
                ObservedRow(traces, "c").sends()
        assert len(collector.spans) == 1


@pytest.mark.parametrize(
    "missing", ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"]
)
def test_without_opentelemetry_the_error_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("spans", "otlp_exporter"):
        monkeypatch.delitem(sys.modules, f"bulk_invite.monitoring.tracing.{module}")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install '\.\[tracing\]'"):
        open_tracing("0.1.0")


def test_our_own_import_error_is_not_taken_for_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bulk_invite.monitoring.tracing.spans")
    monkeypatch.setitem(sys.modules, "bulk_invite.monitoring.tracing.otlp_exporter", None)
    with pytest.raises(ImportError, match=r"bulk_invite\.monitoring\.tracing\.otlp_exporter"):
        open_tracing("0.1.0")
