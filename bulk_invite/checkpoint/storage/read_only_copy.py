"""Read a checkpoint file without writing, even in a directory that is not writable.

Every process that opens an SQLite database with a write-ahead log shares a file beside it (-shm). A user who
may not create that file cannot even read a database that no other process has open. Opening it as immutable
would overlook a sender that starts in the meantime. So we read a copy of the database and its log as of one
moment: if either changed while they were being copied, they are copied again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from bulk_invite.checkpoint.storage.file_identity import inode_of, log_of
from bulk_invite.checkpoint.storage.inode_lock import descriptors_of
from bulk_invite.domain.errors import CheckpointError

BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for SQLite's own locks; readers hold them only for moments."""

_WANT_A_FILE: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}

_TRIES: Final = 20

_PAUSE: Final = 0.25
"""Seconds between two tries, and the age from which a change can be told from the next one by its time."""


def open_to_look(path: Path, name: str) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time. name: of the checkpoint, for errors.

    Raises CheckpointError and sqlite3.Error.
    """
    # A reader may have to recover the log after a crash, which takes write access.
    mode = "rw" if os.access(path, os.W_OK, effective_ids=True) else "ro"
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        try:
            return _opened(path, mode)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _WANT_A_FILE or not _needs_copy(path):
                raise
        try:
            copied = _opened_copy(path)
        except OSError as error:
            raise _no_copy(name, error) from error
        if copied is not None:
            return copied
    raise CheckpointError(
        f"The checkpoint {name} is being written to, in a directory where this user may not write.",
        hint="Run the same command later, or as the user that sends.",
        retryable=True,
    )


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode={mode}"
    # isolation_level None: the reader begins its own transactions.
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA schema_version").fetchone()  # this opens all its files
        undo.pop_all()
    return connection


def _needs_copy(path: Path) -> bool:
    if os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        return False  # a copy would only hide this fault
    # Never copy a file that this process has open: closing the copy's descriptor would release SQLite's
    # locks.
    inode = inode_of(path)
    return inode is not None and not descriptors_of(inode)


def _opened_copy(path: Path) -> sqlite3.Connection | None:
    """None if the files have changed in the meantime, or too recently to tell."""
    with TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / "copy.db"
        before = _state(path)
        for source, target in ((path, copy), (log_of(path), log_of(copy))):
            if source.exists():
                shutil.copyfile(source, target)
        if before is None or _state(path) != before:
            return None
        # SQLite keeps the copy open, so its files can be removed now.
        return _opened(copy, "rw")


def _state(path: Path) -> tuple[tuple[int, int, int] | None, ...] | None:
    """What reveals writes; None if the last one is too recent to tell it from the next."""
    found = [_stat(each) for each in (path, log_of(path))]
    last = max((each.st_mtime_ns for each in found if each), default=0)
    if abs(time.time_ns() - last) < _PAUSE * 1e9:
        return None
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) if each else None for each in found)


def _stat(path: Path) -> os.stat_result | None:
    try:
        # Open the file for it: a network file system asks its server then, instead of its cache.
        with path.open("rb") as file:
            return os.fstat(file.fileno())
    except FileNotFoundError:
        return None


def _no_copy(name: str, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {name} is in a directory where this user may not write, and cannot be copied to "
        f"{gettempdir()} for reading: {error.strerror}.",
        hint="Free space there, name another directory in TMPDIR, or run the command as the user that sends.",
    )
