"""`validate`: what each row is, and which earlier row it repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bulk_invite.checkpoint.seen_rows import SeenRows
from bulk_invite.domain.rows import Invitation, Rejection, Row, RowError
from bulk_invite.domain.same_receiver import Earlier, repetition
from bulk_invite.validation import RowValidator

Checked = Rejection | tuple[RowError, ...]
"""The errors of a row, or its warnings."""


class RowComparison:
    """Validates rows and compares them with each other. seen: None if rows are not compared."""

    def __init__(self, validator: RowValidator, seen: SeenRows | None) -> None:
        self._validator = validator
        self._seen = seen
        self._codes: Counter[str] = Counter()

    def check(self, batch: Sequence[Row]) -> list[Checked]:
        """Return what is wrong with each row of a batch; a row that repeats another one has a warning."""
        if self._seen is None:
            return [self._validator.check(row) for row in batch]
        validated = [
            each.as_new() if isinstance(each, Invitation) else each
            for each in map(self._validator.validate, batch)
        ]
        earlier = iter(self._seen.add([each for each in validated if isinstance(each, Invitation)]))
        return [
            each if isinstance(each, Rejection) else self._compared(each, next(earlier)) for each in validated
        ]

    def counts(self) -> dict[str, int]:
        """Rows that repeat another one, by their JSON keys."""
        return {code: self._codes[code] for code in ("duplicate", "same_receiver")}

    def clauses(self) -> list[str]:
        """What of it a sentence names: nothing for zeros."""
        duplicates, same = self.counts().values()
        clauses = [f"{duplicates:,} duplicate"] if duplicates else []
        return [*clauses, f"{same:,} with the engagement and account of another row"] if same else clauses

    def _compared(self, row: Invitation, earlier: Earlier | None) -> tuple[RowError, ...]:
        if earlier is None:
            return row.warnings
        warning = repetition(earlier, row.position)
        self._codes[warning.code] += 1
        return (*row.warnings, warning)
