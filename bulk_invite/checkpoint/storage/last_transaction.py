"""What tells a checkpoint from its copies, and knows its last transaction without being a part of it.

Beside a file stands another one. It is written after each commit, so it is never ahead of its checkpoint, and
whoever restores an older copy of that leaves it where it is. It is lost with the folder, and who copies both
has two that agree.
"""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

import orjson
from sqlalchemy import Connection

from bulk_invite.checkpoint.tables.generation import Generation, Stamp
from bulk_invite.domain.errors import CheckpointError

_LENGTH: Final = 256
"""Bytes of the file, always: what is written over in place is within one sector, old or new."""


class Origin(Protocol):
    """beside: the file that is kept beside the checkpoint; "" where there can be none."""

    beside: str

    def known(self) -> Generation | None:
        """What was kept there last; None where it is not there or cannot be read."""

    def keep(self, generation: Generation) -> None:
        """Write it there, after the commit. Raises CheckpointError."""

    def close(self) -> None:
        """No more will be kept."""

    def stamp(self, connection: Connection) -> Stamp:
        """What every generation is marked with, so that a copy can be told from what was written."""

    def why_a_copy(self, connection: Connection) -> str:
        """Why the last transactions may be missing, by that mark; "" where nothing speaks for it."""

    def risk(self, connection: Connection) -> str:
        """What may be lost that was committed, for the operator; "" where nothing is known to be."""


class FileOrigin:
    """The file beside is made by the first `keep`, and on the disk then; later ones outlive the process."""

    def __init__(self, path: Path) -> None:
        """path: of the file beside the checkpoint."""
        self.beside = path.name
        self._path = path
        self._file: int | None = None

    def known(self) -> Generation | None:
        try:
            with open(self._path, "rb", opener=_open) as file:
                return Generation(**orjson.loads(file.read(_LENGTH)))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, generation: Generation) -> None:
        text = orjson.dumps(asdict(generation)).ljust(_LENGTH - 1) + b"\n"
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                os.pwrite(self._file, text, 0)
                os.fsync(self._file)
            else:
                os.pwrite(self._file, text, 0)
        except OSError as error:
            raise CheckpointError(
                f"The file {self._path} beside the checkpoint cannot be written: {error.strerror}.",
                hint="Make it and its folder writable, make room, and run the same command again.",
                retryable=error.errno == errno.ENOSPC,
            ) from error

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def stamp(self, connection: Connection) -> Stamp:
        """Nothing within a file is different in its copies."""
        del connection
        return {}

    def why_a_copy(self, connection: Connection) -> str:
        del connection
        return ""

    def risk(self, connection: Connection) -> str:
        del connection
        return ""


def beside(path: Path) -> Path:
    """Where what is known of a file's last transaction is kept."""
    return path.with_name(f"{path.name}.last")


def _open(path: str, flags: int) -> int:
    """It may be anything that somebody has put there: nothing is followed or waited for."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
