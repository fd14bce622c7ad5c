"""Where rows come from, as the flow and the runs around it use it.

All of it blocks. `stop` is asked while a source waits for more; it ends soon after that turns true.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, runtime_checkable

from bulk_invite.domain.rows import Row
from bulk_invite.domain.text_settings import TextSettings


class Source(Protocol):
    """Rows that come to an end.

    name: the source in `Position`. answering: whether the last look at it succeeded. size: bytes on disk, or
    None; consumed: bytes taken of them so far; lines: line ends in those.
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
    """One whose rows have keys: it can be read from any of them on, and asked for some of them."""

    def batches(
        self,
        max_rows: int = ...,
        max_bytes: int = ...,
        stop: Callable[[], bool] = ...,
        *,
        after: str | None = None,
    ) -> Generator[list[Row]]: ...

    def rows(self, keys: Sequence[str], stop: Callable[[], bool]) -> list[Row]: ...

    def text_settings(self, *, of_keys: bool) -> TextSettings:
        """How the texts of its rows are made; of_keys: of their keys only."""
        ...

    def require_same_keys(self, keys: Sequence[str], stop: Callable[[], bool]) -> None:
        """Raise UsageError where a row that is found by one of these keys has another text for it by now."""
        ...


class FollowedSource(Protocol):
    """Rows that go on.

    With rows comes a mark from which it can be followed on, if it has such; without rows, the word that it
    was looked at.
    """

    name: str

    @property
    def answering(self) -> bool: ...

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]: ...
