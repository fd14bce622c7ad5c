"""Prometheus metrics of a run: counters and histograms of events, and gauges of the current status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from bulk_invite.domain.admissions import Admission, Duplicate, SameReceiver, ToSend
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.rows import Rejection
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.metrics.gauges import StatusCollector
from bulk_invite.monitoring.metrics.label_limit import BoundedCodes
from bulk_invite.monitoring.status import RunStatus

_CALLS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds. A call takes 0.1 to 0.5, where buckets are narrow. The emulator responds in 20 ms; 30 s exceed any
sensible timeout."""

_COMMITS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. An SSD takes 1 to 5 ms, a remote database 10 to 50 ms; from 5 s on, the run is not ready."""

_DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. Up to 5 ms is normal work of the loop; from 0.1 s on, calls are later than the pacing allows."""

_ENDS: Final = (
    State.CREATED,
    State.FAILED,
    State.REJECTED,
    State.DUPLICATE,
    State.DEFERRED,
    State.IN_DOUBT,
)


class Metrics(Observer):
    """An observer of the flow. view: the current status, read at every scrape."""

    def __init__(self, view: Callable[[], RunStatus]) -> None:
        # They would double the number of series without adding information.
        disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations
        self._registry = CollectorRegistry()
        self._rows_ended = Counter(
            "bulk_invite_rows_ended_total",
            "Rows that ended in this process, by state; a retried row counts again.",
            ["state"],
            registry=self._registry,
        )
        self._row_errors = Counter(
            "bulk_invite_row_errors_total",
            "Rows that ended failed, rejected, deferred or in doubt, by the code of their first error.",
            ["state", "code"],
            registry=self._registry,
        )
        self._calls = Counter(
            "bulk_invite_calls_total",
            "Finished calls, by outcome and code.",
            ["outcome", "code"],
            registry=self._registry,
        )
        self._call_durations = Histogram(
            "bulk_invite_call_duration_seconds",
            "Duration of calls in seconds.",
            ["outcome"],
            registry=self._registry,
            buckets=_CALLS,
        )
        self._commit_durations = Histogram(
            "bulk_invite_commit_duration_seconds",
            "Duration of group commits in seconds.",
            registry=self._registry,
            buckets=_COMMITS,
        )
        self._loop_delays = Histogram(
            "bulk_invite_loop_delay_seconds",
            "Delay of a 0.25 s timer in seconds.",
            registry=self._registry,
            buckets=_DELAYS,
        )
        self._error_codes = BoundedCodes()
        self._call_codes = BoundedCodes()
        # Start at 0 instead of missing, so that the first increase is visible.
        for state in _ENDS:
            self._rows_ended.labels(state)
        self._calls.labels("created", "")
        self._registry.register(StatusCollector(view))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def took_in(self, admission: Admission) -> None:
        match admission:
            case Rejection(errors=errors):
                self._count(State.REJECTED, next((error.code for error in errors), ""))
            case Duplicate() | SameReceiver():
                self._count(State.DUPLICATE, None)
            case _:
                pass

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:  # noqa: ARG002 - the observer's signature
        if seconds is None:
            return
        self._calls.labels(answered.outcome, self._call_codes.label(answered.code)).inc()
        self._call_durations.labels(answered.outcome).observe(seconds)

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:  # noqa: ARG002 - likewise
        self._count(answered.state, None if answered.state is State.CREATED else answered.code)

    def committed(self, seconds: float, events: int) -> None:  # noqa: ARG002 - likewise
        self._commit_durations.observe(seconds)

    def loop_was_late(self, seconds: float) -> None:
        """Record the delay of a timer, for `watch_loop`."""
        self._loop_delays.observe(seconds)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as text, and their content type. accept: the header, which may ask for OpenMetrics."""
        if "application/openmetrics-text" in accept:
            text = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call] # likewise
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _count(self, state: State, code: str | None) -> None:
        self._rows_ended.labels(state).inc()
        if code is not None:
            self._row_errors.labels(state, self._error_codes.label(code)).inc()
