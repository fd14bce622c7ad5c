"""Starts the programs of this package like an operator would, in an environment without AWS settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bulk_invite.domain.errors import BulkInviteError

PATIENCE: Final = 120.0
"""Seconds to wait for a program that should have ended."""

_OURS: Final = "BULK_INVITE_"


class ProgramError(BulkInviteError):
    """A started program failed."""

    code = "program"
    exit_code = 1


@contextmanager
def started_emulator(*options: str) -> Iterator[str]:
    """Run an emulator on a free port until the block ends; yields its URL. Raises ProgramError."""
    command = [*program("emulator"), "--port", "0", "--json", *options]
    process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE)  # noqa: S603 - ours
    try:
        assert process.stdout is not None  # noqa: S101 - tells the type checker
        line = process.stdout.readline()
        url = json.loads(line or b"{}").get("url")
        if url is None:
            raise ProgramError("The emulator did not start.")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def started_sender(sources: Sequence[str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `bulk-invite send` on the sources; it is killed at the end of the block if still running."""
    command = [*program("send"), *sources, *options]
    process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def program(command: str) -> list[str]:
    return [sys.executable, "-m", "bulk_invite", command]


def clean_environment() -> dict[str, str]:
    """The environment without AWS, proxy and own variables, so that only an emulator can be reached."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", _OURS)) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
