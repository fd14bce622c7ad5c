"""Split blocks of bytes into rows, in memory bounded by the longest line allowed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from bulk_invite.domain.rows import Position, Row

MAX_LINE_BYTES: Final = 1024 * 1024
"""Maximum length of a line, without its line ending."""

_BLANK: Final = b" \t\r"
_MAX_BEGUN_BYTES: Final = len(codecs.BOM_UTF8) + MAX_LINE_BYTES + len(b"\r")


class Lines:
    """Feed it blocks in order, then call `finish`. `count`: number of lines ended so far.

    before: number of lines of the same source that were read earlier. may_have_bom: whether a byte order
    mark may precede the first line.
    """

    def __init__(self, source: str, before: int = 0, *, may_have_bom: bool = True) -> None:
        self.count = self._before = before
        self._may_have_bom = may_have_bom
        self._source = source
        self._begun = bytearray()
        self._skipping = False  # inside a line over the limit, which is discarded

    def feed(self, block: bytes) -> Iterator[Row]:
        """Return the rows whose lines end in this block."""
        if self._skipping:
            _, line_end, block = block.partition(b"\n")
            if not line_end:
                return
            yield self._skipped()
        first, *later = block.split(b"\n")
        self._begun += first
        ended: list[bytes] = []
        if later:
            ended = [bytes(self._begun), *later[:-1]]
            self._begun = bytearray(later[-1])
        if len(self._begun) > _MAX_BEGUN_BYTES:
            self._begun, self._skipping = bytearray(), True
        for line in ended:
            if not line:  # a file without blank lines costs a quarter this way
                self.count += 1
            elif (row := self._row(line)) is not None:
                yield row

    def finish(self) -> Iterator[Row]:
        """Return the row of a last line without a line ending."""
        if self._skipping:
            yield self._skipped()
        elif self._begun and (row := self._row(bytes(self._begun))) is not None:
            yield row

    def _row(self, line: bytes) -> Row | None:
        self.count += 1
        if self._may_have_bom and self.count == self._before + 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        line = line.removesuffix(b"\r")
        if len(line) > MAX_LINE_BYTES:
            return Row(Position(self._source, self.count), b"", oversized=True)
        return Row(Position(self._source, self.count), line) if line.strip(_BLANK) else None

    def _skipped(self) -> Row:
        self.count += 1
        self._skipping = False
        return Row(Position(self._source, self.count), b"", oversized=True)
