"""The locks that make a sender the only one of a checkpoint file, and how it notices their loss.

There are two: a file beside the checkpoint, which names the holder, and one on the file itself, which no
other name circumvents. Both end with the process.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bulk_invite.checkpoint.storage.file_identity import WatchedFiles, inode_of, log_of
from bulk_invite.checkpoint.storage.holder import clear, sign, signed
from bulk_invite.checkpoint.storage.inode_lock import InodeLock, is_locked, present_place
from bulk_invite.checkpoint.storage.saved_copy import save
from bulk_invite.checkpoint.storage.sqlite_checks import describe_holder
from bulk_invite.domain.errors import CheckpointError, CheckpointHeldError
from bulk_invite.domain.holder import Holder

_PATIENCE: Final = 1.0
"""Seconds to wait for the lock: `status` takes it for an instant to see whether a sender is running."""


class SenderLock:
    """The locks on the file at `path`, which the operator called `named`. name: display name for errors."""

    def __init__(self, path: Path, named: Path, name: str) -> None:
        self._path = path
        self._named = named
        self._name = name
        self.lock_file = path.with_name(f"{path.name}.lock")
        self._files = WatchedFiles(())
        self._itself: InodeLock | None = None
        self._lost: CheckpointError | None = None
        self._is_signed = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock file. Raises CheckpointError, and CheckpointHeldError while another sender has it."""
        lock = self._lock()
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            # Also raised if the file cannot be created, as in /proc.
            if inode_of(self.lock_file) is None:
                raise self._cannot_lock("no file can be created in that directory") from None
            raise CheckpointHeldError(self._name, self.holder()) from None
        except OSError as error:
            raise self._cannot_lock(error.strerror or type(error).__name__) from error
        try:
            yield
        finally:
            if self._is_signed:
                clear(self.lock_file)
            lock.release()

    def expect(self) -> None:
        """Prepare for SQLite to open the file."""
        inode = inode_of(self._path)
        self._itself = InodeLock(inode) if inode else None

    def lock_itself(self) -> None:
        """Lock the file that SQLite has just opened. Raises CheckpointHeldError."""
        if self._itself and not self._itself.take():
            raise CheckpointHeldError(self._name)

    def watch(self) -> None:
        """Require from now on that the files stay the same: SQLite has opened all of them."""
        sign(self.lock_file)
        self._is_signed = True
        beside = (log_of(self._path), self._path.with_name(f"{self._path.name}-shm"))
        self._files = WatchedFiles((self._path, *beside, self.lock_file, self._named), growing=self._path)

    def release(self) -> None:
        if self._itself:
            self._itself.release()

    def is_in_place(self) -> bool:
        """Whether the files are those that were opened and the lock is ours. Takes some microseconds."""
        return self._lost is None and not self._files.changed() and (not self._itself or self._itself.take())

    def lost(self, held: sqlite3.Connection) -> CheckpointError:
        """The error for a lost file; saves the open data if it may no longer be found by name."""
        if self._lost is None:
            changed = self._files.changed()
            self._lost = self._told(changed, held) if changed else CheckpointHeldError(self._name)
        return self._lost

    def is_taken(self) -> bool | None:
        """Whether a sender holds the lock now; None if unknown."""
        inode = inode_of(self._path)
        if inode and is_locked(inode):
            return True
        return self._is_lock_file_taken()

    def holder(self) -> Holder:
        # A sender that was killed has left its signature.
        named = signed(self.lock_file) if self._is_lock_file_taken() else None
        return named or Holder(describe_holder(self.lock_file))

    def _is_lock_file_taken(self) -> bool | None:
        if inode_of(self.lock_file) is None:
            return False
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # only its owner may open it
            return None
        lock.release()
        return False

    def _lock(self) -> FileLock:
        # thread_local False: acquired on one thread, released on another.
        return FileLock(self.lock_file, mode=0o600, thread_local=False)

    def _cannot_lock(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"The lock file {self.lock_file} of the checkpoint cannot be written: {why}.",
            hint="Make sure that the directory exists and is writable, or name another --checkpoint.",
        )

    def _told(self, changed: list[Path], held: sqlite3.Connection) -> CheckpointError:
        what = f"{changed[0]} was moved, removed, replaced or truncated while in use"
        if not {self._path, log_of(self._path)} & {*changed}:
            hint = (
                f"Nothing is lost: {self._path} is complete. Leave the files beside it alone and continue "
                "with it."
            )
            return CheckpointError(
                f"The checkpoint {self._name} changed while it was open: {what}.", hint=hint
            )
        inode = self._files.known(self._path)
        present = present_place(inode) if inode else None
        folders = [self._path.parent, *([present.parent] if present else []), Path()]
        hint = _mend(save(held, self._path.name, folders))
        if present not in {None, self._path}:
            hint += f" The file is now at {present}."
        return CheckpointError(f"The checkpoint {self._name} is no longer in its place: {what}.", hint=hint)


def _mend(saved: Path | None) -> str:
    if saved is None:
        return (
            "Its data could not be saved: restore it together with its -wal file. Starting over would send "
            "every invitation again."
        )
    place = shlex.quote(str(saved.absolute()))
    return (
        f"All its data is saved: continue with --checkpoint {place}. With a new one or an older copy, rows "
        "would be sent again."
    )
