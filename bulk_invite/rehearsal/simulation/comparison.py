"""Compares senders in a scenario, with the same server and the same seeds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bulk_invite.pacing.governor import Limits
from bulk_invite.rehearsal.emulator.quotas import allowance
from bulk_invite.rehearsal.simulation.our_senders import FixedSender, GovernedSender
from bulk_invite.rehearsal.simulation.scenario import Scenario, Target
from bulk_invite.rehearsal.simulation.sdk_models import AdaptiveSender, StandardSender
from bulk_invite.rehearsal.simulation.slow_disk import SlowDisk
from bulk_invite.rehearsal.simulation.virtual_run import Sender, Trial, max_granted, simulate

OURS: Final = "bulk-invite"
FIXED: Final = "fixed rate"
STANDARD: Final = "SDK standard"
ADAPTIVE: Final = "SDK adaptive"
STANDARD_WORKERS: Final = 10
ADAPTIVE_WORKERS: Final = 50
"""Concurrent calls of the SDK's modes, as in the comparison on which the targets are based."""

SENDERS: Final = (OURS, FIXED, STANDARD, ADAPTIVE)


_WINDOW: Final = 5.0
_REGAINED: Final = 0.9
"""Seconds in which that share of the quota must be granted for it to count as regained."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of one trial; see `Target`. Shares from 0 to 1; probes and over are counts.

    regained: seconds; the rest of the trial if it was too short, 0 if the quota never rises.
    """

    goodput: float
    throttled: float
    probes: int
    over: int
    regained: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a sender in a scenario, one per seed."""

    sender: str
    trials: tuple[Figures, ...]

    @property
    def mean(self) -> tuple[float, float]:
        """Mean goodput and throttled share over the seeds."""
        count = len(self.trials)
        return sum(t.goodput for t in self.trials) / count, sum(t.throttled for t in self.trials) / count

    @property
    def worst(self) -> Figures:
        """The worst value of each figure, not necessarily from one trial."""
        return Figures(
            min(t.goodput for t in self.trials),
            max(t.throttled for t in self.trials),
            max(t.probes for t in self.trials),
            max(t.over for t in self.trials),
            max(t.regained for t in self.trials),
        )

    def missed(self, target: Target) -> list[str]:
        """The missed figures of the target, each as a sentence."""
        worst = self.worst
        missed = []
        # Half a call in a million is rounding.
        if target.goodput is not None and worst.goodput < target.goodput - 5e-7:
            missed.append(f"goodput {worst.goodput:.2%} is less than {target.goodput:.2%}")
        if target.throttled is not None and worst.throttled > target.throttled:
            missed.append(f"throttled {worst.throttled:.2%} is more than {target.throttled:.2%}")
        if target.probes is not None and worst.probes > target.probes:
            missed.append(f"{worst.probes} probes per day are more than {target.probes}")
        if target.over is not None and worst.over > target.over:
            missed.append(f"{worst.over} calls over the daily quota are more than {target.over}")
        if target.regained is not None and worst.regained > target.regained:
            missed.append(
                f"a risen quota is regained after {worst.regained:.1f} s, not {target.regained:.1f} s"
            )
        return missed


def makers(scenario: Scenario, limits: Limits, seed: int) -> Mapping[str, Callable[[float], Sender]]:
    """Factories of the senders; each takes the start time."""
    return {
        OURS: lambda began: GovernedSender(limits, began, _disk(scenario, seed)),
        FIXED: lambda began: FixedSender(scenario.fixed_rate, began),
        STANDARD: lambda began: StandardSender(began, workers=STANDARD_WORKERS, seed=seed),
        ADAPTIVE: lambda began: AdaptiveSender(began, workers=ADAPTIVE_WORKERS, seed=seed),
    }


def _disk(scenario: Scenario, seed: int) -> SlowDisk | None:
    if scenario.commits is None:
        return None
    chance = random.Random(f"disk {seed}")  # noqa: S311 - the same seed, the same trial
    return SlowDisk(*scenario.commits, chance.random)


def run(scenario: Scenario, limits: Limits, sender: str, seed: int) -> Trial:
    """One trial of one sender in virtual time."""
    make = makers(scenario, limits, seed)[sender]
    return simulate(scenario.options, make, scenario.length, seed, scenario.full_engagements)


def figures_of(scenario: Scenario, trial: Trial) -> Figures:
    start, end = scenario.warm_up * trial.length, trial.length
    granted, throttled = trial.granted(start, end), trial.throttled(start, end)
    calls = granted + throttled
    return Figures(
        goodput=granted / _allowed(scenario, trial, start, end),
        throttled=throttled / calls if calls else 0.0,
        probes=_most_a_day(trial.sender.probes, scenario) if isinstance(trial.sender, GovernedSender) else 0,
        over=_over(scenario, trial),
        regained=_regained(scenario, trial),
    )


def _allowed(scenario: Scenario, trial: Trial, start: float, end: float) -> float:
    if scenario.options.daily_quota is not None:
        return max_granted(scenario.options, start, end)
    return allowance(scenario.options, start, end) - trial.granted_to_others(start, end)


def _regained(scenario: Scenario, trial: Trial) -> float:
    """Seconds after the last rise until the calls of a window use nine tenths of the new quota."""
    steps = [] if scenario.options.rate_trace is None else scenario.options.rate_trace.steps
    rises = [step for before, step in pairwise(steps) if step[1] > before[1] and step[0] < trial.length]
    if not rises:
        return 0.0
    rose_at, rate = rises[-1]
    granted = [call.time for call in trial.calls if not call.throttled and call.time >= rose_at]
    enough = math.ceil(_REGAINED * rate * _WINDOW)
    for first, last in zip(granted, granted[enough - 1 :], strict=False):
        if last < first + _WINDOW:
            return first - rose_at
    return trial.length - rose_at


def _over(scenario: Scenario, trial: Trial) -> int:
    """Calls made after the daily quota was used up."""
    quota, day = scenario.options.daily_quota, scenario.options.day
    if quota is None:
        return 0
    granted: list[float] = []
    over = 0
    for call in trial.calls:
        if not call.throttled:
            granted.append(call.time)
        elif len(granted) >= quota and granted[-quota] + day > call.time:
            over += 1
    return over


def _most_a_day(times: Sequence[float], scenario: Scenario) -> int:
    most = oldest = 0
    for newest, time in enumerate(times):
        while times[oldest] + scenario.options.day <= time:
            oldest += 1
        most = max(most, newest - oldest + 1)
    return most


def allowed_at(scenario: Scenario, time: float) -> float:
    """Calls per second allowed at `time`, in seconds since the start; NaN for no limit."""
    rate = allowance(scenario.options, time, time + 1.0)
    return rate if rate < math.inf else math.nan
