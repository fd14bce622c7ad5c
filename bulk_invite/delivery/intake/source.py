"""Protocols of a source, as delivery and the runs use it.

Every method blocks. A source polls `stop` while it waits for rows, and returns soon after it turns true.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, runtime_checkable

from bulk_invite.domain.records import Prefix, PrefixRows
from bulk_invite.domain.rows import Row
from bulk_invite.domain.text_settings import TextSettings


class Source(Protocol):
    """A finite source of rows.

    name: the source in `Position`. answering: whether the last read or poll succeeded. size: bytes on disk,
    or None. consumed: bytes read so far. lines: line ends in those bytes.
    """

    name: str
    consumed: int
    lines: int

    @property
    def answering(self) -> bool: ...

    @property
    def size(self) -> int | None: ...

    def batches(
        self, max_rows: int = ..., max_bytes: int = ..., stop: Callable[[], bool] = ...
    ) -> Generator[list[Row]]: ...


@runtime_checkable
class KeyedSource(Source, Protocol):
    """A database: it can be read from any key of its rows on, and queried for given keys.

    It may show which rows have changed since it was read completely.
    """

    def batches(
        self,
        max_rows: int = ...,
        max_bytes: int = ...,
        stop: Callable[[], bool] = ...,
        *,
        after: str | None = None,
        since: str | None = None,
    ) -> Generator[list[Row]]: ...

    def rows(self, keys: Sequence[str], stop: Callable[[], bool]) -> list[Row]: ...

    def text_settings(self, *, of_keys: bool) -> TextSettings:
        """The settings that determine the text of its rows; of_keys: of their keys only."""
        ...

    def require_same_keys(self, keys: Sequence[str], stop: Callable[[], bool]) -> None:
        """Raise UsageError if the key of a row found by one of these keys now has a different text."""
        ...

    @property
    def finished(self) -> str | None:
        """The mark up to which all rows are read, when `batches` has returned all; None if there is none."""
        ...

    def unchanged(self, mark: str, stop: Callable[[], bool]) -> int | None:
        """The number of rows that have not changed since a mark; None if that is not known."""
        ...


@runtime_checkable
class ResumableSource(Source, Protocol):
    """A file: what earlier runs have read of it is recognized by its bytes."""

    def batches(
        self,
        max_rows: int = ...,
        max_bytes: int = ...,
        stop: Callable[[], bool] = ...,
        *,
        skips: PrefixRows | None = None,
        marks: bool = False,
    ) -> Generator[list[Row]]: ...

    def begins_with(self, prefix: Prefix, stop: Callable[[], bool]) -> bool:
        """Whether it still begins with these bytes; False also if a stop came first."""
        ...

    def prefix_at(self, row: Row) -> Prefix | None:
        """The prefix up to the end of a row just returned; None if nothing new is known with it."""
        ...


def can_be_read_again(source: Source) -> bool:
    """Whether it has the same rows for a second reader, as a pipe does not."""
    return source.size is not None or isinstance(source, KeyedSource)


@runtime_checkable
class CountedSource(Source, Protocol):
    """A source that counts its rows. all_rows: their number when it was opened."""

    all_rows: int

    def rows_after(self, key: str, seconds: float, stop: Callable[[], bool]) -> int | None:
        """The number of rows after a key; None if counting them takes longer, or fails."""
        ...


class FollowedSource(Protocol):
    """A source that keeps growing.

    `follow` yields rows with a mark from which following can resume, or None if the source has no marks. A
    batch without rows means that the source was polled and had none.
    """

    name: str

    @property
    def answering(self) -> bool: ...

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]: ...
