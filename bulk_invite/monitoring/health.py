"""Readiness of a long-lived run: it is ready while source, checkpoint and endpoint respond.

A run that is parked for a quota is ready: all three respond. Liveness is not decided here: a process that
answers, or renews its health file, is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock

import structlog

from bulk_invite.monitoring.health_view import HealthView

_log = structlog.get_logger()


class Part:
    """Something that a run depends on. The code that uses it reports its state, from any thread."""

    def __init__(self, report: Callable[[str | None], None]) -> None:
        self._report = report

    def answers(self) -> None:
        self._report(None)

    def fails(self, reason: str) -> None:
        """reason: a code or a sentence of ours; it is shown to every client.

        It must not contain a password, a URL with one, or a value of a row. A reason that changes every time
        (such as a number of seconds) is logged every time.
        """
        self._report(reason)


class Health:
    """All parts. clock: epoch seconds. logs: whether to log changes.

    A part counts as not responding until its first report.
    """

    def __init__(self, clock: Callable[[], float], *, logs: bool = True) -> None:
        self._clock = clock
        self._logs = logs
        self._states: Mapping[str, str | None] = dict.fromkeys(
            ("source", "checkpoint", "endpoint"), HealthView.NOT_ASKED
        )
        # Sources report from a thread. Readers need no lock: the mapping is replaced as a whole.
        self._changing = Lock()
        self.source = Part(partial(self._update, "source"))
        self.checkpoint = Part(partial(self._update, "checkpoint"))
        self.endpoint = Part(partial(self._update, "endpoint"))

    def view(self) -> HealthView:
        reasons = {name: reason for name, reason in self._states.items() if reason is not None}
        return HealthView(not reasons, reasons, self._clock())

    def _update(self, part: str, reason: str | None) -> None:
        with self._changing:
            if self._states[part] != reason:
                self._states = {**self._states, part: reason}
                if self._logs:
                    self._log_change(self.view())

    def _log_change(self, view: HealthView) -> None:
        if view.ready:
            _log.info("health.ready")
        elif view.known:
            # At the start, the parts respond one after another; that is no warning.
            _log.warning("health.not_ready", reasons=view.reasons)
