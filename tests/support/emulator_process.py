"""The emulator as a separate program on a free loopback port: most tests send to it."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import start

_PATIENCE = 20


@dataclass(frozen=True)
class EmulatorProcess:
    """A running emulator. `ledger` None: it keeps its ledger in a temporary file."""

    url: str
    ledger: Path | None
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def audit(self) -> dict[str, Any]:
        """The totals of `/_emulator/audit`."""
        audit: dict[str, Any] = json.loads(self._get("/_emulator/audit"))
        return audit

    def invitations(self, *, full: bool = False) -> list[dict[str, Any]]:
        """Every committed invitation, oldest first; with the request as it came if `full`."""
        return [json.loads(line) for line in self._get(f"/_emulator/ledger?full={full:d}").splitlines()]

    def calls(self) -> list[dict[str, Any]]:
        """Every call, oldest first, those of STS and lists too."""
        return [json.loads(line) for line in self._get("/_emulator/calls").splitlines()]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(_PATIENCE)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=_PATIENCE) as answer:
            data: bytes = answer.read()
        return data


def start_emulator(*arguments: str, ledger: Path | None = None, port: int = 0) -> EmulatorProcess:
    """Start one with command line options such as `"--rate", "5"`; it listens when this returns.

    Raises RuntimeError with what it printed when it does not come up. The caller that starts one ends it.
    """
    where = [] if ledger is None else ["--ledger", str(ledger)]
    process = start(
        "emulator", "--json", "--port", str(port), *where, *arguments, cwd=Path.cwd(), env={}
    ).process
    assert process.stdout is not None
    line = process.stdout.readline()
    if "url" not in json.loads(line or "{}"):
        _, errors = process.communicate(timeout=_PATIENCE)
        raise RuntimeError(f"the emulator ended with {process.returncode}: {errors}")
    return EmulatorProcess(json.loads(line)["url"], ledger, process)


@contextmanager
def emulator_process(*arguments: str, ledger: Path | None = None, port: int = 0) -> Iterator[EmulatorProcess]:
    """`start_emulator` for a with block; killed at its end unless it has ended by itself."""
    emulator = start_emulator(*arguments, ledger=ledger, port=port)
    try:
        yield emulator
    finally:
        emulator.process.kill()
        # communicate also closes the pipes; unclosed ones would cause a warning.
        emulator.process.communicate(timeout=_PATIENCE)
