"""Regular files: what earlier runs have read of them is recognized, and only some lines of it are read again.

A file is recognized by its bytes: the prefix is read and digested, which takes a second for each gigabyte,
and compared with the digest that was recorded with its rows. Then it may be skipped, as long as nothing has
written to the file meanwhile; if something has, or it is compressed, it is read and compared once more.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.records import Prefix, PrefixRows
from bulk_invite.domain.rows import Row
from bulk_invite.sources.compressed import TEXT_BYTES, is_packed
from bulk_invite.sources.file_changes import FileChangedError, unchanged_blocks
from bulk_invite.sources.file_errors import printable
from bulk_invite.sources.first_bytes import DEFECTS, ForeignFormatError
from bulk_invite.sources.lines import Lines
from bulk_invite.sources.ndjson import STDIN, NdjsonSource
from bulk_invite.sources.prefix import ReadBytes, Recognized, picked, recognize

_Look = tuple[int, ...]
"""What the file system says of a file; any write changes it."""


def resolve(names: Sequence[str]) -> list[NdjsonSource]:
    """Resolve the sources named by the operator, in order, and check that each can be opened.

    names: paths, globs (`*`, `?`, `[`; matches sorted; a file of exactly that name takes precedence), or `-`.
    Raises SourceError if one is missing, a directory, unreadable, or a glob without matches.
    """
    return [_source(path) for name in names for path in _expanded(name)]


def _source(path: str) -> NdjsonSource:
    is_file = path != STDIN and os.path.isfile(path)  # noqa: PTH113 - Path changes odd names
    return FileSource(path) if is_file else NdjsonSource(path)


def _expanded(name: str) -> list[str]:
    if name == STDIN or not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    if matches := sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - Path has no absolute globs
        return matches
    hint = "Check the spelling and the directory."
    raise SourceError(f"{printable(name)}: no file matches.", hint=hint)


class FileSource(NdjsonSource):
    """A regular file, plain or compressed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._bytes: ReadBytes | None = None
        self._found: tuple[Recognized, _Look | None] | None = None

    def begins_with(self, prefix: Prefix, stop: Callable[[], bool]) -> bool:
        """Whether it still begins with these bytes; False also if a stop came first, or it cannot be read."""
        self.consumed = self.lines = 0
        try:
            with self._opened() as fd:
                looked = _look(fd)  # before the reader waits until any further write would show
                found = recognize(self._plain(fd), prefix, stop)
                is_unchanged = _look(fd) == looked
        except (*DEFECTS, ForeignFormatError, SourceError):
            return False  # reading it from the beginning reports what is wrong
        if found is not None:
            self._found = found, looked if is_unchanged else None
        return found is not None

    def batches(
        self,
        max_rows: int = 500,
        max_bytes: int = 1 << 20,
        stop: Callable[[], bool] = lambda: False,
        *,
        skips: PrefixRows | None = None,
        marks: bool = False,
    ) -> Generator[list[Row]]:
        """Read it like any other source; see `NdjsonSource.batches`.

        skips: of a prefix that `begins_with` has just found, only lines to be read again are returned, before
        what follows it. marks: `prefix_at` is called for rows that are returned.
        """
        self.consumed = self.lines = 0
        self._bytes = ReadBytes() if marks else None
        with self._opened() as fd:
            if skips is None:
                lines = Lines(self.name)
                rows = self._rows(self._noted(self._plain(fd)), lines, stop)
            else:
                lines = Lines(self.name, skips.prefix.lines, may_have_bom=False)
                rows = self._resumed(fd, lines, stop, skips)
            with closing(self._lists(lines, rows, max_rows, max_bytes)) as lists:
                yield from filter(None, lists)

    def prefix_at(self, row: Row) -> Prefix | None:
        """The prefix up to the end of a row of the last batch, which does not precede that of the last call.

        None for a row of the prefix that was skipped, and for a source that is no regular file.
        """
        line = row.position.line
        if self._bytes is None or self.size is None or line <= self._bytes.lines:
            return None
        return self._bytes.prefix_at(self.name, line)

    def _resumed(
        self, fd: int, lines: Lines, stop: Callable[[], bool], skips: PrefixRows
    ) -> Generator[Row | None]:
        """Lines of the prefix that are read again, then everything after it."""
        if self._bytes is not None:
            self._bytes.lines = skips.prefix.lines
        if skips.again:
            for row in picked(self._plain(fd), skips.again, self.name):
                yield row
                if stop():
                    return
        yield from self._rows(self._noted(self._after(fd, skips.prefix, stop)), lines, stop)

    def _after(self, fd: int, prefix: Prefix, stop: Callable[[], bool]) -> Iterator[bytes]:
        """The blocks after a prefix that was found. Raises FileChangedError if it is no longer there."""
        found, looked = self._found or (None, None)
        self.consumed = self.lines = 0
        if found is not None and looked == _look(fd) and not self._is_packed(fd):
            os.lseek(fd, found.size, os.SEEK_SET)
            self.consumed, rest, blocks = found.size, b"", self._taken(unchanged_blocks(fd))
        else:
            os.lseek(fd, 0, os.SEEK_SET)
            blocks = self._plain(fd)
            found = recognize(blocks, prefix, stop)
            if found is None and not stop():
                raise FileChangedError("was overwritten while it was read")
            if found is None:
                return
            rest = found.rest
        self.lines = found.lines
        if self._bytes is not None:
            self._bytes = ReadBytes(found.hashed, found.size, found.lines)
        yield rest
        yield from blocks

    def _noted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if self._bytes is not None:
                self._bytes.feed(block)
            yield block

    def _taken(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.consumed += len(block)
            yield block

    def _is_packed(self, fd: int) -> bool:
        return is_packed(os.pread(fd, TEXT_BYTES, 0), os.path.splitext(self._path)[1])  # noqa: PTH122 - as in the base


def _look(fd: int) -> _Look:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
