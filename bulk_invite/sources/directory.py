"""A directory whose files are read as they come.

A file is read when it has been left alone for some time, and again, as a whole, when it has changed: the
tokens of its rows keep what was sent from being sent again. So is every file after a restart. What is held
is a signature per file. The safe way to bring one is under another name (`.tmp`, `.partial`, a leading dot),
to be renamed when it is complete.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import structlog

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import Row
from bulk_invite.sources.file_errors import printable, reason, unopened
from bulk_invite.sources.interruptible_wait import wait
from bulk_invite.sources.ndjson import NdjsonSource

_log = structlog.get_logger()

SUFFIXES: Final = (".ndjson", ".ndjson.gz", ".ndjson.zst", ".jsonl")

_READ_ERROR_AGAIN: Final = 60.0
"""Seconds until a file is tried again that the disk would not give."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """Two that are equal are of the same content. changed: also when permission is given."""

    size: int
    modified: int
    changed: int
    inode: int


@dataclass(slots=True)
class _Known:
    """since: when it was seen first like that, on the monotonic clock."""

    signature: _Signature
    since: float
    done: bool = False


class FollowedDirectory:
    """The files of one directory, in the order in which they were modified.

    name: as the operator named it. lines, consumed: of the files that were read, some of them repeatedly.
    answering: whether the directory could be looked into the last time.
    """

    has_keys = False
    size: int | None = None

    def __init__(self, path: str, *, poll: float = 5.0, settle: float = 2.0) -> None:
        """Look into it. SourceError says why that is not possible.

        poll: seconds between two looks. settle: seconds for which a file has to be left alone.
        """
        self.poll = poll
        self.settle = settle
        self.name = printable(path)
        self.lines = self.consumed = 0
        self.answering = True
        self._path = path
        self._known: dict[str, _Known] = {}
        try:
            os.scandir(path).close()
        except (OSError, ValueError) as exc:
            raise unopened(self.name, exc) from exc

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None = None
    ) -> Generator[tuple[list[Row], None]]:
        """The rows of all files, and of those that come or change later, until a stop.

        An empty list says that all files have been read. There are no marks: the next following begins
        with all files. What cannot be read is told in the log and tried again when it has changed.
        """
        del mark
        self._known = {}
        while not stop():
            if self._looked():
                for path in self._settled():
                    yield from self._read(path, max_rows, max_bytes, stop)
                if stop():
                    return
                if self._all_read():
                    yield [], None
            wait(self._pause(), stop)

    def _looked(self) -> bool:
        """Whether it is there; what its files look like is known then."""
        try:
            with os.scandir(self._path) as entries:
                found = {entry.path: signature for entry in entries if (signature := _signature(entry))}
        except OSError as exc:
            if self.answering:
                _log.warning("source.unreachable", source=self.name, reason=reason(exc))
            self.answering = False
            return False
        self.answering = True
        now = time.monotonic()
        for path in self._known.keys() - found.keys():
            del self._known[path]
        for path, signature in found.items():
            known = self._known.get(path)
            if known is None or known.signature != signature:
                self._known[path] = _Known(signature, now)
        return True

    def _settled(self) -> list[str]:
        latest = time.monotonic() - self.settle
        ready = [path for path, known in self._known.items() if not known.done and known.since <= latest]
        return sorted(ready, key=lambda path: (self._known[path].signature.modified, path))

    def _all_read(self) -> bool:
        """But for those whose disk does not let them be read for now."""
        now = time.monotonic()
        return all(known.done or known.since > now for known in self._known.values())

    def _pause(self) -> float:
        """Seconds until something may be there to be read."""
        waiting = [known.since for known in self._known.values() if not known.done]
        soonest = min(waiting, default=0.0) + self.settle - time.monotonic()
        return min(self.poll, max(soonest, 0.0)) if waiting and self.answering else self.poll

    def _read(
        self, path: str, max_rows: int, max_bytes: int, stop: Callable[[], bool]
    ) -> Generator[tuple[list[Row], None]]:
        known = self._known[path]
        changed = False

        def broken_off() -> bool:
            # Who still writes has not ended his last line: it is read again when he has.
            nonlocal changed
            changed = changed or _signature_of(path) != known.signature
            return changed or stop()

        try:
            source = NdjsonSource(path)
            with closing(source.batches(max_rows, max_bytes, broken_off)) as batches:
                for rows in batches:
                    yield rows, None
            self.lines += source.lines
            self.consumed += source.consumed
        except SourceError as error:
            if broken_off():  # moved away or written to: another look tells
                return
            _log.warning("source.unreadable", source=printable(path), reason=str(error))
            if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, PermissionError):
                known.since = time.monotonic() + _READ_ERROR_AGAIN
                return
        known.done = not changed


def _signature(entry: os.DirEntry[str]) -> _Signature | None:
    if entry.name.startswith(".") or not entry.name.endswith(SUFFIXES):
        return None
    return _signature_of(entry.path)


def _signature_of(path: str) -> _Signature | None:
    """None where there is no regular file (any more)."""
    try:
        found = os.stat(path)  # noqa: PTH116 - names that are not UTF-8 stay as they are
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _Signature(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
