"""A directory whose files are read as they arrive.

A file is read when it has not changed for some time, and read again as a whole when it changes; the tokens of
its rows prevent sending them twice. After a restart, every file is read again. Only a signature per file is
kept in memory. The safe way to add a file is under another name (`.tmp`, `.partial`, a leading dot), renamed
when it is complete.
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
from bulk_invite.sources.file_errors import cannot_open, printable, reason
from bulk_invite.sources.interruptible_wait import wait
from bulk_invite.sources.ndjson import NdjsonSource

_log = structlog.get_logger()

SUFFIXES: Final = (".ndjson", ".ndjson.gz", ".ndjson.zst", ".jsonl")

_READ_ERROR_AGAIN: Final = 60.0
"""Seconds until a file is retried after a read error of the disk."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """Equal signatures mean equal content. changed: also set when permissions change."""

    size: int
    modified: int
    changed: int
    inode: int


@dataclass(slots=True)
class _Known:
    """since: when this version was first seen, on the monotonic clock."""

    signature: _Signature
    since: float
    done: bool = False


class FollowedDirectory:
    """The files of one directory, in the order of their modification.

    name: as given by the operator. lines, consumed: totals of the files read, some of them repeatedly.
    answering: whether the last scan of the directory succeeded.
    """

    size: int | None = None

    def __init__(self, path: str, *, poll: float = 5.0, settle: float = 2.0) -> None:
        """Scan it once. Raises SourceError if that fails.

        poll: seconds between two scans. settle: seconds without a change before a file is read.
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
            raise cannot_open(self.name, exc) from exc

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None = None
    ) -> Generator[tuple[list[Row], None]]:
        """Yield the rows of all files, including those that arrive or change later, until a stop.

        An empty list means that all files have been read. There are no cursors: the next time, all files are
        read again. Unreadable files are logged and retried when they change.
        """
        del mark
        self._known = {}
        while not stop():
            if self._scan():
                for path in self._settled():
                    yield from self._read(path, max_rows, max_bytes, stop)
                if stop():
                    return
                if self._all_read():
                    yield [], None
            wait(self._pause(), stop)

    def _scan(self) -> bool:
        """Whether the scan succeeded; it updates the signatures."""
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
        """Whether all files are read, except those with read errors."""
        now = time.monotonic()
        return all(known.done or known.since > now for known in self._known.values())

    def _pause(self) -> float:
        """Seconds until there may be something to read."""
        waiting = [known.since for known in self._known.values() if not known.done]
        soonest = min(waiting, default=0.0) + self.settle - time.monotonic()
        return min(self.poll, max(soonest, 0.0)) if waiting and self.answering else self.poll

    def _read(
        self, path: str, max_rows: int, max_bytes: int, stop: Callable[[], bool]
    ) -> Generator[tuple[list[Row], None]]:
        known = self._known[path]
        changed = False

        def broken_off() -> bool:
            # A writer has not ended its last line yet: the file is read again later.
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
            if broken_off():  # moved or written to: the next scan decides
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
    """None if there is no regular file (any more)."""
    try:
        found = os.stat(path)  # noqa: PTH116 - names that are not UTF-8 stay as they are
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _Signature(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
