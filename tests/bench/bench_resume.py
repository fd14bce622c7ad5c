"""The first call of a run that resumes: after how many seconds, beside one that reads the whole file again.

    python tests/bench/bench_resume.py [--rows N] [--rounds N] [--results]

A checkpoint in which all rows of a file of 1 kB rows have an invitation is made without calls. Before each
run a new row is appended: its call is the first one. For a full read, a byte of the first line is changed.
Peak is the resident size of the sender's process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice, product
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from command import COMMAND, CREDENTIALS, environment
from instant_server import InstantServer, instant_server
from rows import make_row

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.validator import make_validator, row_basis
from bulk_invite.sources.file import FileSource

_ROW_BYTES: Final = 1000
_BATCH: Final = 2000
_POLL: Final = 0.02
_MIB: Final = 1024
_DAYS_AGO: Final = 5 * 86400
_OPTIONS: Final = ("--rate", "100000", "--daily-quota", "none", "--json", "--progress", "off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", action="store_true", help="with --results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, instant_server() as server:
        bench = Bench(server, Path(folder), with_results=options.results)
        print(json.dumps(bench.measure(options.rows, options.rounds)))


class Bench:
    """A file, its checkpoint, and what the runs have shown. peak: of all of them, in MiB."""

    def __init__(self, server: InstantServer, folder: Path, *, with_results: bool) -> None:
        self._server = server
        self._source, self._checkpoint = folder / "rows.ndjson", folder / "resume.db"
        self._more = ("--results", folder / "results") if with_results else ()
        self.peak = 0.0

    def measure(self, rows: int, rounds: int) -> dict[str, float]:
        """Seconds until the first call, the medians of the rounds."""
        texts = _texts(rows + 2 * rounds)
        with self._source.open("wb") as file:
            file.writelines(islice(texts, rows))
        _settle(self._source, self._checkpoint)
        seconds: dict[str, list[float]] = {"resumed_s": [], "read_again_s": []}
        for number, name in product(range(rounds), seconds):
            with self._source.open("r+b") as file:
                if name == "read_again_s":
                    file.seek(1)
                    file.write(b" " if number % 2 == 0 else b"\t")
                file.seek(0, os.SEEK_END)
                file.write(next(texts))
            seconds[name].append(self._first_call())
        medians = {name: round(statistics.median(each), 2) for name, each in seconds.items()}
        return {**medians, "peak_mib": round(self.peak, 1)}

    def _first_call(self) -> float:
        """Run `send` to its end; return the seconds until its first call reached the server."""
        files = (self._source, "--checkpoint", self._checkpoint, "--endpoint-url", self._server.url)
        command = [COMMAND, "send", *files, *_OPTIONS, *self._more]
        first, began = None, time.monotonic()
        with subprocess.Popen(
            command, env=environment(**CREDENTIALS), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            while process.poll() is None:
                if first is None and self._server.counts().creates:
                    first = time.monotonic() - began
                self._look_at_memory(process.pid)
                time.sleep(_POLL)
            result = json.load(process.stdout)
        if first is None or result["created"] != 1 or process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {result}")
        return first

    def _look_at_memory(self, pid: int) -> None:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak = max(self.peak, int(line.split()[1]) / _MIB)


def _texts(count: int) -> Iterator[bytes]:
    """Lines of 1 kB. Blanks make them so long: the lengths of members are limited."""
    for number in range(count):
        line = json.dumps(make_row(number)).encode()
        yield b"{\t" + b" " * (_ROW_BYTES - len(line) - 2) + line[1:] + b"\n"


def _settle(source: Path, checkpoint: Path) -> None:
    """Admit all rows of a file, and record an invitation for each."""
    settings = Settings()
    validator, file = make_validator(settings), FileSource(str(source))
    with CheckpointWriter.open(checkpoint, catalog=settings.catalog) as writer:
        began = time.time() - _DAYS_AGO
        writer.begin_run(began, basis=row_basis(settings))
        with closing(file.batches(_BATCH, _BATCH * _ROW_BYTES * 2, marks=True)) as batches:
            for batch in batches:
                rows = [validator.validate(row) for row in batch]
                reached = file.prefix_at(batch[-1])
                writer.admit(rows, campaign="", retry_failed=False, reached=reached)
                _record(writer, [row.client_token for row in rows if isinstance(row, Invitation)], began)


def _record(writer: CheckpointWriter, tokens: Sequence[str], at: float) -> None:
    writer.record([Sent(token, at) for token in tokens])
    created = State.CREATED, Outcome.CREATED
    writer.record([Answered(each, at, *created, invitation_id=f"old-{each}", arn="arn:x") for each in tokens])


if __name__ == "__main__":
    main()
