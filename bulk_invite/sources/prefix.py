"""Recognize the beginning of a file by its bytes, and take single lines out of it.

Blocks are those of the plain file, decompressed. A digest is continued where the prefix ends, so that a
longer prefix can be recorded without reading the file from its beginning.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bulk_invite.domain.records import Prefix
from bulk_invite.domain.rows import Row
from bulk_invite.sources.lines import Lines

if TYPE_CHECKING:
    from hashlib import _Hash

_LINE_END: Final = re.compile(rb"\n")


_MOST_AHEAD: Final = 2 << 20
"""Bytes held after the last line asked for; only very long lines and many blank ones are more than that."""


class ReadBytes:
    """The bytes read of a file, up to the end of any line; holds those after the last line asked for.

    lines: the number of those in the digested bytes, the first `size`. Only of later ones is the end known.
    """

    def __init__(self, hashed: _Hash | None = None, size: int = 0, lines: int = 0) -> None:
        """hashed: the digest of the first `size` bytes, which are so many lines."""
        self.size = size
        self.lines = lines
        self._hash = hashlib.sha256() if hashed is None else hashed
        self._ahead: deque[bytes] = deque()
        self._ahead_bytes = 0

    def feed(self, block: bytes) -> None:
        self._ahead.append(block)
        self._ahead_bytes += len(block)
        while self._ahead_bytes > _MOST_AHEAD:
            self.lines += self._digest(self._ahead.popleft())

    def prefix_at(self, source: str, line: int) -> Prefix:
        """The prefix up to the end of a line, which must not come before that of the last call."""
        missing = line - self.lines
        while missing and self._ahead:
            block = self._ahead.popleft()
            if block.count(b"\n") >= missing:
                at = _after_line(block, missing)
                self._ahead.appendleft(block[at:])
                block = block[:at]
            missing -= self._digest(block)
        self.lines = line  # also if it is the last one of the file, without a line end
        return Prefix(source, self.size, self.lines, self._hash.hexdigest())

    def _digest(self, block: bytes) -> int:
        """Digest bytes that were held; return the number of lines that end in them."""
        self._hash.update(block)
        self.size += len(block)
        self._ahead_bytes -= len(block)
        return block.count(b"\n")


@dataclass(frozen=True, slots=True)
class Recognized:
    """A file that begins with a known prefix. rest: what follows it in the block in which it ends.

    hashed, size: of its bytes and the end of its last line, which may have been written later.
    """

    hashed: _Hash
    size: int
    lines: int
    rest: bytes


def recognize(blocks: Iterator[bytes], prefix: Prefix, stop: Callable[[], bool]) -> Recognized | None:
    """Read as much as the prefix has; None if it is another one, or a stop came first."""
    hashed, left, last, rest = hashlib.sha256(), prefix.size, b"", b""
    for block in blocks:
        if stop():
            return None
        part = block[:left]
        hashed.update(part)
        left -= len(part)
        last, rest = part[-1:] or last, block[len(part) :]
        if not left:
            break
    if left or hashed.hexdigest() != prefix.digest:
        return None
    if last == b"\n":
        return Recognized(hashed, prefix.size, prefix.lines, rest)
    while len(rest) < len(b"\r\n") and not stop() and (more := next(blocks, None)) is not None:
        rest += more
    ending = next((each for each in (b"\n", b"\r\n") if rest.startswith(each)), b"")
    if rest and not ending:
        return None  # its last line has been continued
    hashed.update(ending)
    return Recognized(hashed, prefix.size + len(ending), prefix.lines, rest.removeprefix(ending))


def picked(blocks: Iterable[bytes], ranges: Sequence[tuple[int, int]], source: str) -> Iterator[Row]:
    """The rows of some lines, by the first and last line of each range in ascending order."""
    line, wanted = 1, iter(ranges)  # the line in which a block begins
    first, last = next(wanted, (0, 0))
    lines: Lines | None = None
    for block in blocks:
        next_line = line + block.count(b"\n")
        if first and first <= next_line:
            starts = [0, *(found.end() for found in _LINE_END.finditer(block))]
            while first and first <= next_line:
                lines = lines or Lines(source, first - 1, may_have_bom=first == 1)
                ends_here = last < next_line
                end = starts[last - line + 1] if ends_here else len(block)
                yield from lines.feed(block[starts[max(first, line) - line] : end])
                if not ends_here:
                    break
                (first, last), lines = next(wanted, (0, 0)), None
        if not first:
            return
        line = next_line
    if lines is not None:
        yield from lines.finish()


def _after_line(block: bytes, number: int) -> int:
    """The offset after the line end of this number, from 1."""
    at = 0
    for _ in range(number):
        at = block.index(b"\n", at) + 1
    return at
