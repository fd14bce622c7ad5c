"""The beginning of a source: held back until it is known to be rows; what is something else is refused."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulk_invite.domain.errors import SourceError
from bulk_invite.sources.compressed import CompressedDataError, packed_as
from bulk_invite.sources.file_changes import FileChangedError
from bulk_invite.sources.file_errors import printable
from bulk_invite.sources.format_detection import Format, Verdict, recognize

DEFECTS: Final = (OSError, CompressedDataError, FileChangedError)
"""What ends the reading of a source that has begun."""

_UNPACKERS: Final = {"gzip": "gzip -dc", "zstd": "zstd -dc"}

_ENDINGS: Final = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".lz", ".json", ".ndjson", ".jsonl")


class ForeignFormatError(Exception):
    """The source is in another format."""

    def __init__(self, found: Format) -> None:
        super().__init__(f"is {found.called}")
        self.found = found


def only_rows(blocks: Iterator[bytes], *, goes_on: bool = False) -> Iterator[bytes]:
    """The same bytes; an empty block means that nothing more is ready.

    ForeignFormatError comes in place of the first line. A defect comes after all that came before it.
    goes_on: after their end come those of another writer, who is not to suffer from a few lines before.
    """
    head = bytearray()
    looked_at, has_ended = 0, False
    while True:
        try:
            block = next(blocks, None)
        except DEFECTS:
            _require_rows(head)
            yield bytes(head)
            raise
        if block is None:
            if not goes_on:
                _require_rows(head)
            yield bytes(head)
            return
        head += block
        if not head.strip():  # blank lines say nothing, and are counted
            yield bytes(head)
            head.clear()
            continue
        has_ended = has_ended or b"\n" in block
        # Lines are not held back from who waits for them; else what has doubled is worth another look.
        if (has_ended and not block) or len(head) >= 2 * looked_at:
            if _are_rows(head, may_wait=bool(block)):
                break
            looked_at, has_ended = len(head), has_ended and bool(block)
        if not block:
            yield b""
    yield bytes(head)
    yield from blocks


def _are_rows(head: bytearray, *, may_wait: bool) -> bool:
    found = recognize(bytes(head), is_whole=False, may_wait=may_wait)
    if isinstance(found, Format):
        raise ForeignFormatError(found)
    return found is Verdict.ROWS


def _require_rows(head: bytearray) -> None:
    found = recognize(bytes(head), is_whole=True)
    if isinstance(found, Format):
        raise ForeignFormatError(found)


def refusal(called: str, path: str | None, error: ForeignFormatError) -> SourceError:
    """The error to raise. called: the source, to begin a sentence. path: None where it is no regular file."""
    hint = error.found.mend
    if error.found.filter:
        hint = f"Make NDJSON of it: {_command(path, error.found.filter)}"
    return SourceError(f"{called}: {error}.", hint=hint)


def _command(path: str | None, made_by: str) -> str:
    if path is None:
        return f"put `{made_by}` before bulk-invite in the pipe."
    packed = None
    with suppress(OSError), Path(path).open("rb") as opened:
        packed = packed_as(opened.read(4))
    source, target = shlex.quote(printable(path)), shlex.quote(printable(_target(path)))
    if packed is not None:
        return f"`{_UNPACKERS[packed]} < {source} | {made_by} > {target}`"
    return f"`{made_by} {source} > {target}`"


def _target(path: str) -> str:
    """A name beside it that is not yet taken by the rows of the same name."""
    given = Path(path)
    name = given.name
    while (ending := Path(name).suffix).lower() in _ENDINGS:
        name = name.removesuffix(ending)
    target = given.with_name(f"{name}.ndjson")
    return str(given.with_name(f"{name}.rows.ndjson") if os.path.lexists(target) else target)
