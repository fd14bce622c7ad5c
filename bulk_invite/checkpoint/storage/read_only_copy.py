"""A checkpoint in a file that is only looked at, also where nothing may be written beside it.

All who have an SQLite database with a write-ahead log open share a file beside it (-shm). Who may not make it
cannot open a database that nobody else has open, though he only reads. To call it immutable would be to
overlook a sender that begins meanwhile. So a copy is read, of the database and its log as they were at one
moment: neither was touched from before they were read until after it, or they are read again.
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
"""Seconds to wait for SQLite's own locks; readers hold them for moments only."""

_WANT_A_FILE: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}

_TRIES: Final = 20

_PAUSE: Final = 0.25
"""Seconds between two tries, and how old a change must be to be told from the next by its time."""


def open_to_look(path: Path, name: str) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time; name: of the checkpoint, in errors.

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
        f"The checkpoint {name} is being written to, in a folder where this user may not write.",
        hint="Run the same command later, or as the user that sends.",
        retryable=True,
    )


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode={mode}"
    # isolation_level None: transactions are begun by who reads.
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA schema_version").fetchone()  # by this all its files are open
        undo.pop_all()
    return connection


def _needs_copy(path: Path) -> bool:
    if os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        return False  # it is another fault, which a copy would only hide
    # Who has it open must not read it himself: to close it would free all locks that SQLite has on it here.
    inode = inode_of(path)
    return inode is not None and not descriptors_of(inode)


def _opened_copy(path: Path) -> sqlite3.Connection | None:
    """None where the files have changed meanwhile, or so shortly before that nobody could tell."""
    with TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / "copy.db"
        before = _state(path)
        for source, target in ((path, copy), (log_of(path), log_of(copy))):
            if source.exists():
                shutil.copyfile(source, target)
        if before is None or _state(path) != before:
            return None
        # SQLite has the copy open: it is there for it until the end, and no longer, whatever that is.
        return _opened(copy, "rw")


def _state(path: Path) -> tuple[tuple[int, int, int] | None, ...] | None:
    """What shows that they are written to; None where the last time is too new to be told from the next."""
    found = [_stat(each) for each in (path, log_of(path))]
    last = max((each.st_mtime_ns for each in found if each), default=0)
    if abs(time.time_ns() - last) < _PAUSE * 1e9:
        return None
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) if each else None for each in found)


def _stat(path: Path) -> os.stat_result | None:
    try:
        # Opened for it: a network file system asks its server then, and tells what it remembers else.
        with path.open("rb") as file:
            return os.fstat(file.fileno())
    except FileNotFoundError:
        return None


def _no_copy(name: str, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {name} is in a folder where this user may not write, and cannot be copied to "
        f"{gettempdir()} to be read there: {error.strerror}.",
        hint="Make room there, name another folder in TMPDIR, or run it as the user that sends.",
    )
