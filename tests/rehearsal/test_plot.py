"""Plots of trials: their content, and that they are reproducible."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.simulation.our_senders import FixedSender
from bulk_invite.rehearsal.simulation.plot import Panel, check, draw
from bulk_invite.rehearsal.simulation.sdk_models import AdaptiveSender
from bulk_invite.rehearsal.simulation.virtual_run import Trial, simulate

_SVG = "{http://www.w3.org/2000/svg}"


def trial(seconds: float = 300.0, seed: int = 1) -> Trial:
    server = Options(rate=5, burst=5, latency=0.1, jitter=0.01)
    return simulate(server, AdaptiveSender, seconds, seed)


def panel(name: str, drawn: Trial) -> Panel:
    return Panel(name, drawn, lambda _time: 5.0)


def texts(path: Path) -> list[str]:
    return [node.text or "" for node in ET.parse(path).iter(f"{_SVG}text")]


def test_an_svg_names_its_panels_and_their_throttled_share(tmp_path: Path) -> None:
    path = tmp_path / "trial.svg"
    even = simulate(Options(rate=5, burst=5), lambda began: FixedSender(20, began), 300, 1)
    draw(path, "A title", [panel("adaptive <mode>", trial()), panel("four times the rate", even)])
    found = texts(path)
    assert ET.parse(path).getroot().tag == f"{_SVG}svg"
    assert {
        "A title",
        "adaptive <mode>",
        "four times the rate",
        "74.9% of all calls throttled",
        "minutes",
    } <= set(found)
    assert found.count("sent") == 1, "one legend for all"


def test_a_png_is_written(tmp_path: Path) -> None:
    path = tmp_path / "trial.png"
    draw(path, "A title", [panel("one", trial())])
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_same_trial_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    first, second, other = (tmp_path / f"{name}.{ending}" for name in "abc")
    draw(first, "A title", [panel("one", trial())])
    draw(second, "A title", [panel("one", trial())])
    draw(other, "A title", [panel("one", trial(seed=2))])
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_a_long_trial_is_drawn_small_and_in_hours(tmp_path: Path) -> None:
    path = tmp_path / "trial.svg"
    long = trial(4 * 3600.0)
    draw(path, "A title", [panel("one", long), panel("two", long)])
    assert path.stat().st_size < 150_000
    assert "hours" in texts(path)


def test_a_trial_without_calls_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "trial.svg"
    draw(path, "A title", [panel("nothing", Trial(60.0))])
    assert "0.0% of all calls throttled" in texts(path)


@pytest.mark.parametrize("name", ["trial.pdf", "trial", "trial.svg.gz"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        draw(tmp_path / name, "A title", [panel("one", trial())])
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[plot\]'"):
        check(tmp_path / "trial.svg")  # before the simulation, which takes a while
