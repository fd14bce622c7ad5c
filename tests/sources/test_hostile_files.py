"""Hostile files, by the installed command: whatever they unpack to, memory is that of a plain file."""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from bombs import gzip_bomb, zstd_bomb
from command import COMMAND, PATIENCE
from measured import MIB, Measured, measured
from rows import make_rows, ndjson
from source_files import file, until_error

from bulk_invite.sources.lines import Lines

ROOM = 40 * MIB
"""The memory allowed beyond that of a plain file: a line of 1 MiB parsed, or a slice of zstd unpacked."""

GIB = 1 << 30
VALID = ndjson(make_rows(2))


def validate(path: Path) -> Measured:
    return measured(COMMAND, "validate", path.name, "--json", cwd=path.parent)


@cache
def plain() -> Measured:
    """Four MiB of valid rows."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.ndjson"
        path.write_bytes(ndjson(make_rows(4000)))
        ran = validate(path)
    assert (ran.code, ran.json["valid"]) == (0, 4000)
    return ran


def test_a_line_of_a_hundred_megabytes_is_rejected_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    with path.open("wb") as holes:
        holes.write(VALID)
        holes.seek(100 * MIB, 1)
        holes.write(b"\n" + VALID)
    ran = validate(path)
    assert (ran.code, ran.json["valid"], ran.json["codes"]) == (1, 4, {"line_too_long": 1})
    assert ran.json["first"][0]["position"]["line"] == 3
    assert ran.peak < plain().peak + ROOM


def test_a_pipe_that_never_ends_its_line_is_read_in_flat_memory(tmp_path: Path) -> None:
    with subprocess.Popen(["head", "-c", str(100 * MIB), "/dev/zero"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        ran = measured(COMMAND, "validate", "-", "--json", cwd=tmp_path, stdin=endless.stdout)
    assert (ran.code, ran.json["codes"]) == (1, {"line_too_long": 1})
    assert ran.peak < plain().peak + ROOM


@pytest.mark.parametrize(
    ("name", "bomb", "rejected"),
    [
        ("zeros.zst", lambda: zstd_bomb(b"\0", GIB, tail=b"\n" + VALID), 1),
        ("newlines.zst", lambda: zstd_bomb(b"\n", 8 * MIB, tail=VALID), 0),
        ("frames.zst", lambda: zstd_bomb(b"\0", MIB) * 100 + zstandard.compress(b"\n" + VALID), 1),
        ("zeros.gz", lambda: gzip_bomb(b"\0", 128 * MIB, tail=b"\n" + VALID), 1),
        ("newlines.gz", lambda: gzip_bomb(b"\n", 8 * MIB, tail=VALID), 0),
        ("brackets.gz", lambda: gzip_bomb(b"[" * (MIB - 1) + b"\n", 16 * MIB, tail=VALID), 16),
        ("blank.ndjson", lambda: b" \t\r\n" * 1_000_000 + VALID, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bomb_takes_no_more_memory_than_a_plain_file(
    tmp_path: Path, name: str, bomb: Callable[[], bytes], rejected: int
) -> None:
    path = tmp_path / name
    path.write_bytes(bomb())
    ran = validate(path)
    assert ran.json["valid"] == 2
    assert ran.json["rejected"] == rejected
    assert ran.code == (0 if rejected == 0 else 1)
    assert ran.peak < plain().peak + ROOM


@pytest.mark.parametrize("name", ["twice.gz", "twice.zst"])
def test_a_file_compressed_twice_is_decompressed_once_and_reported(tmp_path: Path, name: str) -> None:
    pack, bomb = (gzip.compress, gzip_bomb) if name.endswith("gz") else (zstandard.compress, zstd_bomb)
    path = tmp_path / name
    path.write_bytes(pack(bomb(b"\0", 32 * MIB)) + pack(b"\n" + VALID))
    ran = validate(path)
    assert (ran.code, ran.json["error"]["code"]) == (4, "source")
    assert f"{name}: is packed twice." in ran.stderr
    assert ran.peak < plain().peak + ROOM


def test_the_zstd_window_is_limited_to_the_default_maximum(tmp_path: Path) -> None:
    path = tmp_path / "rows.zst"
    path.write_bytes(zstd_bomb(b"\0", 160 * MIB, window_log=27))
    ran = validate(path)
    assert (ran.code, ran.json["codes"]) == (1, {"line_too_long": 1})
    assert ran.peak < plain().peak + ROOM + 128 * MIB
    for window_log in (28, 31, 41):
        path.write_bytes(zstd_bomb(b"\n", MIB, window_log=window_log))
        found, error = until_error(file(path, path.read_bytes()))
        assert found == []
        assert error is not None
        assert "needs more memory to decompress than allowed" in error


@pytest.mark.parametrize("name", ["rows.gz", "rows.zst"])
def test_a_truncated_bomb_is_reported_after_its_rows(tmp_path: Path, name: str) -> None:
    first = gzip.compress(VALID) if name.endswith("gz") else zstandard.compress(VALID)
    bomb = gzip_bomb(b"\0", 16 * MIB) if name.endswith("gz") else zstd_bomb(b"\0", GIB)
    path = tmp_path / name
    path.write_bytes(first + bomb[: len(bomb) // 2])
    ran = validate(path)
    assert ran.code == 4
    assert ran.json["valid"] == 2
    assert "data is truncated, after line 2." in ran.stderr
    assert ran.peak < plain().peak + ROOM


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("padding.gz", gzip.compress(VALID)),
        ("name.gz", b"\x1f\x8b\x08\x08" + bytes(6) + b"name"),
        ("skippable.zst", zstandard.compress(VALID) + b"\x50\x2a\x4d\x18" + b"\xff" * 4),
    ],
)
def test_a_run_can_be_stopped_while_a_compressed_file_yields_nothing(
    tmp_path: Path, name: str, head: bytes
) -> None:
    filling = b"x" * MIB if name == "name.gz" else b"\0" * MIB
    source = file(tmp_path / name, head + filling * 8)
    list(source.batches(stop=lambda: source.consumed >= 2 * MIB))
    assert source.consumed < 3 * MIB


def seconds_of_pieces(count: int) -> float:
    """Processor time for a line in that many pieces, the best of three."""
    times = []
    for _ in range(3):
        lines = Lines("x")
        started = time.process_time()
        for _ in range(count):
            assert list(lines.feed(b"[,")) == []
        times.append(time.process_time() - started)
        assert [len(row.data) for row in lines.finish()] == [2 * count]
    return min(times)


def test_a_line_in_tiny_pieces_takes_linear_time() -> None:
    assert seconds_of_pieces(80_000) < 4 * 16 * seconds_of_pieces(5_000), "the square would be 16 * 16"


def test_all_control_characters_of_a_name_are_escaped_in_its_error(tmp_path: Path) -> None:
    name = "".join(map(chr, [*range(1, 32), 127, *range(128, 160), 0x202E])).replace("/", "")
    ran = subprocess.run(
        [COMMAND, "validate", name], check=False, cwd=tmp_path, capture_output=True, timeout=PATIENCE
    )
    assert ran.returncode == 4
    sentence = ran.stderr.decode().removesuffix("\nSee: bulk-invite manual rows\n")
    assert sentence.isprintable()
    assert b"no such file" in ran.stderr
