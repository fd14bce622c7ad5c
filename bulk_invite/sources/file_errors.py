"""How files are read and displayed, and the errors for files that cannot be opened."""

from __future__ import annotations

import os
from typing import Final

from bulk_invite.domain.errors import SourceError

BLOCK_BYTES: Final = 64 * 1024
"""Number of bytes read at a time."""


def printable(path: str) -> str:
    """A path for display: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def reason(exc: OSError | ValueError) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def cannot_open(called: str, exc: OSError | ValueError) -> SourceError:
    """called: what the file is called at the beginning of the sentence."""
    if isinstance(exc, FileNotFoundError):
        return SourceError(f"{called}: no such file.", hint="Check the spelling and the directory.")
    if isinstance(exc, PermissionError):
        hint = "Allow the user that runs this program to read it."
        return SourceError(f"{called}: permission denied.", hint=hint)
    hint = "Check the name and the disk."
    return SourceError(f"{called}: cannot be opened ({reason(exc)}).", hint=hint)
