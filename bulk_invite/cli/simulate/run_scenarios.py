"""Runs, prints and draws the scenarios of `simulate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.validation_texts import explained
from bulk_invite.pacing.governor import Limits
from bulk_invite.rehearsal.simulation import comparison
from bulk_invite.rehearsal.simulation.comparison import Outcome
from bulk_invite.rehearsal.simulation.plot import Panel, check, draw
from bulk_invite.rehearsal.simulation.scenario import Scenario, load, names
from bulk_invite.rehearsal.simulation.suite import LIVE_SENDERS, Result, run_all_live, simulate_all
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.pacing import limits_of

_DRAWN: Final = (comparison.OURS, comparison.ADAPTIVE)

_NO_DAY: Final = {"daily_quota": "none"}
"""Scenarios have no daily quota unless they set one."""


def chosen(wanted: Sequence[str]) -> list[Scenario]:
    """The named scenarios, or all shipped ones. Raises UsageError."""
    return [replace(scenario, sender=_NO_DAY | scenario.sender) for scenario in map(load, wanted or names())]


def limits(scenario: Scenario) -> Limits:
    """The limits of the scenario's sender. Raises UsageError."""
    try:
        return limits_of(Settings.model_validate(scenario.sender))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{first['loc'][0]}: {explained(first)}"
        raise UsageError(
            f"Invalid sender in scenario {scenario.name}: {problem}.", topic="rehearsal"
        ) from None


def run(scenarios: Sequence[Scenario], seeds: int, *, only_ours: bool) -> list[Result]:
    """Every sender with every seed, in virtual time."""
    cases = [(scenario, limits(scenario)) for scenario in scenarios]
    senders = comparison.SENDERS[:1] if only_ours else comparison.SENDERS
    return list(simulate_all(cases, senders, seeds))


def run_live(scenarios: Sequence[Scenario], *, only_ours: bool) -> list[Result]:
    """Run over HTTP those that set a `live` length. Raises UsageError where none does."""
    timed = [replace(each, length=each.live) for each in scenarios if each.live is not None]
    if not timed:
        raise UsageError("None of these scenarios can run over HTTP.", hint="Choose one that sets live.")
    return list(run_all_live(timed, LIVE_SENDERS[:1] if only_ours else LIVE_SENDERS))


def draw_one(scenarios: Sequence[Scenario], path: Path) -> None:
    """Draw this program and the SDK's adaptive mode on one scenario. Raises UsageError for more than one."""
    if len(scenarios) != 1:
        raise UsageError("--plot draws exactly one scenario.", hint="Name one scenario.")
    check(path)
    [scenario] = scenarios
    ours, allowed = limits(scenario), partial(comparison.allowed_at, scenario)
    panels = [Panel(name, comparison.run(scenario, ours, name, seed=0), allowed) for name in _DRAWN]
    draw(path, scenario.title, panels)


def show(results: Sequence[Result], output_format: Literal["table", "markdown", "json"]) -> None:
    """Print figures on standard output: goodput / throttled, in percent."""
    match output_format:
        case "json":
            objects = orjson.dumps(list(map(_as_object, results)), option=orjson.OPT_INDENT_2)
            sys.stdout.write(f"{objects.decode()}\n")
        case "markdown":
            for cells in _rows(results):
                sys.stdout.write(f"| {' | '.join(cells)} |\n")
        case "table":
            head, _, *rows = _rows(results)
            table = Table(box=None, pad_edge=False)
            for name in head:
                table.add_column(name, justify="left" if name == head[0] else "right")
            for cells in rows:
                table.add_row(*cells)
            console = Console(highlight=False, markup=False)
            console.print(table)
            console.print("Granted calls, percent of those allowed / throttled calls, percent of all.")


def report_missed(results: Sequence[Result]) -> bool:
    """Print the missed targets of this program to standard error; whether there are any."""
    missed = False
    for scenario, (ours, *_) in results:
        for sentence in ours.missed(scenario.target):
            missed = True
            sys.stderr.write(f"{scenario.name}: {sentence}\n")
    return missed


def _rows(results: Sequence[Result]) -> list[list[str]]:
    names = [outcome.sender for outcome in results[0][1]]
    head = ["server", "target", *names]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [
        head,
        rule,
        *([scenario.title, _target(scenario), *map(_cell, outcomes)] for scenario, outcomes in results),
    ]


def _target(scenario: Scenario) -> str:
    target = scenario.target
    goodput = "" if target.goodput is None else f"{target.goodput * 100:.3g}"
    return f"{goodput} / {'' if target.throttled is None else f'{target.throttled * 100:.3g}'}"


def _cell(outcome: Outcome) -> str:
    goodput, throttled = outcome.mean
    return f"{goodput * 100:.1f} / {throttled * 100:.1f}"


def _as_object(result: Result) -> dict[str, Any]:
    scenario, outcomes = result
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "length_s": scenario.length,
        "target": scenario.target.model_dump(),
        "missed": outcomes[0].missed(scenario.target),
        "senders": {outcome.sender: _figures(outcome) for outcome in outcomes},
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    goodput, throttled = outcome.mean
    return {
        "goodput": goodput,
        "throttled": throttled,
        "worst": asdict(outcome.worst),
        "trials": [asdict(trial) for trial in outcome.trials],
    }
