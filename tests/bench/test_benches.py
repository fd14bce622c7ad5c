"""The benchmarks start, and count right; their figures are no test's concern."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_send import Command, all_ways, measure, summary
from instant_server import instant_server
from rows import make_rows, write_rows


def test_the_benchmark_of_send_counts_the_calls_of_every_way(tmp_path: Path) -> None:
    ways = {name: way for name, way in all_ways(None).items() if name in ("floor", "send")}
    fewer = write_rows(tmp_path / "fewer.ndjson", make_rows(19))
    with instant_server() as server:
        table = summary(measure(server, tmp_path, ways, rows=20, rounds=1))
        wrong: dict[str, Command] = {"floor": lambda url, _, name: ways["floor"](url, fewer, name)}
        with pytest.raises(SystemExit, match=r"creates=19, .* for 20 rows"):
            measure(server, tmp_path, wrong, rows=20, rounds=1)
    assert list(table) == ["floor", "send"]
    assert table["send"]["cpu_us"] > table["floor"]["cpu_us"] > 0
