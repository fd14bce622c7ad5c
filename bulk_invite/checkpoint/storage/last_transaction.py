"""A record of the last transaction outside the checkpoint, which reveals outdated copies.

For a file, it is another file beside it. It is written after each commit, so it is never ahead of its
checkpoint, and restoring an older copy of the checkpoint leaves it in place. It is lost with the directory,
and copying both files gives two that agree.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from bulk_invite.checkpoint.tables.values import Generation, Stamp
from bulk_invite.domain.errors import CheckpointError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LENGTH: Final = 256
"""Size of the file in bytes, always: an in-place write stays within one sector, so it is old or new."""


class LastTransaction(Protocol):
    """beside: name of the file beside the checkpoint; "" if there can be none."""

    beside: str

    def known(self) -> Generation | None:
        """The recorded transaction; None if there is no record or it cannot be read."""

    def keep(self, generation: Generation) -> None:
        """Record it, after the commit. Raises CheckpointError."""

    def close(self) -> None:
        """Stop recording."""

    def stamp(self, connection: Connection) -> Stamp:
        """Data stored with every generation that identifies its database."""

    def copy_evidence(self, connection: Connection) -> str:
        """Return why that data reveals a copy that may lack transactions, or ""."""

    def risk(self, connection: Connection) -> str:
        """Return which committed data may be lost, for the operator, or ""."""


class LastTransactionFile:
    """Created and synced to disk by the first `keep`; later writes survive the process, not the machine."""

    def __init__(self, path: Path) -> None:
        """path: the file beside the checkpoint."""
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
        text = orjson.dumps(generation).ljust(_LENGTH - 1) + b"\n"
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
                hint="Make it and its directory writable, free disk space, and run the same command again.",
                retryable=error.errno == errno.ENOSPC,
            ) from error

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def stamp(self, connection: Connection) -> Stamp:
        """Nothing inside a file distinguishes it from its copies."""
        del connection
        return {}

    def copy_evidence(self, connection: Connection) -> str:
        del connection
        return ""

    def risk(self, connection: Connection) -> str:
        del connection
        return ""


def beside(path: Path) -> Path:
    """The path of the record beside a checkpoint file."""
    return path.with_name(f"{path.name}.last")


def _open(path: str, flags: int) -> int:
    """It may be anything: do not follow links and do not wait."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
