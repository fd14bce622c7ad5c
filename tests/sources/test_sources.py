"""Sources: real files, pipes and compressed streams; whatever is not a whole line is never a row."""

from __future__ import annotations

import gzip
import os
import random
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st
from source_files import MIB, PACKERS, file, numbered, rows

from bulk_invite.domain.errors import SourceError
from bulk_invite.sources.compressed import unpack
from bulk_invite.sources.file import FileSource, resolve
from bulk_invite.sources.lines import MAX_LINE_BYTES, Lines

BOM = b"\xef\xbb\xbf"


@contextmanager
def standard_input(fd: int) -> Iterator[None]:
    """Make `fd` this process's standard input for a while."""
    saved = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def chunks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut as the sizes say, over and over; size 0 is a moment in which nothing came."""
    at = 0
    for size in cycle([*sizes, 1]):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))),
    end=st.sampled_from([b"\n", b"\r\n"]),
    bom=st.sampled_from([b"", BOM]),
    last_end=st.booleans(),
    suffix=st.sampled_from(list(PACKERS)),
    parts=st.integers(1, 3),
    named=st.booleans(),
    sizes=st.lists(st.integers(0, 50), max_size=5),
)
def test_any_lines_are_read_back_unchanged(
    *,
    lines: list[bytes],
    end: bytes,
    bom: bytes,
    last_end: bool,
    suffix: str,
    parts: int,
    named: bool,
    sizes: list[int],
) -> None:
    plain = bom + end.join(lines) + (end if last_end else b"")
    assume(not plain[len(bom) :].startswith((BOM, b"\x1f\x8b", b"\x28\xb5\x2f\xfd")))
    cut = len(plain) // parts + 1
    members = [plain[at : at + cut] for at in range(0, len(plain), cut)] or [b""]
    packed = b"".join(PACKERS[suffix](member) for member in members)
    reader = Lines("x")
    found = [
        row for block in unpack(chunks(packed, sizes), suffix if named else "") for row in reader.feed(block)
    ]
    found += reader.finish()
    assert numbered(found) == [(n, line) for n, line in enumerate(lines, 1) if line.strip(b" \t\r")]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_file_of_many_blocks_is_read_whole(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(7)
    lines = [b'{"": "%s"}' % noise.randbytes(noise.randrange(1, 3000)).hex().encode() for _ in range(400)]
    source = file(tmp_path / f"rows.ndjson{suffix}", PACKERS[suffix](b"\n".join(lines)))
    assert numbered(rows(source)) == list(enumerate(lines, 1))
    assert source.consumed == source.size == Path(source.name).stat().st_size
    assert numbered(rows(source)) == list(enumerate(lines, 1)), "a second reading begins anew"
    assert source.consumed == source.size


def test_batches_keep_both_limits(tmp_path: Path) -> None:
    source = file(
        tmp_path / "rows", b"".join(b"x" * size + b"\n" for size in [10, 10, 10, 90, 10, 200, 1, 1, 1, 1])
    )
    with closing(source.batches(3, 100)) as batches:
        assert [[len(row.data) for row in batch] for batch in batches] == [
            [10, 10, 10],
            [90, 10],
            [200],
            [1, 1, 1],
            [1],
        ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize("over", [-1, 0, 1, 5, 3 * MIB])
def test_the_longest_line_is_exact(tmp_path: Path, end: bytes, bom: bytes, over: int) -> None:
    line = b"x" * (MAX_LINE_BYTES + over)
    found = rows(file(tmp_path / "rows", bom + line + end + (b"{}" if end else b"")))
    assert [(row.position.line, row.oversized) for row in found] == [(1, over > 0), (2, False)][
        : 1 + bool(end)
    ]
    assert found[0].data == (b"" if over > 0 else line)
    assert [row.data for row in found[1:]] == ([b"{}"] if end else [])


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("filling", [b"\0" * 1000, b"\n" * 1000, b"a\n" * 500])
def test_memory_is_flat_on_bombs(tmp_path: Path, suffix: str, filling: bytes) -> None:
    repeats = {b"\0": 100_000, b"\n": 2_500, b"a": 400}[filling[:1]]
    plain = b"{}\n" + filling * repeats + b"\n{}\n"
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(PACKERS[suffix](plain))
    source = FileSource(str(path))
    tracemalloc.start()
    try:
        count = 0
        last = b""
        for batch in source.batches(200, MIB, marks=True):
            count += len(batch)
            last = batch[-1].data
            prefix = source.prefix_at(batch[-1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2 + {b"\0": 1, b"\n": 0, b"a": repeats * 500}[filling[:1]]
    assert last == b"{}"
    assert prefix is not None
    assert prefix.digest == sha256(plain).hexdigest()
    assert peak < 20 * MIB


def test_only_the_first_line_decides_the_encoding() -> None:
    reader = Lines("x")
    found = [row for block in (b"{}\n", b"\xff\xfe\n", BOM + b"\n") for row in reader.feed(block)]
    assert numbered(found) == [(1, b"{}"), (2, b"\xff\xfe"), (3, BOM)]


def test_an_io_error_names_its_location() -> None:
    [source] = resolve(["/proc/self/mem"])
    with pytest.raises(SourceError, match=r"^/proc/self/mem: cannot be read further \(.*\), after line 0\."):
        rows(source)


def test_a_pipe_hands_on_rows_as_they_arrive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    [source] = resolve([str(tmp_path / "pipe")])
    assert source.size is None
    with closing(source.batches(1000, MIB, lambda: False)) as batches, ThreadPoolExecutor(1) as thread:
        first = thread.submit(next, batches)
        with (tmp_path / "pipe").open("wb", buffering=0) as writer:
            writer.write(b"1\n2\n3")
            assert numbered(first.result(5)) == [(1, b"1"), (2, b"2")]
            writer.write(b"0\n\n")
            assert numbered(next(batches)) == [(3, b"30")]
            writer.write(b"5")
        assert [numbered(batch) for batch in batches] == [[(5, b"5")]]
    assert source.consumed == len(b"1\n2\n30\n\n5")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_pipe_hands_on_flushed_rows(suffix: str) -> None:
    packer: Any = zlib.compressobj(wbits=31) if suffix == ".gz" else zstandard.ZstdCompressor().compressobj()
    flush = zlib.Z_SYNC_FLUSH if suffix == ".gz" else zstandard.COMPRESSOBJ_FLUSH_BLOCK
    reading, writing = os.pipe()
    with standard_input(reading), os.fdopen(writing, "wb", buffering=0) as writer:
        [source] = resolve(["-"])
        with closing(source.batches(1000, MIB)) as batches:
            for n in range(1, 4):
                writer.write(packer.compress(b"%d\n" % n) + packer.flush(flush))
                assert numbered(next(batches)) == [(n, b"%d" % n)]
            writer.write(packer.flush())
            writer.close()
            assert list(batches) == []
    os.close(reading)


@pytest.mark.parametrize("sent", [b"", b"{}\n[", b"\x28", gzip.compress(b"{}\n", mtime=0)[:-12]])
def test_stop_ends_a_blocked_read(sent: bytes) -> None:
    reading, writing = os.pipe()
    stop = threading.Event()
    with standard_input(reading), ThreadPoolExecutor(1) as thread:
        os.write(writing, sent)
        batches = resolve(["-"])[0].batches(10, MIB, stop.is_set)
        result = thread.submit(list, batches)
        with pytest.raises(TimeoutError):
            result.result(0.3)
        stop.set()
        assert all(row.data == b"{}" for batch in result.result(5) for row in batch)
    os.close(reading)
    os.close(writing)


def test_stop_ends_the_wait_for_a_writer_and_a_line_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list(resolve([str(tmp_path / "pipe")])[0].batches(10, MIB, lambda: True)) == []
    endless = resolve(["/dev/zero"])[0]
    assert list(endless.batches(10, MIB, lambda: endless.consumed > 50 * MIB)) == []


def test_standard_input_from_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"{}\n[]")
    with (tmp_path / "rows").open("rb") as opened, standard_input(opened.fileno()):
        [source] = resolve(["-"])
        assert [str(row.position) for row in rows(source)] == ["-:1", "-:2"]
        os.fstat(0)  # still open
    assert source.size is None


def test_closing_the_iterator_closes_the_file(tmp_path: Path) -> None:
    source = file(tmp_path / "rows", b"1\n2\n")
    before = open_files()
    batches = source.batches(1, MIB)
    next(batches)
    assert open_files() == before + 1
    batches.close()
    assert open_files() == before
