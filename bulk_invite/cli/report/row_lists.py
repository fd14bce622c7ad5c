"""Where rows are, in one line for each source: `lines 5, 38 (Example Ltd), 91-95`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from bulk_invite.domain.records import NamedRow


class RowList(NamedTuple):
    """Rows of one source. texts: each a row with its label, or a range of lines."""

    source: str
    unit: str
    texts: list[str]

    def __str__(self) -> str:
        return f"{self.source}, {self.unit} {', '.join(self.texts)}"


def row_lists(rows: Sequence[NamedRow]) -> list[RowList]:
    """The rows by source, in their order."""
    lists = []
    for (source, has_lines), group in groupby(
        rows, lambda each: (each.position.source, bool(each.position.line))
    ):
        listed = list(group)
        texts = list(_lines(listed)) if has_lines else [_labeled(each.position.key, each) for each in listed]
        unit = "line" if has_lines else "key"
        lists.append(RowList(source, unit if len(listed) == 1 else f"{unit}s", texts))
    return lists


def _lines(rows: Sequence[NamedRow]) -> Iterator[str]:
    """Lines in a row, without labels, are one range."""
    pairs = enumerate(rows)
    for _, group in groupby(pairs, lambda pair: (pair[1].label, pair[1].position.line - pair[0])):
        run = [row for _, row in group]
        first, last = run[0].position.line, run[-1].position.line
        if run[0].label or len(run) <= 2:  # noqa: PLR2004 - two lines are no shorter as a range
            yield from (_labeled(str(row.position.line), row) for row in run)
        else:
            yield f"{first}-{last}"


def _labeled(place: str, row: NamedRow) -> str:
    return f"{place} ({row.label})" if row.label else place
