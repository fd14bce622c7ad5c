"""A lock on a file itself, whatever it is called: on the very descriptor by which SQLite has it open.

One of our own would not do: to close it would free all locks that SQLite has on that file in this process
(POSIX locks are the process's). The lock of an open file description is not in their way: it is on a byte far
behind all that SQLite uses, excludes others of this process too, and ends with SQLite's connection.
Only Linux has it, and not on every file system: elsewhere the lock file beside it has to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulk_invite.checkpoint.storage.file_identity import Inode, inode_of

_DESCRIPTORS: Final = Path("/proc/self/fd")

_SET: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_GET: Final[int | None] = getattr(fcntl, "F_OFD_GETLK", None)

_FLOCK: Final = "hhqqi0q"
"""Type, whence, start, length, process, as Linux has them; the last is nobody's."""

_BYTE: Final = 1 << 62

_TAKEN: Final = (errno.EAGAIN, errno.EACCES)


class InodeLock:
    """Of a file that SQLite is about to open in this process."""

    def __init__(self, inode: Inode) -> None:
        self._inode = inode
        self._of_others = descriptors_of(inode)
        self._descriptor: int | None = None
        self._is_possible = _SET is not None

    def take(self) -> bool:
        """Take it, or see that it is ours; False while it is another's. True where there is no such lock."""
        if _SET is None or not self._is_possible:
            return True
        for descriptor in self._candidates():
            try:
                fcntl.fcntl(descriptor, _SET, _flock(fcntl.F_WRLCK))
            except OSError as error:
                if error.errno in _TAKEN:
                    return False
            else:
                self._descriptor = descriptor
                return True
        self._is_possible = False
        return True

    def release(self) -> None:
        """SQLite may keep the descriptor for a while, where others of this process have the file open."""
        if _SET is not None and self._descriptor is not None and self._is_ours(self._descriptor):
            with suppress(OSError):
                fcntl.fcntl(self._descriptor, _SET, _flock(fcntl.F_UNLCK))
        self._descriptor = None

    def _candidates(self) -> list[int]:
        """The descriptor that has it, else what was opened since, else what SQLite uses once more."""
        if self._descriptor is not None and self._is_ours(self._descriptor):
            return [self._descriptor]
        found = descriptors_of(self._inode)
        return [each for each in found if each not in self._of_others] or found

    def _is_ours(self, descriptor: int) -> bool:
        return _inode(descriptor) == self._inode


def is_locked(inode: Inode) -> bool:
    """Whether a sender has the lock of a file, as far as that is seen by the descriptors of this process."""
    return _GET is not None and any(_is_refused(each, _GET) for each in descriptors_of(inode))


def descriptors_of(inode: Inode) -> list[int]:
    """By which this process has a file open; none where the system has no list of them."""
    try:
        found = [int(each.name) for each in _DESCRIPTORS.iterdir()]
    except OSError:
        return []
    return sorted(each for each in found if _inode(each) == inode)


def present_place(inode: Inode) -> Path | None:
    """Where a file is by now that this process has open; None where that cannot be told, or nowhere."""
    for descriptor in descriptors_of(inode):
        with suppress(OSError):
            place = (_DESCRIPTORS / str(descriptor)).readlink()
            return place if inode_of(place) == inode else None
    return None


def _is_refused(descriptor: int, get: int) -> bool:
    try:
        found = fcntl.fcntl(descriptor, get, _flock(fcntl.F_WRLCK))
    except OSError:
        return False
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _inode(descriptor: int) -> Inode | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, _BYTE, 1, 0)
