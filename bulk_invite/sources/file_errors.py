"""How a file is read and told, and why it cannot be opened."""

from __future__ import annotations

import os
from typing import Final

from bulk_invite.domain.errors import SourceError

BLOCK_BYTES: Final = 64 * 1024
"""How much is read at a time."""


def printable(path: str) -> str:
    """A path as it may be written down: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def reason(exc: OSError | ValueError) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def unopened(called: str, exc: OSError | ValueError) -> SourceError:
    """called: what it is, to begin a sentence."""
    if isinstance(exc, FileNotFoundError):
        return SourceError(f"{called}: no such file.", hint="Check the spelling and the directory.")
    if isinstance(exc, PermissionError):
        hint = "Give the user that runs this permission to read it."
        return SourceError(f"{called}: may not be read.", hint=hint)
    hint = "Check the name and the disk."
    return SourceError(f"{called}: cannot be opened ({reason(exc)}).", hint=hint)
