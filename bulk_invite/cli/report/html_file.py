"""Writes a page atomically, and replaces no file but an earlier report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bulk_invite.cli.report.page import GENERATOR
from bulk_invite.domain.errors import ReportError, UsageError
from bulk_invite.monitoring.replace_file import replace_file

_HEAD: Final = 2000
"""Bytes at the start of a page that contain its generator tag."""


def check(path: Path) -> None:
    """Raise UsageError where no page can be written, or another file would be overwritten."""
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"The directory of the report {path} does not exist.", hint="Create it first.", topic="results"
        )
    if not path.exists():
        return
    if not path.is_file() or not _is_ours(path):
        raise UsageError(
            f"{path} exists and is not a bulk-invite report; it was not overwritten.",
            hint="Choose another file with --html.",
            topic="results",
        )


def write(path: Path, text: str) -> None:
    """Write a page with mode 0600. Raises ReportError where the file system refuses."""
    try:
        replace_file(path, text.encode(), mode=0o600, durable=True)
    except OSError as error:
        raise ReportError(
            f"The report {path} cannot be written: {error.strerror or type(error).__name__}.",
            hint="Choose a file in a writable directory with --html.",
        ) from error


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ReportError(f"The report {path} cannot be read: {error.strerror}.") from error
    return not head or f'<meta name="generator" content="{GENERATOR}">'.encode() in head
