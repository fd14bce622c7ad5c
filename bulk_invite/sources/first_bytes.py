"""Hold back the beginning of a source until it is recognized as rows; refuse other formats."""

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
"""Errors that end the reading of a source that has begun."""

_UNPACKERS: Final = {"gzip": "gzip -dc", "zstd": "zstd -dc"}

_ENDINGS: Final = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".lz", ".json", ".ndjson", ".jsonl")


class ForeignFormatError(Exception):
    """The source has another format."""

    def __init__(self, found: Format) -> None:
        super().__init__(f"is {found.called}")
        self.found = found


def only_rows(blocks: Iterator[bytes], *, goes_on: bool = False) -> Iterator[bytes]:
    """Return the same bytes; an empty block means that nothing more is ready.

    ForeignFormatError is raised before the first line; a defect after everything that precedes it. goes_on:
    more writers may follow, who should not suffer from a few bad lines of the first one.
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
        if not head.strip():  # blank lines carry no information, but are counted
            yield bytes(head)
            head.clear()
            continue
        has_ended = has_ended or b"\n" in block
        # Do not hold lines back from a waiting reader; otherwise examine the head again when it has doubled.
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
    """The error to raise.

    called: the source at the beginning of the sentence. path: None if not a regular file.
    """
    hint = error.found.remedy
    if error.found.filter:
        hint = f"Convert it to NDJSON: {_command(path, error.found.filter)}"
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
    """An unused name beside it for the converted file."""
    given = Path(path)
    name = given.name
    while (ending := Path(name).suffix).lower() in _ENDINGS:
        name = name.removesuffix(ending)
    target = given.with_name(f"{name}.ndjson")
    return str(given.with_name(f"{name}.rows.ndjson") if os.path.lexists(target) else target)
