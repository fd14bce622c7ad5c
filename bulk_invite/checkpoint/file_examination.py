"""A checkpoint in a file, looked at from outside: who holds it, and whether one could send by it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bulk_invite.errors import CheckpointError

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
