"""The scenarios: every target is reached, other senders are compared, and one runs over real HTTP."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from command import Ran, run
from documents import topic

from bulk_invite.cli.simulate import run_scenarios
from bulk_invite.rehearsal.simulation import comparison
from bulk_invite.rehearsal.simulation.comparison import OURS, Figures, Outcome, figures_of
from bulk_invite.rehearsal.simulation.scenario import Scenario, Target, load, names
from bulk_invite.rehearsal.simulation.virtual_run import SimulatedCall, Trial, max_granted

OWN = """
title = "five a second"
length = "{length}"
fixed_rate = 5
live = "8s"

[server]
rate = 5
burst = 5

[target]
throttled = {throttled}
"""


def _own(folder: Path, *, length: str = "10m", throttled: float = 1.0) -> Path:
    path = folder / "own.toml"
    path.write_text(OWN.format(length=length, throttled=throttled))
    return path


def _fast_bucket(folder: Path) -> Path:
    """The shipped `bucket-50`, two thirds as long over HTTP, with as many seconds that are not counted."""
    shipped = files("bulk_invite.rehearsal.simulation") / "scenarios" / "bucket-50.toml"
    before, live, after = shipped.read_text().partition('live = "90s"\n')
    assert live
    path = folder / "fast.toml"
    path.write_text(f'{before}live = "60s"\nwarm_up = 0.15\n{after}')
    return path


def _simulate(*arguments: str | Path, cwd: Path) -> Ran:
    # It starts new processes of its own program, which a fork does not have.
    return run("simulate", *arguments, cwd=cwd, within=115, installed=True)


def _refused(*arguments: str | Path, cwd: Path) -> Ran:
    """A run that ends before it starts a process."""
    return run("simulate", *arguments, cwd=cwd)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("seed", [11])
def test_every_target_is_reached(name: str, seed: int) -> None:
    [scenario] = run_scenarios.chosen([name])
    trial = comparison.run(scenario, run_scenarios.limits(scenario), OURS, seed)
    assert Outcome(OURS, (figures_of(scenario, trial),)).missed(scenario.target) == []


def test_all_targets_of_the_design_are_in_the_scenarios() -> None:
    """The table in the manual is generated; the figures to reach are these, written down once more."""
    wanted = {
        "bucket-1": (0.985, 0.01),
        "bucket-50": (0.985, 0.01),
        "burst-1": (0.93, 0.01),
        "fixed-window": (0.96, 0.012),
        "refusal-cost": (0.97, 0.015),
        "steps": (0.985, 0.012),
        "minutes": (0.9, 0.012),
        "bunches": (0.985, 0.01),
        "other-program": (0.97, 0.015),
    }
    for name, target in wanted.items():
        scenario = load(name)
        assert (scenario.target.goodput, scenario.target.throttled) == target
    assert (load("daily-known").target.goodput, load("daily-known").target.over) == (1.0, 0)
    assert load("daily-unknown").target.probes == 96
    assert (load("rise-8").target.regained, load("rise-1").target.regained) == (20.0, 70.0)


def test_the_manual_has_every_scenario_and_its_figures_reach_the_targets() -> None:
    cells = re.findall(
        r"^\| (.+?) \| [\d.]* / [\d.]* \| ([\d.]+) / ([\d.]+) \|", topic("pacing"), re.MULTILINE
    )
    table = {title: (float(goodput), float(throttled)) for title, goodput, throttled in cells}
    assert set(table) == {load(name).title for name in names()}
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \|$", topic("rehearsal"), re.MULTILINE)
    assert listed == [(name, load(name).title) for name in names()]
    for scenario in map(load, names()):
        goodput, throttled = table[scenario.title]
        assert goodput >= (scenario.target.goodput or 0) * 100 - 0.05
        assert throttled <= (scenario.target.throttled or 1) * 100 + 0.05


def test_the_command_shows_the_waste_of_others_and_missed_targets(tmp_path: Path) -> None:
    own, shallow = _own(tmp_path, length="4m"), tmp_path / "shallow.toml"
    shallow.write_text(
        OWN.format(length="3m", throttled=1.0).replace("burst = 5", 'burst = 1\njitter = "10ms"')
    )
    ran = _simulate(own, shallow, "--seeds", "1", "--format", "json", cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    first, second = json.loads(ran.stdout)
    assert first["title"] == "five a second"
    assert first["senders"]["SDK standard"]["throttled"] > 0.5
    assert first["senders"][OURS]["throttled"] < 0.02
    assert first["senders"]["fixed rate"]["goodput"] == pytest.approx(1.0, abs=0.01)
    assert second["senders"]["fixed rate"]["throttled"] > 0.3
    assert second["senders"]["SDK adaptive"]["throttled"] > 0.05
    missed = _simulate(_own(tmp_path, throttled=0.001), "--only-ours", "--seeds", "2", cwd=tmp_path)
    assert missed.code == 1
    assert re.search(r"own: throttled 0\.\d+% is more than 0\.10%", missed.stderr)
    assert re.search(r"five a second +/ 0\.1 +100\.0 / 0\.\d", missed.stdout)


def test_the_figures_depend_on_the_seed_alone() -> None:
    [scenario] = run_scenarios.chosen(["bucket-10-far"])
    first, again, other = (
        comparison.run(scenario, run_scenarios.limits(scenario), OURS, seed).calls for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.slow
@pytest.mark.real_time
def test_over_http_the_fast_bucket_is_used_with_almost_no_throttles(tmp_path: Path) -> None:
    ran = _simulate(_fast_bucket(tmp_path), "--live", "--only-ours", "--format", "json", cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    [figures] = json.loads(ran.stdout)[0]["senders"][OURS]["trials"]
    assert figures["goodput"] >= 0.985
    assert figures["throttled"] <= 0.01


@pytest.mark.slow
def test_over_http_the_real_sdk_is_compared(tmp_path: Path) -> None:
    ran = _simulate(_own(tmp_path), "--live", "--format", "json", cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    senders = json.loads(ran.stdout)[0]["senders"]
    assert set(senders) == {OURS, "SDK standard", "SDK adaptive"}
    assert senders["SDK standard"]["throttled"] > 0.3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title = ", "not valid TOML"),
        (OWN.format(length="soon", throttled=1), "invalid: length"),
        (OWN.format(length="1m", throttled=2), "invalid: target.throttled"),
        (
            OWN.format(length="1m", throttled=1).replace("burst = 5", "brust = 5"),
            "unknown server options: brust",
        ),
        (
            OWN.format(length="1m", throttled=1).replace("rate = 5\nburst", "rate = 0\nburst"),
            "--rate must be more than 0",
        ),
        (OWN.format(length="1m", throttled=1) + '\n[sender]\npace = "walk"', "Invalid sender in scenario"),
    ],
)
def test_an_impossible_scenario_is_refused_with_an_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    ran = _refused(path, "--only-ours", cwd=tmp_path)
    assert ran.code == 2
    assert says in ran.stderr


def test_an_unknown_scenario_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    ran = _refused("bucket-11", cwd=tmp_path)
    assert (ran.code, "bucket-10" in ran.said) == (2, True)


def test_only_one_scenario_is_drawn_at_a_time(tmp_path: Path) -> None:
    assert _refused("steps", "day", "--plot", "out.svg", cwd=tmp_path).code == 2
    drawn = _simulate(_own(tmp_path), "--plot", "out.svg", cwd=tmp_path)
    assert drawn.code == 0, drawn.stderr
    assert "five a second" in (tmp_path / "out.svg").read_text()


def _scenario(**options: Any) -> Scenario:
    from bulk_invite.rehearsal.emulator.options import Options  # noqa: PLC0415

    return Scenario("own", "own", 10.0, 0.0, 1.0, None, Options(**options), {}, {}, Target())


def test_figures_count_what_the_server_saw_after_the_warm_up() -> None:
    calls = [SimulatedCall(float(second), second % 4 == 0, None, 0) for second in range(10)]
    figures = figures_of(_scenario(rate=1.0, burst=1), Trial(10.0, calls))
    assert (figures.goodput, figures.throttled) == (0.7, 0.3)


def test_calls_on_a_used_up_day_are_counted() -> None:
    calls = [SimulatedCall(float(second), second in {2, 3}, None, 0) for second in range(5)]
    figures = figures_of(_scenario(daily_quota=2, day=3.5), Trial(5.0, calls))
    assert figures.over == 2


def test_the_goodput_of_a_sender_that_knows_the_quota() -> None:
    assert max_granted(_scenario(rate=2.0, burst=1).options, 0.0, 10.0) == 20
    assert max_granted(_scenario(daily_quota=3, day=5.0).options, 0.0, 12.0) == 9


def test_the_worst_seed_decides() -> None:
    good, bad = Figures(0.99, 0.001, 10, 0), Figures(0.9, 0.02, 100, 3)
    target = Target(goodput=0.98, throttled=0.01, probes=96, over=0)
    assert Outcome(OURS, (good,)).missed(target) == []
    assert len(Outcome(OURS, (good, bad)).missed(target)) == 4
