"""What a sender costs while it has little or nothing to do: shares of a core, and wake-ups.

    python tests/bench/bench_idle.py [--seconds N] [--only CASE...] [--program PATH] [--json]

Every case runs on its own, one after the other, against a server that answers at once; it is measured for
`--seconds` once it is past its start. Wake-ups are the times that a thread of the process had waited. "10/s"
is a paced `send`, and "bare, 10/s" the bare loop of `sdk_ways.py` at the same pace, on the same loop: a call
that comes alone finds nothing in the caches of the processor, whoever makes it. "all on" is with the HTTP
server, the health file and lines of progress.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from command import COMMAND, CREDENTIALS, cpu_seconds, environment, free_port
from database import database, server
from instant_server import InstantServer, instant_server
from rows import make_rows, ndjson, write_rows

_ALL_ON: Final = ("--health-file", "health.json", "--progress", "on", "--listen")
"""The address follows."""

_START: Final = 8.0
"""Seconds after which a case is past its start."""


@dataclass(frozen=True)
class Case:
    """Arguments of the command, without its source, which `prepare` makes; none for the bare loop.

    "{source}" in an argument is replaced by the source.
    """

    arguments: tuple[str, ...]
    prepare: Callable[[Path, ExitStack], str]
    all_on: bool = False

    def command(self, program: Path, url: str, source: str) -> list[str | Path]:
        if not self.arguments:
            return [sys.executable, Path(__file__).with_name("sdk_ways.py"), "paced", url, source]
        more = (*_ALL_ON, f"127.0.0.1:{free_port()}") if self.all_on else ("--progress", "off")
        arguments = (each.format(source=source) for each in self.arguments)
        return [program, *arguments, source, "--endpoint-url", url, "--json", *more]


@dataclass(frozen=True)
class Idleness:
    """share: percent of a core. wakes: per second. calls: made meanwhile. threads: at the end."""

    share: float
    wakes: float
    calls: int
    threads: int
    seconds: float

    def members(self) -> dict[str, float]:
        cpu_us = self.share * self.seconds * 1e4
        return {
            "percent_of_a_core": round(self.share, 3),
            "wakes_per_s": round(self.wakes, 1),
            "threads": self.threads,
            **({"calls": self.calls, "us_per_call": round(cpu_us / self.calls)} if self.calls else {}),
        }


def _file(rows: int) -> Callable[[Path, ExitStack], str]:
    return lambda folder, _: write_rows(folder / "rows.ndjson", make_rows(rows)).name


def _directory(folder: Path, _: ExitStack) -> str:
    incoming = folder / "incoming"
    incoming.mkdir()
    write_rows(incoming / "rows.ndjson", make_rows(20))
    return incoming.name


def _pipe(folder: Path, stack: ExitStack) -> str:
    """A FIFO whose writer has written some rows, and stays."""
    os.mkfifo(folder / "pipe")
    writer = os.open(folder / "pipe", os.O_RDWR)
    stack.callback(os.close, writer)
    os.write(writer, ndjson(make_rows(20)))
    return "pipe"


def _table(_: Path, stack: ExitStack) -> str:
    db = stack.enter_context(database(stack.enter_context(server()).url))
    db.run("CREATE TABLE invitations (id bigint PRIMARY KEY, request jsonb NOT NULL)")
    for number, row in enumerate(make_rows(20)):
        db.run("INSERT INTO invitations VALUES (%s, %s)", (number, json.dumps(row)))
    outcomes = ("init-db", db.url, *_READ, "--write-back", "outcomes")
    subprocess.run([COMMAND, *outcomes], env=environment(), check=True, stdout=subprocess.DEVNULL)
    return db.url


_READ: Final = ("--table", "invitations", "--key", "id")
_TABLE: Final = ("serve", *_READ)

CASES: Final[Mapping[str, Case]] = {
    "bare, 10/s": Case((), _file(5000)),
    "10/s": Case(("send", "--rate", "10", "--daily-quota", "none"), _file(5000)),
    "10/s, all on": Case(("send", "--rate", "10", "--daily-quota", "none"), _file(5000), all_on=True),
    "parked": Case(("send", "--daily-quota", "5"), _file(20)),
    "parked, all on": Case(("send", "--daily-quota", "5"), _file(20), all_on=True),
    "directory": Case(("serve",), _directory),
    "directory, all on": Case(("serve",), _directory, all_on=True),
    "pipe": Case(("serve",), _pipe),
    "table": Case(_TABLE, _table),
    "table, all on": Case(_TABLE, _table, all_on=True),
    "checkpoint in a database": Case((*_TABLE, "--checkpoint", "{source}"), _table),
    "write-back": Case((*_TABLE, "--write-back", "outcomes"), _table),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--program", type=Path, default=COMMAND, help="another checkout's command")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {}
    for name in options.only or CASES:
        with instant_server() as service, running(options.program, CASES[name], service) as pid:
            time.sleep(_START)
            result[name] = sample(pid, service, options.seconds).members()
        if not options.json:
            print(f"{name:20} {json.dumps(result[name])}", flush=True)
    if options.json:
        print(json.dumps(result))


@contextmanager
def running(program: Path, case: Case, service: InstantServer) -> Iterator[int]:
    """The command of a case in a folder of its own, until the block ends: its process id."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = case.prepare(folder, stack)
        log = stack.enter_context((folder / "log").open("w"))
        process = stack.enter_context(
            subprocess.Popen(
                case.command(program, service.url, source),
                cwd=folder,
                env=environment(**CREDENTIALS),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
        stack.callback(process.kill)
        yield process.pid
        if process.poll() is not None:
            raise SystemExit(f"The command has ended:\n{(folder / 'log').read_text()}")


def sample(pid: int, service: InstantServer, seconds: float) -> Idleness:
    service.counts()
    began, cpu, wakes = time.monotonic(), cpu_seconds(pid), _wakes(pid)
    time.sleep(seconds)
    took = time.monotonic() - began
    spent, woken = cpu_seconds(pid) - cpu, _wakes(pid) - wakes
    threads = len([*Path(f"/proc/{pid}/task").iterdir()])
    return Idleness(spent / took * 100, woken / took, service.counts().creates, threads, took)


def _wakes(pid: int) -> int:
    """How often its threads have waited so far, those that have ended left out."""
    statuses = (status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for status in statuses)


if __name__ == "__main__":
    main()
