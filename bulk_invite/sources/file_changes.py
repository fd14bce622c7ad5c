"""Detect changes of a file while it is being read.

A file that is overwritten in place holds rows of two versions, and at the write position a row of two halves.
So the file is examined after each block, before the block is used: a write since the last look has changed
the modification time, because a file system sets that before it copies the first byte.

Three cases need more than the time. A file that has only grown also has a new time: then its beginning, the
last part read and the new block are read again and must be unchanged. The same applies if only the inode has
changed (`ctime`: renamed, replaced, linked; or written to with its time reset). And if the clock has not
advanced since the last write, the next write would get the same time: reading begins once it has, and if a
later look comes as early, the bytes are compared again.

Not detected: writes through mapped memory until the kernel notices them, and on a network share what its
server does not report.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bulk_invite.sources.file_errors import BLOCK_BYTES
from bulk_invite.sources.interruptible_wait import STOP_CHECK
from bulk_invite.sources.lines import MAX_LINE_BYTES

_IS_LINUX: Final = sys.platform == "linux"

_LINUX_REALTIME_COARSE: Final = 5
"""The clock that Linux file systems take their times from; the time module has no name for it."""

_TICK: Final = 0.002
"""Seconds between two looks at that clock, which advances by 1 to 10 ms at a time."""

_MOMENT: Final = 0.03
"""Seconds in which that clock has advanced, and the write of a line has ended."""

_FINE: Final = 20_000_000
_COARSE: Final = 2_000_000_000
"""Nanoseconds within which a time may repeat; some file systems keep whole seconds, or two (FAT)."""


class FileChangedError(Exception):
    """The message continues a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class _Look:
    """sure: whether every later change of the file gets another time."""

    size: int
    modified: int
    changed: int
    sure: bool


class ChangeWatch:
    """Watches the regular file `fd`, which is read block by block from its current position.

    has_grown: since then. Raises OSError like the file system.
    """

    def __init__(self, fd: int) -> None:
        self.has_grown = False
        self._fd = fd
        self._begin = self._end = os.lseek(fd, 0, os.SEEK_CUR)
        self._first = b""
        self._recent: deque[bytes] = deque()
        self._recent_bytes = 0
        self._opened = _now()
        self._last = self._look()

    def settles_in(self) -> float:
        """Seconds to wait before the first `check` and the reading; 0 for most files."""
        last = self._last
        # A time in the future comes from another clock: waiting for it would not help.
        left = min(last.modified, self._opened) + _resolution(last.modified) - _now()
        return 0.0 if last.sure or left <= 0 else max(left / 1e9, _TICK)

    @property
    def is_at_rest(self) -> bool:
        """Whether the file does not seem to be written to."""
        return self._last.sure and not self.has_grown

    def check(self, block: bytes) -> bool:
        """Examine the file after reading a block (b"": at its end); return whether it has grown since.

        FileChangedError: the file was changed or replaced, and the block must not be used.
        """
        last, look = self._last, self._look()
        if look.size == last.size and look.modified != last.modified:
            # Appending changes the time first, and the size when the bytes have been written.
            time.sleep(_MOMENT)
            look = self._look()
            if look.size == last.size:
                raise FileChangedError("was overwritten while it was read")
        if look.size < last.size:
            raise FileChangedError("was truncated while it was read")
        if (look != last or not last.sure) and not self._is_as_read(block):
            raise FileChangedError("was overwritten while it was read")
        self._last = look
        self.has_grown = self.has_grown or look.size > last.size
        self._remember(block)
        return look.size > last.size

    def _look(self) -> _Look:
        now = _now()
        found = os.fstat(self._fd)
        sure = found.st_mtime_ns + _resolution(found.st_mtime_ns) <= now
        return _Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, sure)

    def _is_as_read(self, block: bytes) -> bool:
        at = self._end - self._recent_bytes
        for piece in (*self._recent, block):
            if os.pread(self._fd, len(piece), at) != piece:
                return False
            at += len(piece)
        return os.pread(self._fd, len(self._first), self._begin) == self._first

    def _remember(self, block: bytes) -> None:
        """Keep the beginning, and of the rest as much as the longest line that may have begun in it."""
        self._first = self._first or block
        self._end += len(block)
        self._recent.append(block)
        self._recent_bytes += len(block)
        while self._recent_bytes - len(self._recent[0]) >= MAX_LINE_BYTES:
            self._recent_bytes -= len(self._recent.popleft())


def unchanged_blocks(fd: int) -> Iterator[bytes]:
    """Read a regular file to its end; yield an empty block while waiting.

    FileChangedError is raised in place of a block that may mix two versions.
    """
    watch = ChangeWatch(fd)
    while seconds := watch.settles_in():
        time.sleep(min(seconds, STOP_CHECK))
        watch.check(b"")
        yield b""
    has_waited = False
    while True:
        block = os.read(fd, BLOCK_BYTES)
        is_end = not watch.check(block) and not block
        if block:
            yield block
        elif is_end and (has_waited or watch.is_at_rest):
            return
        elif is_end:  # a write shows before it is complete: examine recent changes again
            time.sleep(_MOMENT)
        has_waited = is_end


def _now() -> int:
    """Nanoseconds since the epoch, by the clock that dates writes."""
    return time.clock_gettime_ns(_LINUX_REALTIME_COARSE) if _IS_LINUX else time.time_ns()


def _resolution(modified: int) -> int:
    """Nanoseconds after a modification until another one is certain to get another time."""
    if modified % 1_000_000_000 == 0:
        return _COARSE
    return 1 if _IS_LINUX else _FINE
