"""External checks of a checkpoint file: who holds it, and whether a sender could use it."""

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


def describe_holder(lock: Path) -> str:
    """Describe the holder of the lock on a file."""
    process = flock_holder(lock)
    if process is None:
        return "a process not visible from here, such as one in another container"
    return f"process {process} of {socket.gethostname()}"


def flock_holder(path: Path) -> int | None:
    """The process that holds the lock on a file, from the system's list.

    None if it is not visible, as from another container, or the system has no such list.
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
    """Raise CheckpointError if an existing path is not writable."""
    for path in paths:
        needed = os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, needed, effective_ids=True):
            raise CheckpointError(
                f"The checkpoint {name} cannot be written because {path} is not writable.",
                hint="Make it writable for the user that sends, or name another file with --checkpoint.",
            )


def require_room(folder: Path, name: str) -> None:
    """Raise CheckpointError if no file can be created in a directory. Leaves nothing behind."""
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {name} cannot be created in {folder}: {error.strerror}.",
            hint="Name another file with --checkpoint.",
        ) from error


def require_folder(path: Path, name: str) -> None:
    if not path.parent.is_dir():
        raise CheckpointError(
            f"The directory of the checkpoint {name} does not exist.",
            hint=(
                "Create it, or name another file with --checkpoint. If it existed before, find it first: a "
                "new checkpoint would send every invitation again."
            ),
        )


def require_whole(path: Path, name: str) -> None:
    """Raise CheckpointError if the file is empty or missing while remains of an earlier one lie beside it.

    SQLite would discard the log, and every row would be sent again.
    """
    if has_content(path):
        return
    if saved := saved_of(path):
        raise CheckpointError(
            f"The checkpoint {name} is empty or missing: a run lost it and saved {saved[-1]}.",
            hint=(
                f"Continue with --checkpoint {saved[-1]}, or move that file away to start over, which sends "
                "every invitation again."
            ),
        )
    if has_content(log := log_of(path)):
        raise CheckpointError(
            f"The checkpoint {name} is empty or missing, but {log.name} beside it is not.",
            hint=f"{RESTORE} The two files belong together.",
        )


def create_private(path: Path, name: str) -> None:
    """Create a file that only its owner can read; SQLite gives its companion files the same mode.

    An existing file is not opened: closing it would release all locks that this process has on it (POSIX
    locks belong to the process), those of an ongoing read and of the sender after it.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.stat()  # symbolic links may form a loop
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {name} cannot be opened: {error.strerror}.",
            hint=(
                "Make sure that the directory exists and is writable, or name another file with --checkpoint."
            ),
            retryable=error.errno == errno.ENOSPC,
        ) from error
