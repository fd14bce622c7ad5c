"""How fast a run has been, in a bounded number of steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.monitoring.status import Past, Point

_MOST: Final = 480
"""Steps that are kept: a chart has no more columns. When there are more, each takes twice as long."""

_FIRST_STEP: Final = 1.0
"""Seconds."""

_LEAST: Final = 0.1
"""Seconds that a step counts for at least."""


@dataclass(slots=True)
class _Step:
    """Sums of looks, and of the seconds before each; estimate: the last one."""

    at: float
    now: float
    seconds: float
    looks: int
    rate: float
    estimate: float | None
    calls: int
    throttled: int

    def join(self, later: _Step) -> None:
        self.seconds += later.seconds
        self.looks += later.looks
        self.rate += later.rate
        self.estimate = later.estimate
        self.calls += later.calls
        self.throttled += later.throttled


class Calls(Observer):
    """An observer of the flow that counts the calls of a process, and those that were throttled."""

    def __init__(self) -> None:
        self.sent_calls = self.throttled = 0

    def sent(self, to_send: ToSend, at: float) -> None:  # noqa: ARG002 - as the observer is told
        self.sent_calls += 1

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:  # noqa: ARG002 - likewise
        self.throttled += seconds is not None and answered.outcome is Outcome.THROTTLED


class History:
    """Rates in calls per second."""

    def __init__(self) -> None:
        self._step = _FIRST_STEP
        self._steps: list[_Step] = []
        self._last = (0, 0)
        self._last_now: float | None = None

    def add(
        self, at: float, now: float, rate: float, estimate: float | None, calls: int, throttled: int
    ) -> None:
        """Look once more. at: epoch seconds, as it is told; now: seconds on a clock that nobody sets.

        calls, throttled: since the process began.
        """
        before, self._last = self._last, (calls, throttled)
        seconds, self._last_now = _FIRST_STEP if self._last_now is None else now - self._last_now, now
        look = _Step(at, now, seconds, 1, rate, estimate, calls - before[0], throttled - before[1])
        if self._steps and now < self._steps[-1].now + self._step:
            self._steps[-1].join(look)
            return
        self._steps.append(look)
        if len(self._steps) > _MOST:
            self._halve()

    def _halve(self) -> None:
        halved = []
        for first, second in zip(self._steps[::2], self._steps[1::2], strict=False):
            first.join(second)
            halved.append(first)
        self._steps = halved + self._steps[2 * len(halved) :]
        self._step *= 2

    def past(self) -> Past:
        """All of it but the last step, which goes on."""
        return Past(self._step, [self._point(step) for step in self._steps[:-1]])

    def _point(self, step: _Step) -> Point:
        return Point(
            utc_text(step.at),
            round(step.rate / step.looks, 3),
            None if step.estimate is None else round(step.estimate, 3),
            # A loop that was held up has looked late.
            round(step.calls / max(step.seconds, _LEAST), 3),
            round(step.throttled / max(step.seconds, _LEAST), 3),
        )
