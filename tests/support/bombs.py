"""Small files that unpack to a lot, made without unpacking anything."""

from __future__ import annotations

import gzip
from typing import Final

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 128 * 1024
_RLE: Final = 1


def zstd_bomb(byte: bytes, size: int, *, window_log: int = 17, tail: bytes = b"") -> bytes:
    """One frame of `size` times `byte` and `tail`: four bytes for every 128 KiB."""
    blocks = [_zstd_block(_RLE, min(_BLOCK, size - at), byte) for at in range(0, size, _BLOCK)]
    last = _zstd_block(0, len(tail), tail, last=True)
    return _ZSTD_MAGIC + bytes([0, (window_log - 10) << 3]) + b"".join(blocks) + last


def _zstd_block(kind: int, size: int, data: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data


def gzip_bomb(filling: bytes, size: int, *, tail: bytes = b"") -> bytes:
    """Members of up to 16 MiB each."""
    part = min(size, 16 << 20)
    member = gzip.compress(filling * (part // len(filling)), mtime=0)
    return member * (size // part) + gzip.compress(tail, mtime=0)
