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

from bulk_invite.sources.file_errors import BLOCK_BYTES
from bulk_invite.sources.format_detection import by_magic

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
    """padding: what may stand after a member. may_trail: so may anything else, and is left out."""

    name: str
    magic: bytes
    decoder: Callable[[], _Decoder]
    slice_bytes: int
    padding: bytes = b""
    may_trail: bool = False


_GZIP = _Codec(
    name="gzip",
    magic=b"\x1f\x8b",
    decoder=lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    slice_bytes=4096,  # deflate packs 1032 : 1 at best, so 4 MiB
    padding=b"\0",  # tapes and block devices pad the last member with zeros
    may_trail=True,
)
_ZSTD = _Codec(
    name="zstd",
    magic=b"\x28\xb5\x2f\xfd",
    decoder=lambda: zstandard.ZstdDecompressor().decompressobj(),
    slice_bytes=256,  # a block of 128 KiB packs into 4 bytes at best, so 8 MiB
)
_BY_SUFFIX = {".gz": _GZIP, ".zst": _ZSTD}

_GZIP_MEMBER = b"\x1f\x8b\x08"
_LONGEST_MAGIC = 4
_TEXT_BYTES = 512
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r"))


def unpack(
    blocks: Iterator[bytes], suffix: str, trailing: Callable[[], None] = lambda: None
) -> Iterator[bytes]:
    """Hand out the plain bytes of a stream, at most `BLOCK_BYTES` at a time.

    An empty block comes for each block that gave nothing, so that whoever reads can think of stopping.

    The first bytes say how the stream is packed. `.gz` and `.zst` say it where those are damaged; text is not
    packed, whatever its name.
    trailing: called where bytes that belong to nothing stand after gzip data, which gzip leaves out as well.
    """
    named = _BY_SUFFIX.get(suffix.lower())
    head = b""
    while _undecided(head, named) and (block := next(blocks, None)) is not None:
        head += block
        if not block:
            yield b""
    codec = _codec_of(head, named)
    blocks = chain([head], blocks)
    yield from blocks if codec is None else _unpack_members(blocks, codec, trailing)


def packed_as(head: bytes) -> str | None:
    """The name of the codec, by the first bytes of a stream; None where it is not packed by one of ours."""
    codec = _codec_of(head, None)
    return None if codec is None else codec.name


def _undecided(head: bytes, named: _Codec | None) -> bool:
    if named is not None and len(head) < _LONGEST_MAGIC:
        return True
    return any(len(head) < len(codec.magic) and codec.magic.startswith(head) for codec in _BY_SUFFIX.values())


def _codec_of(head: bytes, named: _Codec | None) -> _Codec | None:
    for codec in _BY_SUFFIX.values():
        if head.startswith(codec.magic):
            return codec
    is_named = named is not None and named.magic.startswith(head)
    return named if is_named or not _is_plain(head) else None


def _is_plain(head: bytes) -> bool:
    """Whether it is text, or something else that is known."""
    text = head[:_TEXT_BYTES]
    return by_magic(head) is not None or (bool(text.strip()) and text.translate(None, _CONTROLS) == text)


def _unpack_members(blocks: Iterable[bytes], codec: _Codec, trailing: Callable[[], None]) -> Iterator[bytes]:
    """Unpack member after member (gzip), frame after frame (zstd); the input must end where one ends."""
    members = _Members(codec)
    for block in blocks:
        silent = True
        for piece in _sliced([block], codec.slice_bytes):
            for plain in members.feed(piece):
                silent = False
                yield from _sliced([plain], BLOCK_BYTES)
        if silent:
            yield b""
    if members.finish():
        trailing()


class _Members:
    """Takes a stream in pieces. CompressedDataError: it is damaged, or stops short."""

    def __init__(self, codec: _Codec) -> None:
        self._codec = codec
        self._decoder: _Decoder | None = None
        self._ended = 0
        self._kept = b""  # between members: too little to tell what it is; in what trails: its end
        self._trails = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What is unpacked by it, none of it empty."""
        rest, self._kept = self._kept + piece, b""
        while rest:
            if self._trails or (self._decoder is None and not self._begins(rest)):
                self._keep(rest)
                return
            if self._decoder is None:
                rest = rest.lstrip(self._codec.padding) if self._ended else rest
                self._decoder = self._codec.decoder()
            try:
                plain = self._decoder.decompress(rest)
            except (zlib.error, zstandard.ZstdError) as exc:
                raise CompressedDataError(f"its {self._codec.name} data {_said(exc)}") from exc
            if plain:
                yield plain
            rest = b""
            if self._decoder.eof:
                rest, self._decoder, self._ended = self._decoder.unused_data, None, self._ended + 1

    def finish(self) -> bool:
        """Whether something trails that belongs to nothing."""
        begun = self._kept and not self._trails and self._codec.magic.startswith(self._kept[:2])
        if self._decoder is not None or not self._ended or begun:
            raise CompressedDataError(f"its {self._codec.name} data stops before its end")
        return self._trails or bool(self._kept)

    def _begins(self, rest: bytes) -> bool:
        """Whether a member begins, perhaps a damaged one."""
        if not self._ended:
            return True
        rest = rest.lstrip(self._codec.padding)
        if not self._codec.may_trail:
            return bool(rest)
        alike = sum(ours == theirs for ours, theirs in zip(rest, _GZIP_MEMBER, strict=False))
        self._trails = len(rest) >= len(_GZIP_MEMBER) > alike + 1
        return alike > 1

    def _keep(self, rest: bytes) -> None:
        if not self._trails:
            self._kept = rest.lstrip(self._codec.padding)
        elif _GZIP_MEMBER in rest:  # another member comes, so that this is no garbage but was one
            raise CompressedDataError(f"its {self._codec.name} data is damaged (between two members)")
        else:
            self._kept = rest[1 - len(_GZIP_MEMBER) :]


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
