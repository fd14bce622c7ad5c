"""The result of a dry run: the counts, and how long the real run would take."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import clock_text
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.texts import plural
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.next_steps import rounded_rows
from bulk_invite.runs.output.standard_output import ReaderGoneError
from bulk_invite.runs.output.summary import Summary, headline_of, show


def show_dry_run(summary: Summary, forecast: Forecast, *, as_json: bool, now: float) -> None:
    """Print the result of a dry run that has read all rows. now: epoch seconds."""
    if as_json:
        seconds, ends = round(forecast.seconds, 1), utc_text(now + forecast.seconds)
        more = {**asdict(forecast), "seconds": seconds, "days": forecast.days, "ends": ends}
        show(summary, as_json=True, complete=True, more={"forecast": more, "not_read": 0})
        return
    show(summary, as_json=False, complete=True)
    with suppress(ReaderGoneError):
        sys.stdout.write(_forecast_text(forecast, now))


def show_part(summary: Summary, not_read: int | None, error: BulkInviteError, *, as_json: bool) -> None:
    """Print the result of a dry run that has ended early. not_read: rows, estimated; None where unknown.

    error: what has ended it.
    """
    read = plural(summary.rows, "row", "rows")
    if not_read is not None:
        read = f"{summary.rows:,} of about {rounded_rows(summary.rows + not_read):,} rows"
    were = "was" if summary.rows == 1 else "were"
    part = f"Stopped before the end: {read} {were} read. This is not the whole. Nothing was sent."
    show(
        summary,
        [part, headline_of(asdict(summary))],
        as_json=as_json,
        complete=False,
        error=error,
        more={"forecast": None, "not_read": not_read},
    )


def _forecast_text(forecast: Forecast, now: float) -> str:
    if forecast.calls == 0:
        return "Forecast: nothing left to send.\n"
    day = "" if forecast.daily_quota is None else f" and {forecast.daily_quota:,} in any 24 hours"
    days = f"{forecast.days} days; " if forecast.days > 1 else ""
    last = f"{days}the last of {forecast.calls:,} calls starts in {clock_text(forecast.seconds)}"
    starts = utc_text(now + forecast.seconds)
    limits = f"at up to {forecast.rate:.3g} calls/s{day}, if the service allows it"
    return f"Forecast: {last} ({starts}), {limits}.\n{_reason(forecast)}"


def _reason(forecast: Forecast) -> str:
    """What makes a forecast of days so long, if it is not the rate."""
    alone = forecast.calls / forecast.rate
    if forecast.days == 1 or alone > forecast.seconds / 2:
        return ""
    quota = "The daily quota takes the days (--daily-quota, or a lower cap that earlier runs have met)"
    return f"{quota}; the rate alone would take {clock_text(alone)}.\n"
