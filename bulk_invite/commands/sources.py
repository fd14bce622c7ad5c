"""The sources that an operator names: files, globs, standard input and databases."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from bulk_invite.backoff import Backoff
from bulk_invite.errors import UsageError
from bulk_invite.forms import is_database
from bulk_invite.invitation import Row
from bulk_invite.settings import Settings
from bulk_invite.sources.ndjson import STDIN, resolve

if TYPE_CHECKING:
    from bulk_invite.sources.postgres.source import PostgresSource

SOURCE_SETTINGS: Final = (
    "table",
    "query",
    "key",
    "request_column",
    "columns",
    "constants",
    "token_from",
)
"""Settings that say what is read of a database."""

_RECONNECT: Final = Backoff(base=0.5, cap=30.0)


class Source(Protocol):
    """What all sources have in common; see `NdjsonSource` and `PostgresSource`."""

    name: str
    consumed: int
    lines: int

    @property
    def size(self) -> int | None: ...

    @property
    def has_keys(self) -> bool: ...

    def batches(
        self, max_rows: int = ..., max_bytes: int = ..., stop: Callable[[], bool] = ...
    ) -> Generator[list[Row]]: ...


def shown(name: str) -> str:
    """A source as it may be told: the address of a database may hold a password."""
    return "a database" if is_database(name) else name


def open_sources(names: Sequence[str], settings: Settings) -> list[Source]:
    """Find and check the sources, in the order of their names.

    Raises UsageError for what cannot be meant, SourceError for what cannot be read.
    """
    if settings.tokens_from_keys and not all(map(is_database, names)):
        raise UsageError(
            "Only rows of a database have keys to make tokens from.",
            hint="Leave --token-from key away, or give the rows of files tokens of their own (ClientToken).",
        )
    if sum(name == STDIN for name in names) > 1:
        raise UsageError("Standard input (-) is named twice.", hint="It can be read once: name it once.")
    sources: list[Source] = []
    for name in names:
        sources += [_database(name, settings)] if is_database(name) else resolve([name])
    return sources


def _database(url: str, settings: Settings) -> PostgresSource:
    # psycopg takes a while to import, and most sources are files.
    from bulk_invite.sources.postgres.selection import Selection  # noqa: PLC0415
    from bulk_invite.sources.postgres.source import PostgresSource  # noqa: PLC0415

    selection = Selection(
        settings.table,
        settings.query,
        settings.key or "",
        settings.request_column,
        settings.columns,
        settings.constants,
    )
    return PostgresSource(url, selection, _RECONNECT, random.random)
