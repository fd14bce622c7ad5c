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
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.progress import clock_text
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


def forecast_shown(forecast: Forecast, *, as_json: bool) -> dict[str, Any]:
    """What a rehearsal adds to the result: how long it would take."""
    if as_json:
        return {
            "forecast": {**asdict(forecast), "seconds": round(forecast.seconds, 1), "days": forecast.days}
        }
    limits = f"at up to {forecast.rate:.3g}/s"
    if forecast.daily_quota is not None:
        limits += f" and {forecast.daily_quota:,} in any 24 hours"
    days = f"{forecast.days} days; " if forecast.days > 1 else ""
    last = f"the last of {forecast.calls:,} leaves in {clock_text(forecast.seconds)}"
    return {"forecast": f"{days}{last}, {limits}"}


def show(summary: Summary, *, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print a result on standard output: one JSON object, or a table."""
    if as_json:
        print(orjson.dumps({**asdict(summary), **(more or {})}).decode(), flush=True)  # noqa: T201 - the result
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in {**asdict(summary), **(more or {})}.items():
        table.add_row(name.replace("_", " ").replace("elapsed s", "elapsed, s"), _shown(name, value))
    Console(highlight=False, markup=False).print(table)


def _shown(name: str, value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() if "share" in name:
            return f"{value:.1%}"
        case float():
            return f"{value:,.1f}"
        case _:
            return str(escaped(str(value)))
