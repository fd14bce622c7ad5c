"""Shared by tests of sources: write a file, read it as a source."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

import zstandard

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import Row
from bulk_invite.sources.file import resolve
from bulk_invite.sources.ndjson import NdjsonSource

MIB: Final = 1 << 20
PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}


def file(path: Path, data: bytes) -> NdjsonSource:
    path.write_bytes(data)
    [source] = resolve([str(path)])
    return source


def rows(source: NdjsonSource, max_rows: int = 1000, max_bytes: int = MIB) -> list[Row]:
    with closing(source.batches(max_rows, max_bytes)) as batches:
        return [row for batch in batches for row in batch]


def numbered(found: Iterable[Row]) -> list[tuple[int, bytes]]:
    return [(row.position.line, row.data) for row in found]


def until_error(source: NdjsonSource) -> tuple[list[Row], str | None]:
    """Rows, and the error that ended the reading, if one did."""
    found: list[Row] = []
    with closing(source.batches(1000, MIB)) as batches:
        try:
            for batch in batches:
                found += batch
        except SourceError as error:
            return found, str(error)
    return found, None
