"""Rows as read from a source, and the valid invitations made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

METADATA: Final = "_bulk_invite"
"""The member of a row that is ours, not the request's; results carry position and errors in it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a row is located: the displayed name of the source, and the line (from 1) or a key."""

    source: str
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else f"{self.source}:{self.key}"

    def members(self) -> dict[str, object]:
        """The members of its JSON form."""
        return {"source": self.source, **({"line": self.line} if self.line else {"key": self.key})}


def row_fields(position: Position, label: str) -> dict[str, str]:
    """The fields of a log event that say which row it concerns."""
    return {"position": str(position), **({"label": label} if label else {})}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a source, without its line ending.

    `data` is sensitive and excluded from `repr`. A line over the limit is `oversized` and carries no data.
    label: as a column of a database has it; rows of files have theirs in `data`.
    """

    position: Position
    data: bytes = field(repr=False)
    oversized: bool = False
    label: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RowError:
    """One error of a row: its JSON path ("$" for the row itself), a stable code, and a message.

    Neither path nor message ever holds a value of the row.
    """

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is never sent, with all its errors.

    sent_as: the client token under which it was sent before it was changed, or "". label: the user's name for
    the row, or "".
    """

    row: Row
    errors: tuple[RowError, ...]
    sent_as: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A valid row. Every attempt sends the same `body`.

    body: canonical JSON of the whole request (Catalog and ClientToken filled in). body_hash: hex SHA-256 of
    `body`, stored in the checkpoint instead of the sensitive body. has_key_token: the token is derived from
    the row's key, so it stays the same when the row is edited. account: the receiver's, sensitive; "" if the
    service model knows none. label: the user's name for the row, or "", on one line and without sensitive
    values; not a part of body or token. is_strict: its warnings are errors if no earlier run has accepted
    the row.
    """

    row: Row
    client_token: str
    body: bytes = field(repr=False)
    body_hash: str
    engagement: str
    payload_type: str
    warnings: tuple[RowError, ...] = ()
    has_key_token: bool = False
    account: str = field(default="", repr=False)
    label: str = ""
    is_strict: bool = False

    @property
    def position(self) -> Position:
        return self.row.position

    def as_new(self) -> Invitation | Rejection:
        """The row for a run that is the first to read it.

        Otherwise the row keeps its state: it may have been sent, and is not sent once more when it is edited.
        """
        is_rejected = self.is_strict and self.warnings
        return Rejection(self.row, self.warnings, label=self.label) if is_rejected else self
