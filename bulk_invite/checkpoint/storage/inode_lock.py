"""A lock on the checkpoint file itself, under any name: on the descriptor with which SQLite has it open.

A descriptor of our own would not do: closing it would release all of SQLite's locks on that file in this
process (POSIX locks belong to the process). A lock on the open file description does not interfere: it covers
a byte far beyond those that SQLite uses, excludes other descriptors of this process too, and ends with
SQLite's connection. Only Linux has it, and not on every file system; elsewhere the lock file beside the
checkpoint must do.
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
"""struct flock of Linux: type, whence, start, length, process; the last one is unused."""

_BYTE: Final = 1 << 62

_TAKEN: Final = (errno.EAGAIN, errno.EACCES)


class InodeLock:
    """The lock on a file that SQLite is about to open in this process."""

    def __init__(self, inode: Inode) -> None:
        self._inode = inode
        self._of_others = descriptors_of(inode)
        self._descriptor: int | None = None
        self._is_possible = _SET is not None

    def take(self) -> bool:
        """Acquire it, or confirm that it is ours; False while another holds it.

        True if such locks do not exist.
        """
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
        """SQLite may keep the descriptor for a while if this process has the file open elsewhere."""
        if _SET is not None and self._descriptor is not None and self._is_ours(self._descriptor):
            with suppress(OSError):
                fcntl.fcntl(self._descriptor, _SET, _flock(fcntl.F_UNLCK))
        self._descriptor = None

    def _candidates(self) -> list[int]:
        """The locked descriptor, otherwise the newly opened ones, otherwise those that SQLite reuses."""
        if self._descriptor is not None and self._is_ours(self._descriptor):
            return [self._descriptor]
        found = descriptors_of(self._inode)
        return [each for each in found if each not in self._of_others] or found

    def _is_ours(self, descriptor: int) -> bool:
        return _inode(descriptor) == self._inode


def is_locked(inode: Inode) -> bool:
    """Whether a sender has locked a file, as far as the descriptors of this process show."""
    return _GET is not None and any(_is_refused(each, _GET) for each in descriptors_of(inode))


def descriptors_of(inode: Inode) -> list[int]:
    """The descriptors with which this process has a file open; none if the system has no list of them."""
    try:
        found = [int(each.name) for each in _DESCRIPTORS.iterdir()]
    except OSError:
        return []
    return sorted(each for each in found if _inode(each) == inode)


def present_place(inode: Inode) -> Path | None:
    """The current path of a file that this process has open; None if unknown or deleted."""
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
