"""What makes a sender the only one of a checkpoint in a file, and what it notices when that is no longer so.

Two locks: a file beside it, which tells who the holder is; and one on the
file itself, which no other name leads around. Both end with the process.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bulk_invite.checkpoint.storage.file_identity import Files, inode_of, log_of
from bulk_invite.checkpoint.storage.inode_lock import InodeLock, is_locked, present_place
from bulk_invite.checkpoint.storage.saved_copy import save
from bulk_invite.checkpoint.storage.sqlite_checks import holder_told
from bulk_invite.domain.errors import CheckpointError, CheckpointHeldError

_PATIENCE: Final = 1.0
"""Seconds to wait for the lock: `status` takes it for an instant to see whether a sender is alive."""


class Hold:
    """Of the file at `path`, which the operator names `named`; name: what errors call the checkpoint."""

    def __init__(self, path: Path, named: Path, name: str) -> None:
        self._path = path
        self._named = named
        self._name = name
        self.lock_file = path.with_name(f"{path.name}.lock")
        self._files = Files(())
        self._itself: InodeLock | None = None
        self._lost: CheckpointError | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """With the lock file. Raises CheckpointError, and CheckpointHeldError while another has it."""
        lock = self._lock()
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            # It also comes where the file cannot be made for want of a place, as in /proc.
            if inode_of(self.lock_file) is None:
                raise self._cannot_lock("no file can be made in that folder") from None
            raise CheckpointHeldError(self._name) from None
        except OSError as error:
            raise self._cannot_lock(error.strerror or type(error).__name__) from error
        try:
            yield
        finally:
            lock.release()

    def expect(self) -> None:
        """SQLite is about to open the file."""
        inode = inode_of(self._path)
        self._itself = InodeLock(inode) if inode else None

    def lock_itself(self) -> None:
        """Lock the file, which SQLite has open now. Raises CheckpointHeldError."""
        if self._itself and not self._itself.take():
            raise CheckpointHeldError(self._name)

    def watch(self) -> None:
        """From now on the files are to stay what they are: SQLite has all of them open."""
        beside = (log_of(self._path), self._path.with_name(f"{self._path.name}-shm"))
        self._files = Files((self._path, *beside, self.lock_file, self._named), growing=self._path)

    def release(self) -> None:
        if self._itself:
            self._itself.release()

    def is_in_place(self) -> bool:
        """Whether the files are those that were opened, and the lock is ours. Some microseconds."""
        return self._lost is None and not self._files.changed() and (not self._itself or self._itself.take())

    def lost(self, held: sqlite3.Connection) -> CheckpointError:
        """Why it is not in place; what `held` holds is saved where it may not be found by its name."""
        if self._lost is None:
            changed = self._files.changed()
            self._lost = self._told(changed, held) if changed else CheckpointHeldError(self._name)
        return self._lost

    def is_taken(self) -> bool | None:
        """Whether a sender has it at this moment; None where that cannot be known."""
        inode = inode_of(self._path)
        if inode and is_locked(inode):
            return True
        if inode_of(self.lock_file) is None:
            return False
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # it is its owner's
            return None
        lock.release()
        return False

    def holder(self) -> str:
        return holder_told(self.lock_file)

    def _lock(self) -> FileLock:
        # thread_local False: taken on one thread, given back on another.
        return FileLock(self.lock_file, mode=0o600, thread_local=False)

    def _cannot_lock(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"The lock file {self.lock_file} of the checkpoint cannot be written: {why}.",
            hint="Make sure that the folder exists and is writable, or name another --checkpoint.",
        )

    def _told(self, changed: list[Path], held: sqlite3.Connection) -> CheckpointError:
        what = f"{changed[0]} was moved, removed or replaced while it was in use, or cut short"
        if not {self._path, log_of(self._path)} & {*changed}:
            hint = (
                f"Nothing is lost: {self._path} is complete. Leave what is beside it alone, and go on by it."
            )
            return CheckpointError(f"The checkpoint {self._name} is not as it was opened: {what}.", hint=hint)
        inode = self._files.known(self._path)
        present = present_place(inode) if inode else None
        folders = [self._path.parent, *([present.parent] if present else []), Path()]
        hint = _mend(save(held, self._path.name, folders))
        if present not in {None, self._path}:
            hint += f" The file itself is {present} by now."
        return CheckpointError(f"The checkpoint {self._name} has gone from its place: {what}.", hint=hint)


def _mend(saved: Path | None) -> str:
    if saved is None:
        return (
            "What it held could not be saved: restore it, together with the -wal file beside it. Starting "
            "over would send again."
        )
    place = shlex.quote(str(saved.absolute()))
    return (
        f"All that it held is saved: go on with --checkpoint {place}. By a new one, or an older copy, it "
        "would be sent again."
    )
