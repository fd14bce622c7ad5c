"""Gauges of the current status of a run; NaN where a value is unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bulk_invite.monitoring.status import RunState, RunStatus

_ROW_STATES: Final = (
    "created",
    "already_created",
    "failed",
    "rejected",
    "duplicate",
    "in_doubt",
    "deferred",
    "pending",
)
_PARKS: Final = ("daily_quota", "unknown_quota", "account_full")
_PARTS: Final = ("source", "checkpoint", "endpoint")


class StatusCollector(Collector):
    """Reads `view` at every scrape."""

    def __init__(self, view: Callable[[], RunStatus]) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        status = self._view()
        yield _labelled("build_info", "Version of the program; always 1.", "version", {status.version: 1.0})
        yield from _rows(status)
        yield from _pacing(status)
        yield from _condition(status)


def _rows(status: RunStatus) -> Iterator[Metric]:
    yield _labelled(
        "rows",
        "Current rows by state: of this run for send, of the checkpoint for serve and a standby.",
        "state",
        {state: getattr(status, state) for state in _ROW_STATES},
    )
    yield _single("source_rows", "Rows of all sources of the run, read or not.", status.total)
    yield _single("time_left_seconds", "Estimated seconds until all rows are done.", status.left_s)
    yield _labelled(
        "source_lag_seconds",
        "Seconds since a followed source was last read to its end.",
        "source",
        status.source_lag,
    )


def _pacing(status: RunStatus) -> Iterator[Metric]:
    yield _single("calls_in_flight", "Calls in flight.", status.in_flight)
    yield _single("max_in_flight", "Maximum calls in flight.", status.max_in_flight)
    yield _single("rate_calls_per_second", "Calls per second allowed by the pacing.", status.rate)
    yield _single(
        "estimated_quota_calls_per_second",
        "Measured quota of the service in calls per second.",
        status.estimated_quota,
    )
    yield _single(
        "throttled_ratio",
        "Throttled share of the calls in the last minute.",
        status.throttled_share_minute,
    )
    yield _single(
        "day_calls", "Calls in the last 24 hours that count against the daily quota.", status.sent_last_day
    )
    yield _single("day_remaining_calls", "Calls left of the daily quota.", status.day_remaining)


def _condition(status: RunStatus) -> Iterator[Metric]:
    yield _labelled(
        "parked",
        "Whether the run is parked, by reason.",
        "why",
        {why: float(status.parked == why) for why in _PARKS},
    )
    yield _single("paused", "Whether an operator has paused the run.", status.state is RunState.PAUSED)
    yield _single("draining", "Whether the run is draining.", status.state is RunState.DRAINING)
    yield _single("ready", "Whether source, checkpoint and endpoint respond.", status.ready)
    yield _labelled(
        "part_ready",
        "Whether this part responds.",
        "part",
        {part: float(part not in status.reasons) for part in _PARTS},
    )


def _single(name: str, meaning: str, value: float | None) -> Metric:
    return GaugeMetricFamily(f"bulk_invite_{name}", meaning, value=math.nan if value is None else value)


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"bulk_invite_{name}", meaning, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
