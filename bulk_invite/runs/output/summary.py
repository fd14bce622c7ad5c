"""The result of `send` and `status`: the same keys for a run and for a whole checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.records import Overview
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.logs import escaped, escaped_json
from bulk_invite.runs.output.progress import clock_text


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


def show_rehearsal(summary: Summary, forecast: Forecast, *, as_json: bool, now: float) -> None:
    """Print the result of a rehearsal, and how long the real run would take. `now` in epoch seconds."""
    if as_json:
        seconds, ends = round(forecast.seconds, 1), utc_text(now + forecast.seconds)
        more = {**asdict(forecast), "seconds": seconds, "days": forecast.days, "ends": ends}
        show(summary, as_json=True, more={"forecast": more})
        return
    show(summary, as_json=False)
    if forecast.calls == 0:
        sys.stdout.write("Forecast: nothing is left to send.\n")
        return
    day = "" if forecast.daily_quota is None else f" and {forecast.daily_quota:,} in any 24 hours"
    days = f"{forecast.days} days; " if forecast.days > 1 else ""
    last = f"{days}the last of {forecast.calls:,} leaves in {clock_text(forecast.seconds)}"
    ends = utc_text(now + forecast.seconds)
    limits = f"at up to {forecast.rate:.3g}/s{day}, if the service allows that"
    sys.stdout.write(f"Forecast: {last}, on {ends}, {limits}.\n")


def show_reconciliation(states: Mapping[State, int], in_doubt: int, elapsed: float, *, as_json: bool) -> None:
    """Print what look-ups made of rows; `in_doubt` are those that are left in the checkpoint."""
    names = (State.CREATED, State.PENDING, State.DEFERRED, State.FAILED)
    counts: dict[str, object] = {state.value: states.get(state, 0) for state in names}
    show_values({**counts, "in_doubt": in_doubt, "elapsed_s": round(elapsed, 3)}, as_json=as_json)


def show(summary: Summary, *, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print a result on standard output: one JSON object, or a table."""
    show_values({**asdict(summary), **(more or {})}, as_json=as_json)


def show_values(values: Mapping[str, object], *, as_json: bool) -> None:
    """Print a result on standard output: one JSON object, or a table."""
    if as_json:
        print(escaped_json(orjson.dumps(values).decode()), flush=True)  # noqa: T201 - the result
        return
    Console(highlight=False, markup=False).print(table_of(values))


def table_of(values: Mapping[str, object]) -> Table:
    """A result as people read it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in values.items():
        table.add_row(_label(name), _shown(name, value))
    return table


def _label(name: str) -> str:
    return {"elapsed_s": "elapsed, s", "left_s": "time left"}.get(name, name.replace("_", " "))


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
            return str(escaped(str(value)))
