"""The cost of hostile files for `bulk-invite validate`: processor time and peak memory beside a plain file.

    python tests/bench/bench_hostile.py

Every file is made, judged by the installed command and taken away again; the largest unpack to 1 GiB.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import zstandard
from bombs import gzip_bomb, zstd_bomb
from command import COMMAND
from measured import MIB, measured
from rows import make_rows, ndjson

GIB = 1 << 30
ROWS = ndjson(make_rows(900))
"""About 1 MiB."""

FILES: dict[str, Callable[[Path], object]] = {
    "rows.ndjson": lambda path: path.write_bytes(ROWS * 100),
    "packed-rows.zst": lambda path: path.write_bytes(_packed(ROWS * 100)),
    "line-100-MB.ndjson": lambda path: _one_line(path, 100 * MIB),
    "line-1-GiB.ndjson": lambda path: _one_line(path, GIB),
    "zeros-1-GiB.gz": lambda path: path.write_bytes(gzip_bomb(b"\0", GIB)),
    "zeros-1-GiB.zst": lambda path: path.write_bytes(zstd_bomb(b"\0", GIB)),
    "zeros-1-GiB-window-128-MiB.zst": lambda path: path.write_bytes(zstd_bomb(b"\0", GIB, window_log=27)),
    "newlines-1-GiB.gz": lambda path: path.write_bytes(gzip_bomb(b"\n", GIB)),
    "newlines-1-GiB.zst": lambda path: path.write_bytes(zstd_bomb(b"\n", GIB)),
    "newlines-100-MB.ndjson": lambda path: path.write_bytes(b"\n" * (100 * MIB)),
    "frames-of-one-byte-1-MB.zst": lambda path: path.write_bytes(_packed(b"[") * (MIB // 10)),
    "brackets-100-MB.ndjson": lambda path: path.write_bytes((b"[" * (MIB - 1) + b"\n") * 100),
    "unknown-members-100-MB.ndjson": lambda path: path.write_bytes(_wide() * 100),
    "keys-given-twice-100-MB.ndjson": lambda path: path.write_bytes(_twice() * 100),
    "digits-100-MB.ndjson": lambda path: path.write_bytes((b'{"a":0.' + b"1" * (MIB - 9) + b"}\n") * 100),
}


def _packed(data: bytes) -> bytes:

    return zstandard.compress(data)


def _one_line(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(b"x" * MIB)


def _wide() -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(90_000)) + b"}\n"


def _twice() -> bytes:
    return b"{" + b",".join([b'"":[]'] * (MIB // 6 - 1)) + b"}\n"


def main() -> None:
    print(f"{'file':32} {'on disk, kB':>12} {'CPU, s':>8} {'peak, MiB':>10} {'rows':>8}  exit code")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            path = Path(folder) / name
            make(path)
            size = path.stat().st_size
            ran = measured(COMMAND, "validate", name, "--json", cwd=path.parent)
            rows = ran.json["rows"]
            print(
                f"{name:32} {size / 1000:12,.0f} {ran.cpu:8.1f} {ran.peak / MIB:10.0f} {rows:8,}  {ran.code}"
            )
            path.unlink()


if __name__ == "__main__":
    main()
