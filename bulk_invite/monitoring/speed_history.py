"""The speed of a run over time, in a bounded number of steps. Pure."""

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
"""Maximum number of steps, enough for a chart. When exceeded, steps are merged in pairs."""

_FIRST_STEP: Final = 1.0
"""Initial length of a step, in seconds."""

_MIN_SECONDS: Final = 0.1
"""Minimum duration of a step in a division, in seconds."""


@dataclass(slots=True)
class _Step:
    """Sums over the samples of a step; estimate: of the latest sample."""

    at: float
    now: float
    seconds: float
    samples: int
    rate: float
    estimate: float | None
    calls: int
    throttled: int

    def join(self, later: _Step) -> None:
        self.seconds += later.seconds
        self.samples += later.samples
        self.rate += later.rate
        self.estimate = later.estimate
        self.calls += later.calls
        self.throttled += later.throttled


class Calls(Observer):
    """An observer of the flow that counts the calls of a process and the throttled ones."""

    def __init__(self) -> None:
        self.sent_calls = self.throttled = 0

    def sent(self, to_send: ToSend, at: float) -> None:  # noqa: ARG002 - the observer's signature
        self.sent_calls += 1

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:  # noqa: ARG002 - likewise
        self.throttled += seconds is not None and answered.outcome is Outcome.THROTTLED


class History:
    """Samples merged into steps. Rates are calls per second."""

    def __init__(self) -> None:
        self._step = _FIRST_STEP
        self._steps: list[_Step] = []
        self._last = (0, 0)
        self._last_now: float | None = None

    def add(
        self, at: float, now: float, rate: float, estimate: float | None, calls: int, throttled: int
    ) -> None:
        """Add a sample. at: epoch seconds, to be shown; now: seconds on a monotonic clock.

        calls, throttled: totals since the process started.
        """
        before, self._last = self._last, (calls, throttled)
        seconds, self._last_now = _FIRST_STEP if self._last_now is None else now - self._last_now, now
        sample = _Step(at, now, seconds, 1, rate, estimate, calls - before[0], throttled - before[1])
        if self._steps and now < self._steps[-1].now + self._step:
            self._steps[-1].join(sample)
            return
        self._steps.append(sample)
        if len(self._steps) > _MOST:
            self._merge_pairs()

    def _merge_pairs(self) -> None:
        merged = []
        for first, second in zip(self._steps[::2], self._steps[1::2], strict=False):
            first.join(second)
            merged.append(first)
        self._steps = merged + self._steps[2 * len(merged) :]
        self._step *= 2

    def past(self) -> Past:
        """All steps except the last one, which is incomplete."""
        return Past(self._step, [self._point(step) for step in self._steps[:-1]])

    def _point(self, step: _Step) -> Point:
        return Point(
            utc_text(step.at),
            round(step.rate / step.samples, 3),
            None if step.estimate is None else round(step.estimate, 3),
            # A blocked event loop takes its samples late.
            round(step.calls / max(step.seconds, _MIN_SECONDS), 3),
            round(step.throttled / max(step.seconds, _MIN_SECONDS), 3),
        )
