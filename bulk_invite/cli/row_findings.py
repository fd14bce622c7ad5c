"""What is wrong with the rows of a source: row by row, and counted by kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bulk_invite.domain.rows import Position, Rejection, Row, RowError
from bulk_invite.domain.texts import escaped, plural

_LISTED: Final = 100
"""Maximum number of rows listed one by one in the JSON object."""

_POSITIONS: Final = 3
"""Positions listed for each kind."""

_KINDS: Final = 500
"""Kinds that are told apart: a file that holds no invitations may have as many as places."""

_INDEX: Final = re.compile(r"\[[0-9]+\]")


@dataclass(slots=True)
class _Kind:
    """The rows with one code at one place. message: that of the first row; differs: others have another."""

    code: str
    path: str
    rejected: bool
    message: str
    count: int = 0
    differs: bool = False
    first: list[Position] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        rows = plural(self.count, "row", "rows")
        word = "" if self.rejected else "warning: "
        first = "; the first: " if self.differs else ": "
        yield f"{rows}: {word}{self.code} at {self.path}{first}{self.message}"
        more = self.count - len(self.first)
        yield f"  {', '.join(map(str, self.first))}{f' and {more:,} more' if more else ''}"

    def members(self) -> dict[str, object]:
        return {
            "code": self.code,
            "path": self.path,
            "rejected": self.rejected,
            "count": self.count,
            "message": self.message,
            "first": [position.members() for position in self.first],
        }


class Findings:
    """Counts rows, and what is wrong with them: by code, and by kind (a code at a place, in any element)."""

    def __init__(self) -> None:
        self.rows = 0
        self.rejected = 0
        self.warned = 0
        self._codes: Counter[str] = Counter()
        self._kinds: dict[tuple[str, str, bool], _Kind] = {}
        self._listed: list[dict[str, Any]] = []

    def add(self, row: Row, checked: Rejection | tuple[RowError, ...]) -> list[str]:
        """Count a row. Returns one line for each error or warning."""
        self.rows += 1
        if not checked:
            return []
        if isinstance(checked, Rejection):
            self.rejected += 1
            self._codes.update(error.code for error in checked.errors)
            self._note(row.position, checked.errors, rejected=True)
            return _lines(row.position, "", checked.errors)
        self.warned += 1
        self._note(row.position, checked, rejected=False)
        return _lines(row.position, "warning: ", checked)

    def _note(self, position: Position, errors: tuple[RowError, ...], *, rejected: bool) -> None:
        if len(self._listed) < _LISTED:
            found = [{"path": each.path, "code": each.code, "message": each.message} for each in errors]
            self._listed.append({"position": position.members(), "rejected": rejected, "errors": found})
        by_kind = {(each.code, _INDEX.sub("[]", each.path), rejected): each.message for each in errors}
        for key, message in by_kind.items():
            if key not in self._kinds and len(self._kinds) >= _KINDS:
                continue
            kind = self._kinds.setdefault(key, _Kind(*key, message))
            kind.count += 1
            kind.differs = kind.differs or message != kind.message
            if len(kind.first) < _POSITIONS:
                kind.first.append(position)

    def kind_lines(self) -> list[str]:
        """Two lines for each kind: what it is, and where it is first."""
        return [escaped(line) for kind in self._ranked() for line in kind.lines()]

    def counts(self) -> dict[str, int]:
        return {
            "rows": self.rows,
            "valid": self.rows - self.rejected,
            "rejected": self.rejected,
            "with_warnings": self.warned,
        }

    def details(self) -> dict[str, object]:
        """What the JSON object has beside the counts."""
        return {
            "codes": dict(self._codes.most_common()),
            "kinds": [kind.members() for kind in self._ranked()],
            "first": self._listed,
        }

    def _ranked(self) -> list[_Kind]:
        return sorted(self._kinds.values(), key=lambda kind: (not kind.rejected, -kind.count))


def _lines(position: Position, word: str, errors: Iterable[RowError]) -> list[str]:
    return [escaped(f"{position}: {word}{each.code} at {each.path}: {each.message}") for each in errors]
