"""Decompress gzip and zstd streams in bounded memory.

Invariant: the output is a prefix of the original data; unless the stream ends where its format says,
`CompressedDataError` follows. Input is taken in slices small enough for the worst ratio of the format: none
decompresses to more than 8 MiB. A checksum follows the data that it protects, so damaged data that still
decompresses has been handed out before the damage is known.
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
    """The stream is damaged or truncated.

    The message continues a sentence that begins with the file's name.
    """


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Codec:
    """padding: bytes allowed after a member. may_trail: any other bytes may follow, too, and are ignored."""

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
    slice_bytes=4096,  # deflate compresses 1032:1 at best, so 4 MiB
    padding=b"\0",  # tapes and block devices pad the last member with zeros
    may_trail=True,
)
_ZSTD = _Codec(
    name="zstd",
    magic=b"\x28\xb5\x2f\xfd",
    decoder=lambda: zstandard.ZstdDecompressor().decompressobj(),
    slice_bytes=256,  # a block of 128 KiB compresses to 4 bytes at best, so 8 MiB
)
_BY_SUFFIX = {".gz": _GZIP, ".zst": _ZSTD}

_GZIP_MEMBER = b"\x1f\x8b\x08"
_LONGEST_MAGIC = 4
TEXT_BYTES = 512
"""Bytes at the beginning of a stream that show whether it is text."""

_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r"))


def unpack(
    blocks: Iterator[bytes],
    suffix: str,
    trailing: Callable[[], None] = lambda: None,
    taken: Callable[[int], None] = lambda _bytes: None,
) -> Iterator[bytes]:
    """Return the plain bytes of a stream, at most `BLOCK_BYTES` at a time.

    An input block without output yields an empty block, so that the reader can stop. The first bytes
    determine the compression; if they are damaged, the suffix (`.gz`, `.zst`) does; text counts as
    uncompressed under any name. trailing: called if other bytes follow the gzip data; like gzip, we ignore
    them. taken: called with the number of input bytes of which each block is made, before it is returned.
    """
    named = _BY_SUFFIX.get(suffix.lower())
    head = b""
    while _undecided(head, named) and (block := next(blocks, None)) is not None:
        head += block
        if not block:
            yield b""
    codec = _codec_of(head, named)
    blocks = chain([head], blocks)
    if codec is not None:
        yield from _unpack_members(blocks, codec, trailing, taken)
        return
    for block in blocks:
        taken(len(block))
        yield block


def packed_as(head: bytes) -> str | None:
    """Return the codec's name by the first bytes of a stream; None if it is not one of ours."""
    codec = _codec_of(head, None)
    return None if codec is None else codec.name


def is_packed(head: bytes, suffix: str) -> bool:
    """Whether `unpack` decompresses a stream that begins so."""
    return _codec_of(head, _BY_SUFFIX.get(suffix.lower())) is not None


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
    """Whether the stream is text or another known format."""
    text = head[:TEXT_BYTES]
    return by_magic(head) is not None or (bool(text.strip()) and text.translate(None, _CONTROLS) == text)


def _unpack_members(
    blocks: Iterable[bytes], codec: _Codec, trailing: Callable[[], None], taken: Callable[[int], None]
) -> Iterator[bytes]:
    """Decompress one member (gzip) or frame (zstd) after another; the input must end where one ends."""
    members = _Members(codec)
    for block in blocks:
        silent = True
        for piece in _sliced([block], codec.slice_bytes):
            left = len(piece)
            for plain in members.feed(piece):
                silent, to_come = False, len(plain)
                for part in _sliced([plain], BLOCK_BYTES):
                    share = left * len(part) // to_come
                    left, to_come = left - share, to_come - len(part)
                    taken(share)
                    yield part
            taken(left)
        if silent:
            yield b""
    if members.finish():
        trailing()


class _Members:
    """Takes a stream in pieces. Raises CompressedDataError if it is damaged or truncated."""

    def __init__(self, codec: _Codec) -> None:
        self._codec = codec
        self._decoder: _Decoder | None = None
        self._ended = 0
        self._kept = b""  # between members: too little to recognize; in trailing data: its end
        self._trails = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Return the decompressed blocks, none of them empty."""
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
        """Whether other data follows."""
        begun = self._kept and not self._trails and self._codec.magic.startswith(self._kept[:2])
        if self._decoder is not None or not self._ended or begun:
            raise CompressedDataError(f"its {self._codec.name} data is truncated")
        return self._trails or bool(self._kept)

    def _begins(self, rest: bytes) -> bool:
        """Whether a member begins here, possibly a damaged one."""
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
        elif _GZIP_MEMBER in rest:  # another member follows, so this was a damaged one, not garbage
            raise CompressedDataError(f"its {self._codec.name} data is damaged (between two members)")
        else:
            self._kept = rest[1 - len(_GZIP_MEMBER) :]


def _said(exc: zlib.error | zstandard.ZstdError) -> str:
    if _TOO_LARGE_WINDOW in str(exc):
        return "needs more memory to decompress than allowed (compress it with a window of up to 128 MiB)"
    return f"is damaged ({exc})"


def _sliced(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        if len(block) <= size:
            yield block
        else:
            for start in range(0, len(block), size):
                yield block[start : start + size]
