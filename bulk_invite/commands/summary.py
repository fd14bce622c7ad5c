"""The result of `send` and `status`: the same keys for a run and for a whole checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bulk_invite.journal import Overview
from bulk_invite.logs import escaped
from bulk_invite.outcome import State
from bulk_invite.report import Tally


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of rows, calls and throttled calls; `elapsed_s` in seconds. The JSON has these keys."""

    rows: int
    created: int
    already_created: int
    failed: int
    rejected: int
    duplicate: int
    in_doubt: int
    deferred: int
    pending: int
    attempts: int
    throttled: int
    elapsed_s: float

    @classmethod
    def of_run(cls, tally: Tally, elapsed: float) -> Summary:
        return cls._of(
            tally.states, tally.rows, tally.already_created, tally.attempts, tally.throttled, elapsed
        )

    @classmethod
    def of_checkpoint(cls, overview: Overview) -> Summary:
        states = overview.states
        return cls._of(
            states, sum(states.values()), 0, overview.attempts, overview.throttled, overview.elapsed
        )

    @classmethod
    def _of(
        cls,
        states: Mapping[State, int],
        rows: int,
        already_created: int,
        attempts: int,
        throttled: int,
        elapsed: float,
    ) -> Summary:
        return cls(
            rows=rows,
            already_created=already_created,
            attempts=attempts,
            throttled=throttled,
            elapsed_s=round(elapsed, 3),
            **{state.value: states.get(state, 0) for state in State},
        )

    @property
    def complete(self) -> bool:
        """Whether every row has its invitation, or is a duplicate of one that has."""
        return not (self.rejected or self.failed or self.deferred or self.in_doubt or self.pending)


def show(summary: Summary, *, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print a result on standard output: one JSON object, or a table."""
    if as_json:
        print(orjson.dumps({**asdict(summary), **(more or {})}).decode(), flush=True)  # noqa: T201 - the result
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in {**asdict(summary), **(more or {})}.items():
        table.add_row(name.replace("_", " ").replace("elapsed s", "elapsed, s"), _shown(value))
    Console(highlight=False, markup=False).print(table)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case _:
            return str(escaped(str(value)))
