"""The metrics for Prometheus: rows, calls and current figures, in a bounded number of series."""

from __future__ import annotations

import math
import re

import anyio
import pytest
from fakes import CONFLICT, DOWN, EXPIRED, FULL, REFUSED, RESET, THROTTLED, invitation, row
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import CREATED, ObservedRow, moment
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from virtual_time import VIRTUAL_TIME, running_loop

from bulk_invite.domain.admissions import AlreadySettled, Duplicate
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import Rejection, RowError
from bulk_invite.domain.transitions import Transition
from bulk_invite.domain.verdicts import HttpAnswer, State
from bulk_invite.monitoring.metrics.label_limit import MOST, OTHER, BoundedCodes
from bulk_invite.monitoring.metrics.loop_delay import watch_loop
from bulk_invite.monitoring.metrics.prometheus import Metrics
from bulk_invite.monitoring.status import RunState

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(metrics: Metrics) -> Series:
    text = metrics.exposition()[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[f"bulk_invite_{name}", frozenset(labels.items())]


def above_zero(series: Series, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Values of a counter by its labels, but for those that never counted."""
    return {
        tuple(dict(each)[label] for label in labels): count
        for (found, each), count in series.items()
        if found == f"bulk_invite_{name}" and count
    }


def counting() -> Metrics:
    return Metrics(moment)


def test_rows_and_calls_are_counted_by_outcome() -> None:
    metrics = counting()
    ObservedRow(metrics, "a").attempts(THROTTLED, CREATED)
    ObservedRow(metrics, "b").attempts(RESET, CREATED)
    ObservedRow(metrics, "c").attempts(REFUSED)
    ObservedRow(metrics, "d").attempts(CONFLICT)
    ObservedRow(metrics, "e").attempts(DOWN, RESET).ends()
    ObservedRow(metrics, "f").attempts(FULL).ends()
    ObservedRow(metrics, "g").found(Transition.deferred()).ends()
    ObservedRow(metrics, "h").attempts(EXPIRED)
    series = read(metrics)
    assert above_zero(series, "rows_ended_total", "state") == {
        ("created",): 2,
        ("failed",): 2,
        ("deferred",): 2,
        ("in_doubt",): 1,
    }
    assert above_zero(series, "row_errors_total", "state", "code") == {
        ("failed", "ValidationException"): 1,
        ("failed", "ConflictException"): 1,
        ("deferred", "ServiceQuotaExceededException"): 2,
        ("in_doubt", "ClientOSError"): 1,
    }
    assert above_zero(series, "calls_total", "outcome", "code") == {
        ("created", ""): 2,
        ("throttled", "ThrottlingException"): 1,
        ("doubtful", "ClientOSError"): 2,
        ("unreachable", "ClientConnectorError"): 1,
        ("refused", "ValidationException"): 1,
        ("conflict", "ConflictException"): 1,
        ("engagement_full", "ServiceQuotaExceededException"): 1,
        ("sender_refused", "ExpiredTokenException"): 1,
    }


def test_a_row_without_a_code_is_counted_without_one() -> None:
    metrics = counting()
    ObservedRow(metrics, "a").found(Transition(State.IN_DOUBT, Outcome.TOO_EARLY))
    assert above_zero(read(metrics), "row_errors_total", "state", "code") == {("in_doubt", ""): 1}


def test_a_row_that_is_never_sent_is_counted_as_it_is_read() -> None:
    metrics = counting()
    errors = RowError("$.A", "missing", "no A"), RowError("$.B", "too_long", "a long B")
    metrics.took_in(Rejection(row(1, "bad"), errors))
    metrics.took_in(Duplicate(invitation("a")))
    metrics.took_in(AlreadySettled(invitation("b"), State.FAILED, "", "", "ValidationException", ()))
    series = read(metrics)
    assert above_zero(series, "rows_ended_total", "state") == {("rejected",): 1, ("duplicate",): 1}
    assert above_zero(series, "row_errors_total", "state", "code") == {("rejected", "missing"): 1}


def test_every_state_and_the_first_call_have_series_from_the_start() -> None:
    series = read(counting())
    for state in set(State) - {State.PENDING}:
        assert value(series, "rows_ended_total", state=state) == 0
    assert value(series, "calls_total", outcome="created", code="") == 0
    assert not [name for name, _ in series if name.endswith("_created")]


def test_durations_of_different_lengths_are_distinguished() -> None:
    metrics = counting()
    ObservedRow(metrics, "a").attempts(CREATED, seconds=0.18)
    ObservedRow(metrics, "b").attempts(CREATED, seconds=29.0)
    ObservedRow(metrics, "c").attempts(THROTTLED, seconds=0.03)
    metrics.committed(0.004, 7)
    metrics.loop_was_late(0.4)
    series = read(metrics)

    def buckets(name: str, **labels: str) -> list[float]:
        """Upper bounds of the buckets that something fell into."""
        found = [
            (float(dict(each)["le"]), count)
            for (metric, each), count in series.items()
            if metric == f"bulk_invite_{name}_bucket" and labels.items() <= dict(each).items()
        ]
        before = [0.0] + [count for _, count in sorted(found)]
        return [bound for (bound, count), less in zip(sorted(found), before, strict=False) if count > less]

    assert buckets("call_duration_seconds", outcome="created") == [0.2, 30.0]
    assert buckets("call_duration_seconds", outcome="throttled") == [0.05]
    assert buckets("commit_duration_seconds") == [0.005]
    assert buckets("loop_delay_seconds") == [0.5]
    assert value(series, "call_duration_seconds_sum", outcome="created") == pytest.approx(29.18)


ROWS = {
    "created": 1,
    "already_created": 2,
    "failed": 3,
    "rejected": 4,
    "duplicate": 5,
    "in_doubt": 6,
    "deferred": 7,
    "pending": 8,
}

FULLY_KNOWN = {
    **ROWS,
    "state": RunState.DRAINING,
    "ready": False,
    "reasons": {"endpoint": "calls do not arrive"},
    "in_flight": 9,
    "max_in_flight": 12,
    "rate": 10.5,
    "estimated_quota": 11.5,
    "throttled_share_minute": 0.125,
    "sent_last_day": 13,
    "day_remaining": 14,
    "parked": "unknown_quota",
    "left_s": 15.5,
    "total": 18,
    "source_lag": {'odd "name"\\.ndjson': 16.5, "other.ndjson": 17.5},
}


def test_the_gauges_show_the_current_status() -> None:
    series = read(Metrics(lambda: moment(**FULLY_KNOWN)))

    def labelled(name: str, label: str) -> dict[str, float]:
        return {
            dict(labels)[label]: found
            for (metric, labels), found in series.items()
            if metric == f"bulk_invite_{name}"
        }

    assert labelled("rows", "state") == ROWS
    assert labelled("parked", "why") == {"daily_quota": 0, "unknown_quota": 1, "account_full": 0}
    assert labelled("part_ready", "part") == {"source": 1, "checkpoint": 1, "endpoint": 0}
    assert labelled("source_lag_seconds", "source") == FULLY_KNOWN["source_lag"]
    assert labelled("build_info", "version") == {"0.1.0": 1}
    assert {
        name.removeprefix("bulk_invite_"): found
        for (name, labels), found in series.items()
        if not labels and name.startswith("bulk_invite_") and not name.endswith(("_sum", "_count"))
    } == {
        "calls_in_flight": 9,
        "rate_calls_per_second": 10.5,
        "estimated_quota_calls_per_second": 11.5,
        "throttled_ratio": 0.125,
        "max_in_flight": 12,
        "day_calls": 13,
        "day_remaining_calls": 14,
        "time_left_seconds": 15.5,
        "source_rows": 18,
        "paused": 0,
        "draining": 1,
        "ready": 0,
    }


def test_an_unknown_value_has_no_sample() -> None:
    series = read(counting())
    unknown = {name for (name, _), found in series.items() if math.isnan(found)}
    assert unknown == {
        "bulk_invite_estimated_quota_calls_per_second",
        "bulk_invite_throttled_ratio",
        "bulk_invite_day_remaining_calls",
        "bulk_invite_time_left_seconds",
        "bulk_invite_source_rows",
    }


def test_every_exposition_reads_the_status_anew() -> None:
    moments = iter([moment(), moment(state=RunState.PAUSED, parked="account_full")])
    metrics = Metrics(lambda: next(moments))
    before, after = read(metrics), read(metrics)
    assert value(before, "paused") == 0
    assert value(after, "paused") == 1
    assert value(after, "parked", why="account_full") == 1


def test_openmetrics_is_served_on_request() -> None:
    metrics = Metrics(lambda: moment(**FULLY_KNOWN))
    ObservedRow(metrics, "a").attempts(CREATED)
    body, content_type = metrics.exposition("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    families = {
        family.name: family
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call] # it has no annotations
    }
    assert families["bulk_invite_calls"].type == "counter"
    assert metrics.exposition("text/plain")[1].startswith("text/plain; version=0.0.4")


CODES = st.text(max_size=3) | st.sampled_from(["ThrottlingException", "429", "Client.Error", "", "x" * 65])


@settings(max_examples=40)
@given(st.lists(CODES, max_size=30), st.integers(0, 2 * MOST))
def test_labels_are_bounded_and_no_count_is_lost(codes: list[str], good: int) -> None:
    bounded = BoundedCodes()
    labels = [bounded.label(code) for code in [*codes, *(f"Code{number}" for number in range(good))]]
    assert len(set(labels) - {"", OTHER}) <= MOST
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", label) for label in labels)
    for code, label in zip(codes, labels, strict=False):
        assert label in {code, OTHER}
        assert (label == "") == (code == "")


def test_a_known_code_keeps_its_label_at_the_limit() -> None:
    bounded = BoundedCodes()
    first = [bounded.label(f"Code{number}") for number in range(MOST)]
    assert first == [f"Code{number}" for number in range(MOST)]
    assert [bounded.label(code) for code in ("Code0", "One.More", "Code63")] == ["Code0", OTHER, "Code63"]


def test_a_service_that_answers_nonsense_makes_one_series() -> None:
    metrics = counting()
    for number in range(200):
        answer = HttpAnswer(500, code=f'no\n"code" {number}')
        ObservedRow(metrics, f"t{number}", line=number + 1).attempts(answer).ends()
    series = read(metrics)
    assert above_zero(series, "calls_total", "outcome", "code") == {("doubtful", OTHER): 200}
    assert above_zero(series, "row_errors_total", "state", "code") == {("in_doubt", OTHER): 200}


def test_no_data_of_a_row_is_exposed() -> None:
    metrics = counting()
    ObservedRow(metrics, "token-x", line=1).attempts(REFUSED)
    ObservedRow(metrics, "token-x", line=1).attempts(CREATED)
    text = metrics.exposition()[0].decode()
    assert not [word for word in ("token-x", "111122223333", "eng-1", "engi-1", "Message") if word in text]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [VIRTUAL_TIME])
async def test_the_delay_of_the_event_loop_is_measured() -> None:
    delays: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(watch_loop, delays.append)
        await anyio.sleep(1.1)
        # As if a task had blocked the loop for that long.
        running_loop()._pass_time(2.0)
        await anyio.sleep(0.3)
        group.cancel_scope.cancel()
    assert delays == pytest.approx([0, 0, 0, 0, 1.85, 0], abs=0.001)
