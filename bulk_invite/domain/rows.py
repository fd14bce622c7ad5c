"""What is read and what is sent: a row as it stands in its source, and the valid invitation made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

METADATA: Final = "_bulk_invite"
"""Member of a row that is ours, not the request's: results carry position and errors in it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a row stands: the source as it is told, and in a file the line, counted from 1; else a key."""

    source: str
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else f"{self.source}:{self.key}"

    def members(self) -> dict[str, object]:
        """As it stands in JSON."""
        return {"source": self.source, **({"line": self.line} if self.line else {"key": self.key})}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a source, without its line ending.

    `data` is sensitive and stays out of `repr`. A line over the limit is `oversized` and carries no data.
    """

    position: Position
    data: bytes = field(repr=False)
    oversized: bool = False


@dataclass(frozen=True, slots=True)
class RowError:
    """One thing wrong with a row: where (JSON path, "$" for the row itself), a stable code, a sentence.

    Neither path nor message ever holds a value of the row.
    """

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is never sent, with everything that is wrong with it.

    sent_as: the client token under which it was sent before it was changed; "" where it was not.
    """

    row: Row
    errors: tuple[RowError, ...]
    sent_as: str = ""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A valid row, frozen: every attempt is made from `body`, so all of them say the same.

    body: canonical JSON of the whole request (Catalog and ClientToken filled in).
    body_hash: hex SHA-256 of `body`; what the checkpoint keeps in its place, because `body` is sensitive.
    has_key_token: the token comes from the row's key, so that it stays when the row is changed.
    """

    row: Row
    client_token: str
    body: bytes = field(repr=False)
    body_hash: str
    engagement: str
    payload_type: str
    warnings: tuple[RowError, ...] = ()
    has_key_token: bool = False

    @property
    def position(self) -> Position:
        return self.row.position
