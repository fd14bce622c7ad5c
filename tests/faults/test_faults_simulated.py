"""The short form of the simulation: whole campaigns in virtual time, and that a seed says all about one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from faults.courses import KINDS
from faults.simulated import campaign, run_seed

_TESTS = os.pathsep.join(str(Path(__file__).parents[1] / each) for each in ("support", "."))
_CHUNK = 10


@pytest.mark.parametrize("first", range(0, 60, _CHUNK))
def test_simulated_faults_lose_and_repeat_no_row(first: int, tmp_path: Path) -> None:
    (line,) = campaign(_CHUNK, tmp_path, first)
    assert line.clean, "\n".join(line.broken)
    assert line.times > 0


def test_the_same_seed_gives_the_same_log_in_another_process() -> None:
    seeds = (3, 11)
    here = [run_seed(seed).digest for seed in seeds]
    assert [run_seed(seed).digest for seed in seeds] == here
    assert _digests_elsewhere(seeds, hash_seed="1") == here
    assert _digests_elsewhere(seeds, hash_seed="2") == here


def test_seeds_differ_and_cover_every_fault() -> None:
    outcomes = [run_seed(seed) for seed in range(200, 215)]
    assert len({outcome.digest for outcome in outcomes}) == len(outcomes)
    made = sum((outcome.made for outcome in outcomes), Counter[str]())
    assert {*KINDS, "withheld"} <= set(made)
    ends = Counter(end for outcome in outcomes for end in outcome.ends)
    assert ends["killed"] > 5
    assert ends["stopped"] > 5


def _digests_elsewhere(seeds: tuple[int, ...], *, hash_seed: str) -> list[str]:
    script = (
        "import sys; from faults.simulated import run_seed\n"
        "for seed in sys.argv[1:]: print(run_seed(int(seed)).digest)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": _TESTS},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()
