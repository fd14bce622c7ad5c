"""Whether a long-lived run can do its work: it is ready while source, checkpoint and endpoint answer.

A run that is parked because a quota is used up is ready: all three answer, there is only nothing to do.
Whether it is alive is not decided here: that shows in somebody being there to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import ClassVar

import structlog

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HealthView:
    """One moment, `at` in epoch seconds. reasons: why a part does not answer, by the part's name."""

    NOT_ASKED: ClassVar[str] = "not asked yet"

    ready: bool
    reasons: Mapping[str, str]
    at: float

    @property
    def told(self) -> Mapping[str, str]:
        """Reasons of parts that were asked."""
        return {part: reason for part, reason in self.reasons.items() if reason != self.NOT_ASKED}


class Part:
    """One thing that a run depends on; whoever deals with it says how it is, from any thread."""

    def __init__(self, tell: Callable[[str | None], None]) -> None:
        self._tell = tell

    def answers(self) -> None:
        self._tell(None)

    def fails(self, reason: str) -> None:
        """reason: a code, or a sentence of ours: it is shown to whoever asks.

        Never a password, an address with one, or a value of a row. A reason that is another one every time
        (a number of seconds in it) is logged every time.
        """
        self._tell(reason)


class Health:
    """The parts together. clock: epoch seconds. logs: whether the log has every change.

    A part that nobody has heard of yet does not answer.
    """

    def __init__(self, clock: Callable[[], float], *, logs: bool = True) -> None:
        self._clock = clock
        self._logs = logs
        self._states: Mapping[str, str | None] = dict.fromkeys(
            ("source", "checkpoint", "endpoint"), HealthView.NOT_ASKED
        )
        # Sources are read on a thread. Who looks at the states needs no lock: they are replaced as a whole.
        self._changing = Lock()
        self.source = Part(partial(self._hear, "source"))
        self.checkpoint = Part(partial(self._hear, "checkpoint"))
        self.endpoint = Part(partial(self._hear, "endpoint"))

    def view(self) -> HealthView:
        reasons = {name: reason for name, reason in self._states.items() if reason is not None}
        return HealthView(not reasons, reasons, self._clock())

    def _hear(self, part: str, reason: str | None) -> None:
        with self._changing:
            if self._states[part] != reason:
                self._states = {**self._states, part: reason}
                if self._logs:
                    self._log_change(self.view())

    def _log_change(self, view: HealthView) -> None:
        if view.ready:
            _log.info("health.ready")
        elif view.told:
            # While a run begins, one part answers after the other: nothing to warn of.
            _log.warning("health.not_ready", reasons=view.reasons)
