"""Compressed sources: cut off anywhere, the whole lines before come first, then an error, never garbage."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import zstandard
from source_files import PACKERS, file, numbered, rows, until_error
from structlog.testing import capture_logs

LINES = [b'{"n": %d, "noise": "%s"}' % (n, random.Random(n).randbytes(12).hex().encode()) for n in range(6)]


def flushed_gzip() -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    yield from (packer.compress(line + b"\n") + packer.flush(zlib.Z_SYNC_FLUSH) for line in LINES)
    yield packer.flush()


def flushed_zstd(*, checksum: bool = True) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(write_checksum=checksum).compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    yield from (packer.compress(line + b"\n") + packer.flush(block) for line in LINES)
    yield packer.flush()


STREAMS = [
    pytest.param(flushed_gzip, ".gz", id="gzip"),
    pytest.param(flushed_zstd, ".zst", id="zstd"),
    pytest.param(partial(flushed_zstd, checksum=False), ".zst", id="zstd without check sum"),
]


@pytest.mark.parametrize(("stream", "suffix"), STREAMS)
def test_a_truncated_file_gives_the_lines_before_the_cut_and_an_error(
    tmp_path: Path, stream: Callable[[], Iterator[bytes]], suffix: str
) -> None:
    pieces = list(stream())
    ends = [sum(map(len, pieces[: n + 1])) for n in range(len(LINES))]
    packed = b"".join(pieces)
    path = tmp_path / f"rows{suffix}"
    for cut in range(len(packed)):
        found, error = until_error(file(path, packed[:cut]))
        assert numbered(found) == list(enumerate(LINES, 1))[: len(found)]
        assert len(found) >= sum(end <= cut for end in ends)
        assert error is not None
        assert error.startswith(f"{path}: its ")
        assert f"is truncated, after line {len(found)}." in error
    assert until_error(file(path, packed)) == (found, None)


@pytest.mark.parametrize(("stream", "suffix"), STREAMS[:2])
def test_every_damaged_byte_is_noticed(
    tmp_path: Path, stream: Callable[[], Iterator[bytes]], suffix: str
) -> None:
    packed = bytearray(b"".join(stream()))
    for at in range(len(packed)):
        packed[at] ^= 0x55
        found, error = until_error(file(tmp_path / f"rows{suffix}", bytes(packed)))
        packed[at] ^= 0x55
        assert error is not None or numbered(found) == list(enumerate(LINES, 1))


def test_a_truncated_member_after_a_whole_one_is_an_error(tmp_path: Path) -> None:
    torn = gzip.compress(b"1\n2\n3") + gzip.compress(b"0\n4\n" + random.Random(1).randbytes(999))[:-9]
    found, error = until_error(file(tmp_path / "rows.gz", torn))
    assert numbered(found)[:3] == [(1, b"1"), (2, b"2"), (3, b"30")]
    assert error is not None


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 100_000, b"\0" * 9 + gzip.compress(b"more", mtime=0)])
def test_zeros_after_gzip_are_padding(tmp_path: Path, tail: bytes) -> None:
    found = rows(file(tmp_path / "rows.gz", gzip.compress(b"{}\n") + tail))
    assert [row.data for row in found] == [b"{}"] + [b"more"] * tail.endswith(gzip.compress(b"more")[-4:])


def test_skippable_frames_of_zstd_are_skipped(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    packed = skippable + zstandard.compress(b"1\n") + skippable + zstandard.compress(b"2") + skippable
    assert numbered(rows(file(tmp_path / "rows.zst", packed))) == [(1, b"1"), (2, b"2")]


MEMBER = gzip.compress(b"{}\n", mtime=0)


@pytest.mark.parametrize(
    "tail",
    [b"garbage", b"\0garbage", b"ab", b"\x1f!", b"\0" * 70_000 + b"x" * 100_000, zstandard.compress(b"1\n")],
    ids=range(6),
)
def test_trailing_garbage_after_gzip_is_ignored_with_a_warning(tmp_path: Path, tail: bytes) -> None:
    source = file(tmp_path / "rows.gz", MEMBER + tail)
    with capture_logs() as logs:
        assert numbered(rows(source)) == [(1, b"{}")]
    assert [(each["event"], each["source"]) for each in logs] == [("source.trailing_bytes", source.name)]
    assert subprocess.run(["gzip", "-dc", source.name], check=False, capture_output=True).returncode == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (MEMBER + b"\x1f", "is truncated"),
        (MEMBER + MEMBER[:12], "is truncated"),
        (MEMBER + b"\x1f\x8c" + MEMBER[2:], "damaged"),
        (MEMBER + b"\x00\x00!" + MEMBER[3:] + MEMBER, "damaged"),
        (MEMBER + b"!" * 5_000 + MEMBER, "damaged"),
        (PACKERS[".zst"](b"{}\n") + b"garbage", "damaged"),
    ],
    ids=range(6),
)
def test_trailing_bytes_that_may_be_rows_are_not_ignored(tmp_path: Path, data: bytes, said: str) -> None:
    found, error = until_error(file(tmp_path / "rows", data))
    assert numbered(found) == [(1, b"{}")]
    assert error is not None
    assert said in error


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_the_name_does_not_decide_the_compression(tmp_path: Path, suffix: str) -> None:
    text = b'{"n": 1}\n{"n": 2}\n'
    for packed in (text, b"\xef\xbb\xbf" + text, *(pack(text) for pack in PACKERS.values())):
        found = rows(file(tmp_path / f"rows{suffix}", packed))
        assert numbered(found) == [(1, b'{"n": 1}'), (2, b'{"n": 2}')]
