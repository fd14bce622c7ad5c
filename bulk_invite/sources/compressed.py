"""Streams of gzip and zstd, unpacked in bounded memory.

Invariant: what comes out is a beginning of what was packed; unless the stream ends where its format says that
it ends, `CompressedDataError` follows. Input is taken in slices small enough for the worst ratio of the
format: none unpacks to more than 8 MiB. A check sum stands behind the data that it guards, so what is damaged
but still unpacks has been handed out by the time that is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import zstandard

BLOCK_BYTES = 64 * 1024

_TOO_LARGE_WINDOW = "requires too much memory"


class CompressedDataError(Exception):
    """The stream is damaged or stops short; the text says which, to stand after a file's name."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    magic: bytes
    decoder: Callable[[], _Decoder]
    slice_bytes: int
    padding: bytes


_GZIP = _Codec(
    name="gzip",
    magic=b"\x1f\x8b",
    decoder=lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    slice_bytes=4096,  # deflate packs 1032 : 1 at best, so 4 MiB
    padding=b"\0",  # tapes and block devices pad the last member with zeros
)
_ZSTD = _Codec(
    name="zstd",
    magic=b"\x28\xb5\x2f\xfd",
    decoder=lambda: zstandard.ZstdDecompressor().decompressobj(),
    slice_bytes=256,  # a block of 128 KiB packs into 4 bytes at best, so 8 MiB
    padding=b"",
)
_BY_SUFFIX = {".gz": _GZIP, ".zst": _ZSTD}


def unpack(blocks: Iterator[bytes], suffix: str) -> Iterator[bytes]:
    """Hand out the plain bytes of a stream, at most `BLOCK_BYTES` at a time.

    An empty block comes for each block that gave nothing, so that whoever reads can think of stopping.

    `.gz` and `.zst` say how the stream is packed; with any other suffix its first bytes do.
    """
    codec = _BY_SUFFIX.get(suffix.lower())
    if codec is None:
        head = b""
        while _undecided(head) and (block := next(blocks, None)) is not None:
            head += block
            if not block:
                yield b""
        codec = next((known for known in _BY_SUFFIX.values() if head.startswith(known.magic)), None)
        blocks = chain([head], blocks)
    yield from blocks if codec is None else _unpack_members(blocks, codec)


def _undecided(head: bytes) -> bool:
    return any(len(head) < len(codec.magic) and codec.magic.startswith(head) for codec in _BY_SUFFIX.values())


def _unpack_members(blocks: Iterable[bytes], codec: _Codec) -> Iterator[bytes]:
    """Unpack member after member (gzip), frame after frame (zstd); the input must end where one ends."""
    decoder: _Decoder | None = None
    ended = 0
    for block in blocks:
        silent = True
        for piece in _sliced([block], codec.slice_bytes):
            rest = piece
            while rest:
                if decoder is None:
                    rest = rest.lstrip(codec.padding) if ended else rest
                    decoder = codec.decoder() if rest else None
                    continue
                try:
                    plain = decoder.decompress(rest)
                except (zlib.error, zstandard.ZstdError) as exc:
                    raise CompressedDataError(f"its {codec.name} data {_said(exc)}") from exc
                if plain:
                    silent = False
                    yield from _sliced([plain], BLOCK_BYTES)
                rest = b""
                if decoder.eof:
                    rest, decoder, ended = decoder.unused_data, None, ended + 1
        if silent:
            yield b""
    if decoder is not None or not ended:
        raise CompressedDataError(f"its {codec.name} data stops before its end")


def _said(exc: zlib.error | zstandard.ZstdError) -> str:
    if _TOO_LARGE_WINDOW in str(exc):
        return "needs more memory to unpack than is given to it (pack it with a window of up to 128 MiB)"
    return f"is damaged ({exc})"


def _sliced(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        if len(block) <= size:
            yield block
        else:
            for start in range(0, len(block), size):
                yield block[start : start + size]
