"""NDJSON sources: files, globs and standard input, plain or compressed, read as streams.

Memory does not grow with the source: it holds one block, the line begun in it and the current batch. An
invalid line is a row like any other; only what ends the reading is an error, and all lines before it are
returned first.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import Row
from bulk_invite.sources.compressed import unpack
from bulk_invite.sources.file_changes import FileChangedError, unchanged_blocks
from bulk_invite.sources.file_errors import BLOCK_BYTES, cannot_open, printable, reason
from bulk_invite.sources.first_bytes import DEFECTS, ForeignFormatError, only_rows, refusal
from bulk_invite.sources.format_detection import MOST_HEAD_BYTES
from bulk_invite.sources.lines import Lines

_log = structlog.get_logger()

STDIN: Final = "-"

_STDIN_FD: Final = 0
_STOP_CHECK_MS: Final = 100


class NdjsonSource:
    """One file, pipe or standard input.

    name: as given by the operator, and used in `Position.source`; bytes that are not UTF-8 are escaped. size:
    bytes on disk, None for standard input, pipes and devices. consumed: bytes of which the lines read so far
    are made, as on disk (compressed, if it is). lines: number of lines read so far. poll: seconds between two
    empty lists while it is followed. answering: whether the followed FIFO exists.
    """

    poll: float = 5.0
    answering: bool = True

    def __init__(self, path: str) -> None:
        """Check that `path` (or `-`) can be read, and how it begins. Raises SourceError if not."""
        self._path = path
        self.name = printable(path)
        self._called = "Standard input" if path == STDIN else self.name
        self.consumed = 0
        self.lines = 0
        self._before = self._counted = 0
        self._goes_on = False
        try:
            status = os.fstat(_STDIN_FD) if path == STDIN else os.stat(path)  # noqa: PTH116 - beside its twin
            if not stat.S_ISDIR(status.st_mode):
                self._check_access(regular=stat.S_ISREG(status.st_mode))
        except (OSError, ValueError) as exc:
            raise cannot_open(self._called, exc) from exc
        if stat.S_ISDIR(status.st_mode):
            hint = "Name its files, for example with a glob."
            raise SourceError(f"{self._called}: is a directory.", hint=hint)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) and path != STDIN else None
        if self.size is not None:
            self._look_at_beginning()

    def batches(
        self, max_rows: int = 500, max_bytes: int = 1 << 20, stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Row]]:
        """Read the source from its beginning (standard input and pipes: from their current position).

        Each list has 1 to `max_rows` rows and at most `max_bytes` of data, or a single row that is larger.
        From a pipe, a list is returned as soon as nothing more is ready. Blank lines produce no row but are
        counted.

        stop: called between blocks, and every 100 ms while waiting for a pipe; True ends the iterator soon
        and drops the line begun. Another thread may set what it reads (`threading.Event().is_set`). Closing
        the iterator closes the file. It must not be closed while another thread is inside `next`: let `stop`
        return True first and wait for that.

        Raises SourceError if the source cannot be opened, has another format, cannot be read further, was
        changed in the meantime, or its compressed data is damaged or truncated. Every line before the defect
        has been returned by then; the line that it cut has not.
        """
        self.consumed = self.lines = 0
        self._goes_on = False
        with self._opened() as fd:
            lines = Lines(self.name)
            rows = self._rows(self._plain(fd), lines, stop)
            with closing(self._lists(lines, rows, max_rows, max_bytes)) as lists:
                yield from filter(None, lists)

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None = None
    ) -> Generator[tuple[list[Row], None]]:
        """Read a FIFO or standard input like `batches`, for as long as there may be a writer.

        When the last writer closes a FIFO, the next one is awaited, and lines continue to be counted;
        standard input ends there. An empty list is returned every `poll` seconds without data. There are no
        cursors: a pipe cannot be read twice.

        Raises SourceError like `batches`, and for a regular file.
        """
        del mark
        self.consumed = self.lines = 0
        self._goes_on = True
        last_yield = time.monotonic()
        while not stop():
            with self._opened() as fd, closing(self._written(fd, max_rows, max_bytes, stop)) as lists:
                if self._path != STDIN and not stat.S_ISFIFO(os.fstat(fd).st_mode):
                    hint = "Follow a FIFO, a directory, standard input or a database."
                    raise SourceError(f"{self._called}: is not a FIFO.", hint=hint)
                for rows in lists:
                    if not rows and time.monotonic() - last_yield < self.poll:
                        continue
                    if not rows and not self._is_in_place(fd):
                        break
                    last_yield = time.monotonic()
                    if rows or self.answering:
                        yield rows, None
            if self._path == STDIN:
                return

    def _written(
        self, fd: int, max_rows: int, max_bytes: int, stop: Callable[[], bool]
    ) -> Generator[list[Row]]:
        """The data of successive writers; [] while there is none."""
        while not stop():
            lines = Lines(self.name, self._before)
            with closing(
                self._lists(lines, self._rows(self._plain(fd), lines, stop), max_rows, max_bytes)
            ) as lists:
                yield from lists
            self._before = self._counted
            if self._path == STDIN:
                return
            # Keep the same descriptor open: closing it would lose what the next writer has written.
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            while not any(event & select.POLLIN for _, event in poll.poll(0)) and not stop():
                yield []
                time.sleep(_STOP_CHECK_MS / 1000)  # poll() returns at once while there is no writer

    def _is_in_place(self, fd: int) -> bool:
        """Whether the open FIFO still has that name; while there is none, wait for it."""
        if self._path == STDIN:
            return True
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as above
        except OSError as exc:
            if self.answering:
                _log.warning("source.unreachable", source=self.name, reason=reason(exc))
            self.answering = False
            return True
        self.answering = True
        return os.path.samestat(found, os.fstat(fd))

    def _lists(
        self, lines: Lines, each: Generator[Row | None], max_rows: int, max_bytes: int
    ) -> Generator[list[Row]]:
        """Rows in lists up to the end; an empty list if nothing more is ready. lines: counts them."""
        batch: list[Row] = []
        size = 0
        defect: Exception | None = None
        with closing(each) as rows:
            try:
                for row in rows:
                    full = row is None or len(batch) == max_rows or size + len(row.data) > max_bytes
                    if full and (batch or row is None):
                        yield batch
                        batch, size = [], 0
                    if row is not None:
                        batch.append(row)
                        size += len(row.data)
            except DEFECTS as exc:
                defect = exc
            except ForeignFormatError as exc:
                raise refusal(self._called, None if self.size is None else self._path, exc) from exc
        self._counted = lines.count
        if batch:
            yield batch
        if defect is not None:
            raise self._unread(defect, lines.count) from defect

    def _rows(self, blocks: Iterator[bytes], lines: Lines, stop: Callable[[], bool]) -> Generator[Row | None]:
        """Rows; None if nothing more is ready."""
        for block in blocks:
            self.lines += block.count(b"\n")
            yield from lines.feed(block)
            if stop():
                return
            if not block:
                yield None
        # An interrupt often ends the writer of a pipe too, in the middle of a line.
        if not stop():
            yield from lines.finish()

    def _plain(self, fd: int) -> Iterator[bytes]:
        suffix = os.path.splitext(self._path)[1]  # noqa: PTH122 - Path("-") and odd names stay as they are
        blocks = unpack(self._blocks(fd), suffix, self._tell_trailing, self._take)
        return only_rows(blocks, goes_on=self._goes_on)

    def _take(self, consumed: int) -> None:
        self.consumed += consumed

    def _tell_trailing(self) -> None:
        now = "ignored, as gzip does; everything before them is read"
        _log.warning("source.trailing_bytes", source=self.name, now=now)

    def _look_at_beginning(self) -> None:
        """Refuse other formats before anything is done. Defects are reported later, at their position."""
        try:
            with self._opened() as fd, suppress(*DEFECTS):
                for block in self._plain(fd):
                    if block or self.consumed > MOST_HEAD_BYTES:
                        return
        except ForeignFormatError as exc:
            raise refusal(self._called, self._path, exc) from exc

    def _blocks(self, fd: int) -> Iterator[bytes]:
        """Read blocks as they arrive; an empty block if none is ready, to pass rows on or to stop."""
        if stat.S_ISREG(os.fstat(fd).st_mode):
            yield from unchanged_blocks(fd)
            return
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while True:
            wait_ms = 0
            while not poll.poll(wait_ms):
                yield b""
                wait_ms = _STOP_CHECK_MS
            try:
                block = os.read(fd, BLOCK_BYTES)
            except BlockingIOError:  # another reader of the same pipe was faster
                continue
            if not block:
                return
            yield block

    @contextmanager
    def _opened(self) -> Iterator[int]:
        if self._path == STDIN:
            yield _STDIN_FD
            return
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for its writer and could not be interrupted.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as exc:
            raise cannot_open(self._called, exc) from exc
        try:
            yield fd
        finally:
            os.close(fd)

    def _check_access(self, *, regular: bool) -> None:
        if self._path == STDIN:
            os.read(_STDIN_FD, 0)
        elif regular:
            with Path(self._path).open("rb"):
                pass
        elif not os.access(self._path, os.R_OK):  # opening and closing a FIFO would cut off its writer
            raise PermissionError(None, "Permission denied")

    def _unread(self, exc: Exception, line: int) -> SourceError:
        why = f"cannot be read further ({reason(exc)})" if isinstance(exc, OSError) else str(exc)
        hint = "The lines before were read; restore the file and run the same command to continue."
        if isinstance(exc, FileChangedError):
            hint = (
                "The lines before were read. Write the file under another name, rename it when it is "
                "complete, and run the same command to continue."
            )
        return SourceError(f"{self._called}: {why}, after line {line}.", hint=hint)
