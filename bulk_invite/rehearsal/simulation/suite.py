"""Runs many scenarios: in virtual time on all processors, or over HTTP one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from bulk_invite.pacing.governor import Limits
from bulk_invite.rehearsal.simulation.comparison import (
    ADAPTIVE,
    ADAPTIVE_WORKERS,
    OURS,
    STANDARD,
    STANDARD_WORKERS,
    Figures,
    Outcome,
    figures_of,
    run,
)
from bulk_invite.rehearsal.simulation.live import send_by_sdk, send_live
from bulk_invite.rehearsal.simulation.scenario import Scenario
from bulk_invite.rehearsal.simulation.virtual_run import Trial

LIVE_SENDERS = (OURS, STANDARD, ADAPTIVE)

Result = tuple[Scenario, list[Outcome]]


def simulate_all(
    cases: Sequence[tuple[Scenario, Limits]], senders: Sequence[str], seeds: int
) -> Iterator[Result]:
    """The outcomes of each sender in each scenario, with `seeds` seeds. `Limits`: of our own sender."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        running = [
            [[pool.submit(_figures, *case, sender, seed) for seed in range(seeds)] for sender in senders]
            for case in cases
        ]
        for (scenario, _), by_sender in zip(cases, running, strict=True):
            outcomes = [
                Outcome(sender, tuple(future.result() for future in futures))
                for sender, futures in zip(senders, by_sender, strict=True)
            ]
            yield scenario, outcomes


def run_all_live(scenarios: Sequence[Scenario], senders: Sequence[str]) -> Iterator[Result]:
    """The same over HTTP, once each; the senders of a scenario run concurrently. Raises ProgramError."""
    with ThreadPoolExecutor(len(senders)) as pool:
        for scenario in scenarios:
            futures = [pool.submit(_live, scenario, sender) for sender in senders]
            yield (
                scenario,
                [
                    Outcome(sender, (figures_of(scenario, future.result()),))
                    for sender, future in zip(senders, futures, strict=True)
                ],
            )


def _figures(scenario: Scenario, limits: Limits, sender: str, seed: int) -> Figures:
    return figures_of(scenario, run(scenario, limits, sender, seed))


def _live(scenario: Scenario, sender: str) -> Trial:
    if sender == STANDARD:
        return send_by_sdk(scenario, scenario.length, "standard", STANDARD_WORKERS)
    if sender == ADAPTIVE:
        return send_by_sdk(scenario, scenario.length, "adaptive", ADAPTIVE_WORKERS)
    return send_live(scenario, scenario.length)
