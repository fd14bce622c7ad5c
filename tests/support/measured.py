"""What a command costs: its own processor time and peak memory, independent of the caller.

The system counts the memory of the parent as the process's own until it becomes the command. So a
small separate process starts it: this file, run as a program.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """A command that has ended. cpu: seconds, peak: bytes resident."""

    code: int
    stdout: str
    stderr: str
    cpu: float
    peak: int

    @property
    def json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.stdout)
        return result


def measured(
    command: Path,
    *arguments: str | Path,
    cwd: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    within: float = 300,
) -> Measured:
    """Run `command` to its end. env: None for that of the caller. within: seconds."""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", __file__, command, *arguments],
        check=False,
        cwd=cwd,
        env=env,
        stdin=stdin,
        capture_output=True,
        timeout=within,
    )
    stderr, _, usage = ran.stderr.decode().rpartition("\n")
    cpu, peak = json.loads(usage)
    return Measured(ran.returncode, ran.stdout.decode(), stderr, cpu, peak)


def _main() -> None:
    code = subprocess.run(sys.argv[1:], check=False).returncode
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stderr.write("\n" + json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
    sys.exit(code)


if __name__ == "__main__":
    _main()
