"""A checkpoint in a file, looked at from outside: who holds it, and whether one could send by it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from bulk_invite.checkpoint.storage.base import RESTORE
from bulk_invite.checkpoint.storage.file_identity import has_content, log_of
from bulk_invite.checkpoint.storage.saved_copy import saved_of
from bulk_invite.domain.errors import CheckpointError

_LOCKS: Final = Path("/proc/locks")


def holder_told(lock: Path) -> str:
    """Who holds the lock on a file, for the operator."""
    process = flock_holder(lock)
    if process is None:
        return "a process that cannot be seen from here, such as one of another container"
    return f"process {process} of {socket.gethostname()}"


def flock_holder(path: Path) -> int | None:
    """The process that holds the lock on a file, from the list of the system.

    None where it is not to be seen, as from another container, and where the system has no such list.
    """
    try:
        found, lines = path.stat(), _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        match line.split():
            case [_, "FLOCK", _, "WRITE", process, where, *_] if where == file and process.isdecimal():
                return int(process) or None
            case _:
                pass
    return None


def require_writable(paths: Iterable[Path], name: str) -> None:
    """Raise CheckpointError for a path that is there and may not be written to."""
    for path in paths:
        needed = os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, needed, effective_ids=True):
            raise CheckpointError(
                f"The checkpoint {name} cannot be written to, because {path} cannot.",
                hint="Make it writable for the user that sends, or name another file with --checkpoint.",
            )


def require_room(folder: Path, name: str) -> None:
    """Raise CheckpointError for a folder where no file can be made. Nothing stays there."""
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {name} cannot be made in {folder}: {error.strerror}.",
            hint="Name another file with --checkpoint.",
        ) from error


def require_folder(path: Path, name: str) -> None:
    if not path.parent.is_dir():
        raise CheckpointError(
            f"The folder of the checkpoint {name} does not exist.",
            hint="Make it, or name another file with --checkpoint; where it was there before, find it first, "
            "for a new one would send again.",
        )


def require_whole(path: Path, name: str) -> None:
    """Raise CheckpointError for an empty file, or none, beside what is left of the one that was there.

    SQLite would throw a log away, and all would be sent again.
    """
    if has_content(path):
        return
    if saved := saved_of(path):
        raise CheckpointError(
            f"The checkpoint {name} is empty or gone: it was lost during a run, which saved {saved[-1]}.",
            hint=f"Go on with --checkpoint {saved[-1]}, or move that away if you mean to start over: all "
            "would be sent again.",
        )
    if has_content(log := log_of(path)):
        raise CheckpointError(
            f"The checkpoint {name} is empty or gone, but {log.name} beside it is not.",
            hint=f"{RESTORE} The two belong together.",
        )


def create_private(path: Path, name: str) -> None:
    """Create a file readable by its owner only; SQLite gives its companions the same mode.

    One that is there is not opened: to close it would free all locks that this process has on it (POSIX locks
    are the process's, whoever took them), those of a look that goes on and of the sender after it.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.stat()  # links may lead in a ring
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {name} cannot be opened: {error.strerror}.",
            hint="Make sure that the folder exists and is writable, or name another file with --checkpoint.",
            retryable=error.errno == errno.ENOSPC,
        ) from error
