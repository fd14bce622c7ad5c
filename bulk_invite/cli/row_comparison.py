"""`validate`: what each row is, and which other row it repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bulk_invite.checkpoint.seen_rows import SeenRows
from bulk_invite.domain.rows import Invitation, Rejection, Row, RowError
from bulk_invite.domain.same_receiver import (
    SAME_RECEIVER,
    Earlier,
    Recorded,
    described,
    repetition,
)
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.wiring.earlier_rows import EarlierRows
from bulk_invite.validation import RowValidator

Checked = Rejection | tuple[RowError, ...]
"""The errors of a row, or its warnings."""


class RowComparison:
    """Validates rows and compares them, with each other (`seen`) and with those of earlier runs (`earlier`).

    seen: None if rows are not compared at all.
    """

    def __init__(self, validator: RowValidator, seen: SeenRows | None, earlier: EarlierRows) -> None:
        self._validator = validator
        self._seen = seen
        self._earlier = earlier
        self._codes: Counter[str] = Counter()
        self._already_created = 0

    def check(self, batch: Sequence[Row]) -> list[Checked]:
        """Return what is wrong with each row of a batch; a row that repeats another one has a warning."""
        if self._seen is None:
            return [self._validator.check(row) for row in batch]
        validated = [self._validator.validate(row) for row in batch]
        recorded = self._earlier.recorded([row for row in validated if isinstance(row, Invitation)])
        validated = [
            row.as_new() if isinstance(row, Invitation) and not _is_known(row, recorded) else row
            for row in validated
        ]
        refused = {token for token, record in recorded.items() if record.state is State.FAILED}
        earlier = iter(self._seen.add([row for row in validated if isinstance(row, Invitation)], refused))
        return [
            row
            if isinstance(row, Rejection)
            else self._compared(row, next(earlier), recorded.get(row.client_token))
            for row in validated
        ]

    def counts(self) -> dict[str, int]:
        """Rows that repeat another one, by their JSON keys."""
        codes = {code: self._codes[code] for code in ("duplicate", SAME_RECEIVER)}
        return {**codes, "already_created": self._already_created}

    def members(self) -> dict[str, object]:
        """What the JSON object says of the checkpoint."""
        problem = self._earlier.problem
        return {
            "compared_with": self._earlier.name if self._earlier.name and problem is None else None,
            "not_compared": None if problem is None else problem.members(),
        }

    def clauses(self) -> list[str]:
        """What of it a sentence names: nothing for zeros."""
        duplicates, same, created = self.counts().values()
        clauses = {
            f"{created:,} already invited": created,
            f"{duplicates:,} duplicate": duplicates,
            f"{same:,} with the engagement and account of another row": same,
        }
        return [clause for clause, count in clauses.items() if count]

    def sentences(self) -> list[str]:
        """With which checkpoint rows were compared, or why not; nothing if there is none."""
        name, problem = self._earlier.name, self._earlier.problem
        if problem is not None:
            extent = "Only some rows were" if name else "Rows were not"
            return [f"{extent} compared with those of earlier runs. {problem}"]
        return (
            [f"Rows were also compared with those of earlier runs, in the checkpoint {name}."] if name else []
        )

    def _compared(
        self, row: Invitation, earlier: Earlier | None, record: Recorded | None
    ) -> tuple[RowError, ...]:
        if earlier is not None and earlier.has_same_token:
            warning = repetition(earlier, row.position)
        elif record is not None and record.twin is not None:
            warning = RowError("$", SAME_RECEIVER, described(record.twin, row.position))
        elif earlier is not None and (record is None or record.is_compared):
            warning = repetition(earlier, row.position)
        else:
            self._already_created += record is not None and record.state is State.CREATED
            return row.warnings
        self._codes[warning.code] += 1
        return (*row.warnings, warning)


def _is_known(row: Invitation, recorded: Mapping[str, Recorded]) -> bool:
    record = recorded.get(row.client_token)
    return record is not None and record.state is not None
