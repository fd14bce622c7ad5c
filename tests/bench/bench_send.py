"""The cost of a call: `send`, a bare loop over aioboto3, and what the SDK could do at its best.

    python tests/bench/bench_send.py [--rows N] [--rounds N] [--only WAY...] [--base CHECKOUT] [--json]
    python tests/bench/bench_send.py --memory 1000 200000

All ways send the same rows, in turn, to a server that answers at once and counts. CPU is user and system time
of the whole process, its start included, in microseconds per call. The figures swing with the machine: what
counts is the ratio of each round to the bare loop of the same round. `sdk_ways.py` describes the ways without
`send`. With --base, `send` and the client of another checkout with its own .venv take part as well.
Memory is the peak resident size of the process of `send`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from command import COMMAND, CREDENTIALS, environment
from instant_server import InstantServer, instant_server
from measured import MIB, Measured, measured
from rows import make_rows, write_rows
from sdk_ways import IN_FLIGHT

TITLES: Final = {
    "floor": "SigV4 + one aiohttp session",
    "bytes": "aioboto3, lean, bytes as they are",
    "lean": "aioboto3, lean",
    "bare": "bare loop over aioboto3",
    "own": "our client alone",
    "send": "send",
    "base-own": "base: our client alone",
    "base-send": "base: send",
}
"""The ways in the order of the table."""

Command = Callable[[str, Path, str], Sequence[str | Path]]
"""The command of a way, for the URL of the server, the rows and a name that is new."""


@dataclass(frozen=True)
class Figures:
    """One run of a way. cpu: microseconds per call, the start included; rate: calls per second without it."""

    cpu: float
    rate: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(TITLES), metavar="WAY", help=", ".join(TITLES))
    parser.add_argument("--base", type=Path, metavar="CHECKOUT", help="measure its `send`, too")
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = {name: way for name, way in all_ways(options.base).items() if name in (options.only or TITLES)}
    with tempfile.TemporaryDirectory() as folder, instant_server() as server:
        if options.memory:
            print(json.dumps(memory(server, Path(folder), options.memory), indent=1))
            return
        rounds = measure(server, Path(folder), ways, rows=options.rows, rounds=options.rounds)
    table = summary(rounds)
    print(json.dumps(table) if options.json else "\n".join(_lines(table)))


def all_ways(base: Path | None) -> dict[str, Command]:
    """The commands of all ways, in the order in which they take turns."""
    ways = {name: _sdk(name, Path(sys.executable)) for name in ("floor", "bytes", "lean", "own")}
    if base is not None:
        scripts = base.resolve() / ".venv" / "bin"
        ways |= {"base-own": _sdk("own", scripts / "python"), "base-send": _send(scripts / COMMAND.name)}
    return {**ways, "send": _send(COMMAND), "bare": _sdk("bare", Path(sys.executable))}


def _sdk(way: str, python: Path) -> Command:
    program = Path(__file__).with_name("sdk_ways.py")
    return lambda url, source, _: (python, program, way, url, source)


def _send(program: Path) -> Command:
    pace = ("--rate", "100000", "--daily-quota", "none", "--max-in-flight", str(IN_FLIGHT))
    quiet = ("--json", "--progress", "off", "--log-level", "warning")

    def command(url: str, source: Path, name: str) -> Sequence[str | Path]:
        files = ("--checkpoint", f"{name}.db", "--campaign", name, "--endpoint-url", url)
        return (program, "send", source, *files, *pace, *quiet)

    return command


def measure(
    server: InstantServer, folder: Path, ways: Mapping[str, Command], *, rows: int, rounds: int
) -> list[dict[str, Figures]]:
    """The figures of each way, by round; every other round goes through the ways backwards."""
    source = write_rows(folder / "rows.ndjson", make_rows(rows))
    result = []
    for number in range(rounds):
        order = list(ways)[:: 1 if number % 2 else -1]
        ran = {name: _run(server, folder, ways[name], source, rows, f"{name}-{number}") for name in order}
        result.append(
            {name: Figures(run.cpu / rows * 1e6, rows / run.json["elapsed_s"]) for name, run in ran.items()}
        )
    return result


def _run(
    server: InstantServer, folder: Path, command: Command, source: Path, rows: int, name: str
) -> Measured:
    """One run of a way. Ends the program unless the server got every row once."""
    server.counts()
    program, *arguments = command(server.url, source, name)
    ran = measured(Path(program), *arguments, cwd=folder, env=environment(**CREDENTIALS), within=1800)
    counts = server.counts()
    if (ran.code, counts.creates, counts.tokens) != (0, rows, rows):
        raise SystemExit(f"{name}: exit code {ran.code}, {counts} for {rows} rows\n{ran.stderr[-2000:]}")
    return ran


def memory(server: InstantServer, folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    """The peak of `send` in MiB, by the number of rows."""
    peaks = {}
    for rows in sizes:
        source = write_rows(folder / f"{rows}.ndjson", make_rows(rows))
        peaks[f"{rows} rows, MiB"] = _run(server, folder, _send(COMMAND), source, rows, f"rows-{rows}").peak
    return {name: round(peak / MIB, 1) for name, peak in peaks.items()}


def summary(rounds: Sequence[Mapping[str, Figures]]) -> dict[str, dict[str, Any]]:
    """The medians of each way, in the order of the table; ratios to the bare loop of the same round."""
    return {name: _medians(rounds, name) for name in TITLES if name in rounds[0]}


def _medians(rounds: Sequence[Mapping[str, Figures]], name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cpu_us": round(statistics.median(each[name].cpu for each in rounds)),
        "calls_per_s": round(statistics.median(each[name].rate for each in rounds)),
    }
    if "bare" in rounds[0]:
        cpu = [round(each[name].cpu / each["bare"].cpu, 3) for each in rounds]
        rate = [round(each[name].rate / each["bare"].rate, 3) for each in rounds]
        row |= {
            "cpu_ratio": round(statistics.median(cpu), 3),
            "rate_ratio": round(statistics.median(rate), 3),
        }
        row |= {"cpu_ratios": cpu, "rate_ratios": rate}
    if "bytes" in rounds[0]:
        own = [each[name].cpu - each["bytes"].cpu for each in rounds]
        row["over_sdk_us"] = round(statistics.median(own))
    return row


def _lines(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    heads = ("CPU, us", "of bare", "over SDK", "calls/s", "of bare")
    keys = ("cpu_us", "cpu_ratio", "over_sdk_us", "calls_per_s", "rate_ratio")
    lines = [" " * 34 + "".join(f"{head:>9}" for head in heads) + "  CPU of bare, by round"]
    for name, row in table.items():
        figures = "".join(f"{row.get(key, '-'):>9}" for key in keys)
        rounds = " ".join(f"{ratio:.2f}" for ratio in row.get("cpu_ratios", ()))
        lines.append(f"{TITLES[name]:34}{figures}  {rounds}")
    return lines


if __name__ == "__main__":
    main()
