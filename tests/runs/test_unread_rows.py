"""About how many rows a run that ended early has not read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from rows import make_rows, ndjson, write_rows

from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.sources.ndjson import NdjsonSource


def source(tmp_path: Path, name: str, rows: int, *, read: int) -> NdjsonSource:
    """A source of which at least `read` rows were read; with 0, it was only opened."""
    opened = NdjsonSource(str(write_rows(tmp_path / name, make_rows(rows))))
    if read:
        batches = opened.batches(read)
        next(batches)
        batches.close()
    return opened


def test_rows_of_files_that_were_not_begun_are_estimated_from_those_that_were(tmp_path: Path) -> None:
    # The opened file is so small that it was read whole to look at its format.
    total = RowTotal([source(tmp_path, "a.ndjson", 50, read=50), source(tmp_path, "b.ndjson", 30, read=0)])
    assert total.unread(50, 0) == pytest.approx(30, abs=1)
    assert total.unread(20, 0) == pytest.approx(60, abs=1)


def test_rows_of_a_compressed_file_are_estimated_from_what_was_unpacked(tmp_path: Path) -> None:
    packed = tmp_path / "a.ndjson.gz"
    packed.write_bytes(gzip.compress(ndjson(make_rows(4000))))
    opened = NdjsonSource(str(packed))
    batches = opened.batches(20)
    next(batches)
    batches.close()
    assert RowTotal([opened]).unread(20, 0) == pytest.approx(3980, rel=0.35)


def test_at_least_the_rows_that_were_read_and_left_over_are_not_read(tmp_path: Path) -> None:
    total = RowTotal([source(tmp_path, "a.ndjson", 50, read=50)])
    assert total.unread(50, 7) == 7


def test_it_is_unknown_before_a_row_was_read_and_for_a_source_without_a_size(tmp_path: Path) -> None:
    assert RowTotal([source(tmp_path, "a.ndjson", 5, read=0)]).unread(0, 0) is None
    assert RowTotal(None).unread(0, 3) is None
