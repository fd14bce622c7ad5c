"""What a command imports before it works. Seconds depend on the machine, modules do not."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from command import environment

from bulk_invite.checkpoint.writer import CheckpointWriter

_SHOW: Final = """
import atexit, sys

atexit.register(lambda: sys.stderr.write("\\nMODULES " + " ".join(sys.modules)))
from bulk_invite.__main__ import main

main()
"""

_SDK: Final = {"aioboto3", "aiohttp", "boto3", "botocore"}
_NEVER: Final = _SDK | {
    "anyio._backends",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "uvloop",
    "zstandard",
}
_WITHOUT_WORK: Final = _NEVER | {"rich", "sqlalchemy", "structlog"}
_WITHOUT_SETTINGS: Final = _WITHOUT_WORK | {"pydantic", "bulk_invite.runs.settings"}


@pytest.mark.parametrize(
    ("line", "most", "without"),
    [
        ("--help", 210, _WITHOUT_SETTINGS | {"email"}),
        ("--version", 250, _WITHOUT_SETTINGS),
        ("complete: se", 210, _WITHOUT_SETTINGS | {"email"}),
        ("complete: send --cat", 350, _WITHOUT_WORK),
        ("send --help", 350, _WITHOUT_WORK),
        ("health --health-file none", 320, _WITHOUT_WORK | {"anyio.to_thread", "asyncio"}),
        ("status --checkpoint new.db --json", 385, _WITHOUT_WORK),
    ],
)
def test_a_command_imports_only_what_it_needs(
    tmp_path: Path, line: str, most: int, without: set[str]
) -> None:
    with CheckpointWriter.open(tmp_path / "new.db", catalog="Sandbox"):
        pass
    _, completes, words = line.rpartition("complete: ")
    asks = {"_BULK_INVITE_COMPLETE": "complete_zsh"} if completes else {}
    ran = subprocess.run(
        [sys.executable, "-c", _SHOW, *words.split()],
        cwd=tmp_path,
        env=environment(**asks),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    modules = ran.stderr.rpartition("MODULES ")[2].split()
    assert "bulk_invite.cli.app" in modules, ran.stderr
    found = {each for name in modules for each in without if name == each or name.startswith(f"{each}.")}
    by_package = Counter(name.partition(".")[0] for name in modules).most_common(12)
    assert not found, f"{line} imports {sorted(found)}"
    assert len(modules) <= most, f"{line} imports {len(modules)} modules, most of them of {by_package}"
