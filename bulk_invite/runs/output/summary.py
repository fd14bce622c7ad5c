"""The result of `send` and `status`, with the same keys for a run and for a whole checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bulk_invite.domain.durations import clock_text
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.records import Overview
from bulk_invite.domain.texts import escaped
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import rounded
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.headline import headline
from bulk_invite.runs.output.standard_output import ReaderGoneError

if TYPE_CHECKING:
    from rich.table import Table

    from bulk_invite.delivery.tracking.tally import Counts

_LABELS: Final = {
    "same_receiver": "same engagement and account",
    "elapsed_s": "run time, s",
    "sent_last_minute": "calls, last minute",
    "throttled_last_minute": "throttled, last minute",
    "throttled_share_minute": "throttled share, last minute",
    "throttled_share_hour": "throttled share, last hour",
    "sent_last_day": "calls, last 24 hours",
    "rate": "rate allowed, calls/s",
    "estimated_quota": "estimated quota, calls/s",
    "daily_quota": "daily quota, configured",
    "learned_quota": "daily quota, learned",
    "day_remaining": "daily quota, remaining",
    "left_s": "time left",
}


_ALWAYS: Final = frozenset({"rows", "created", "sending"})
"""Shown even if zero."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of rows and calls. The JSON has these keys."""

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
    with_warnings: int = 0
    same_receiver: int = 0

    @classmethod
    def of_run(cls, counts: Counts, elapsed: float) -> Summary:
        summary = cls._of(
            counts.states, counts.rows, counts.already_created, counts.attempts, counts.throttled, elapsed
        )
        return replace(summary, with_warnings=counts.with_warnings, same_receiver=counts.same_receiver)

    @classmethod
    def of_checkpoint(cls, overview: Overview) -> Summary:
        states = overview.states
        summary = cls._of(
            states, sum(states.values()), 0, overview.attempts, overview.throttled, overview.elapsed
        )
        return replace(summary, same_receiver=overview.same_receiver)

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
            **rounded({"elapsed_s": elapsed}),
            **{state.value: states.get(state, 0) for state in State},
        )

    @property
    def needs_nothing(self) -> bool:
        """Whether every row has its invitation, or is a duplicate of one that has."""
        return not (self.rejected or self.failed or self.is_open)

    @property
    def is_open(self) -> bool:
        """Whether a run may still bring some rows to an end."""
        return bool(self.deferred or self.in_doubt or self.pending)


def show(
    summary: Summary,
    sentences: Sequence[str] = (),
    *,
    as_json: bool,
    complete: bool,
    error: BulkInviteError | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the result of a run: one JSON object, or sentences (by default a headline) and a table.

    error, complete: see `standard_output.write_object`. more: further members of the JSON object.

    Where its reader has gone, the exit code still says how the run ended.
    """
    values = asdict(summary)
    with suppress(ReaderGoneError):
        if as_json:
            standard_output.write_object({**values, **(more or {})}, error, complete=complete)
        else:
            show_text(sentences or [headline_of(values)], values)


def headline_of(values: Mapping[str, Any]) -> str:
    """The headline for values that include a summary's."""
    states = {state: values[state.value] for state in State}
    return headline(states, values["already_created"])


def show_text(sentences: Sequence[str], values: Mapping[str, object]) -> None:
    """Print sentences and, below them, the values as a table; on a terminal without those that are 0."""
    if sys.stdout.isatty():
        values = without_zeros(values)
    # For a result as text only: with --json, nothing waits for it.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, markup=False)
    with console.capture() as table:
        console.print(table_of(values))
    lines = "".join(f"{escaped(sentence)}\n" for sentence in sentences)
    standard_output.write(f"{lines}\n{table.get()}")


def without_zeros(values: Mapping[str, object]) -> dict[str, object]:
    """The values that say something: neither 0 nor unknown."""
    return {name: value for name, value in values.items() if value or name in _ALWAYS}


def table_of(values: Mapping[str, object]) -> Table:
    """A result as a table for people."""
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    # A value that is longer than its column goes on in the next line, and is not cut.
    table.add_column(justify="right", overflow="fold")
    for name, value in values.items():
        table.add_row(_label(name), _shown(name, value))
    return table


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _shown(name: str, value: object) -> str:  # noqa: PLR0911 - one line for each kind of value
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() if "share" in name:
            return f"{value:.1%}"
        case float() if name == "left_s":
            return clock_text(value)
        case float():
            return f"{value:,.1f}"
        case _:
            return escaped(str(value))
