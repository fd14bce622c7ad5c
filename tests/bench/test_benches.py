"""The benchmarks start, and count right; their figures are no test's concern."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_idle import CASES, running, sample
from bench_send import all_ways, measure, summary
from command import COMMAND, wait_until
from instant_server import instant_server


def test_the_benchmark_of_send_counts_the_calls_of_every_way(tmp_path: Path) -> None:
    ways = {name: way for name, way in all_ways(None).items() if name in ("floor", "send")}
    with instant_server() as server:
        table = summary(measure(server, tmp_path, ways, rows=20, rounds=1))
        with pytest.raises(SystemExit, match=r"exit code 0, .*creates=0, tokens=0.* for 20 rows"):
            measure(server, tmp_path, {"idle": lambda *_: ["/bin/true"]}, rows=20, rounds=1)
    assert list(table) == ["floor", "send"]
    assert table["send"]["cpu_us"] > table["floor"]["cpu_us"] > 0


def test_the_benchmark_of_idle_senders_measures_a_command_that_runs() -> None:
    with instant_server() as service, running(COMMAND, CASES["parked"], service) as pid:
        wait_until(lambda: service.counts().creates)
        assert sample(pid, service, 0.3).threads > 1
