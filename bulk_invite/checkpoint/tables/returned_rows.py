"""Rows that come back from `rejected.ndjson`: `_bulk_invite` says where each of them was rejected before.

Such a row keeps its first position. Otherwise it would count twice, there and in the results file, also after
it was corrected and sent.

What the row says is believed only if a file with that name has a rejected row there, with the errors that the
row names. It may also have the errors of the row as it is now: then an interrupted run has read the results
file before. So no row hides another one, and reading a file again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, select, tuple_

from bulk_invite.checkpoint.tables.encoding import encode_errors
from bulk_invite.checkpoint.tables.schema import unsent_rows
from bulk_invite.domain.rows import METADATA, Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State

_MARK: Final = f'"{METADATA}"'.encode()
_MOST_LINES: Final = 1 << 62

_PLACE: Final = tuple_(unsent_rows.c.source, unsent_rows.c.line)
_OF_FILES: Final = unsent_rows.c.row_key == ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Where a row says that it was rejected. errors: encoded, those of then and those of now."""

    first: Position
    errors: frozenset[str]


def first_positions(connection: Connection, claims: Mapping[Position, Claim]) -> dict[Position, Position]:
    """Return the first positions of the rows of a batch that were rejected before, by their position now."""
    if not claims:
        return {}
    places = {(claim.first.source, claim.first.line) for claim in claims.values()}
    wanted = select(unsent_rows.c.source, unsent_rows.c.line, unsent_rows.c.errors).where(
        _PLACE.in_(sorted(places)),
        _OF_FILES,
        unsent_rows.c.state == State.REJECTED.value,
    )
    stored = {Position(row.source, row.line): row.errors for row in connection.execute(wanted)}
    found: dict[Position, Position] = {}
    for position, claim in claims.items():
        if stored.pop(claim.first, None) in claim.errors:  # one row for each
            found[position] = claim.first
    return found


def forget(connection: Connection, first: Mapping[Position, Position]) -> None:
    """Delete the rejected rows at the positions that `first_positions` found."""
    if first:
        places = sorted((each.source, each.line) for each in first.values())
        connection.execute(delete(unsent_rows).where(_PLACE.in_(places), _OF_FILES))


def claims_of(batch: Sequence[Invitation | Rejection]) -> dict[Position, Claim]:
    """What the rows of a batch say. Positions in the files that are being read are about to be replaced."""
    return dict(_claims(batch))


def _claims(batch: Sequence[Invitation | Rejection]) -> Iterator[tuple[Position, Claim]]:
    own = {each.row.position.source for each in batch}
    for each in batch:
        row = each.row
        if _MARK not in row.data or row.position.key:
            continue
        first, errors = _said(row)
        if first is not None and first.source not in own:
            now = {encode_errors(each.errors)} if isinstance(each, Rejection) else set()
            yield row.position, Claim(first, frozenset({errors, *now}))


def _said(row: Row) -> tuple[Position | None, str]:
    """The first position of a row and the errors of that time, as its metadata have them."""
    try:
        value = orjson.loads(row.data)
    except orjson.JSONDecodeError:
        return None, ""
    match value:
        case {"_bulk_invite": {"errors": [*errors], **metadata}}:
            first = _position(metadata.get("origin", metadata.get("position")))
            return first, encode_errors([error for each in errors if (error := _error(each))])
        case _:
            return None, ""


def _position(value: Any) -> Position | None:
    match value:
        case {"source": str(source), "line": int(line)} if not isinstance(line, bool):
            return Position(source, line) if 0 < line < _MOST_LINES and "\0" not in source else None
        case _:
            return None


def _error(value: Any) -> RowError | None:
    match value:
        case {"path": str(path), "code": str(code)}:
            return RowError(path, code, "")
        case _:
            return None
