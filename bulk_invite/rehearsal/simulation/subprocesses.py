"""The programs of this package, started as an operator would start them, with nothing of AWS around them."""

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
"""Seconds until a program that should have ended is given up."""

_OURS: Final = "BULK_INVITE_"


class ProgramError(BulkInviteError):
    """A program that was started did not do its part."""

    exit_code = 1


@contextmanager
def started_emulator(*options: str) -> Iterator[str]:
    """An emulator on a free port until the block ends; its URL. Raises ProgramError."""
    command = [*program("emulator"), "--port", "0", "--json", *options]
    process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE)  # noqa: S603 - ours
    try:
        assert process.stdout is not None  # noqa: S101 - tells the type checker
        line = process.stdout.readline()
        if not line:
            raise ProgramError("The emulator did not start.")
        yield json.loads(line)["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def started_sender(sources: Sequence[str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`bulk-invite send` on the sources; killed at the end of the block if it is still running."""
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
    """The environment without anything of AWS or of ours: nothing but an emulator must be reached."""
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
