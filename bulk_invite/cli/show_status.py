"""The work of `status`: reads the checkpoint, also while a run is writing to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import parse_duration
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.records import Overview, PacingState
from bulk_invite.monitoring.figures import day_remaining, rounded
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.late_log import LateLog
from bulk_invite.runs.output.summary import Summary, headline_of, show_text
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_figures, warn_if_incomplete, warn_if_stale


def show_status(settings: Settings, every: str, *, watch: bool) -> None:
    """Raises UsageError and CheckpointError. every: interval of --watch, as it is written."""
    log = LateLog(settings)
    seconds = _seconds(every)
    with open_figures(settings) as checkpoint:
        warn_if_incomplete(checkpoint, log.set_up)
        warn_if_stale(checkpoint, log.set_up)
    show = partial(_show, as_json=settings.json_output)
    if watch:
        from bulk_invite.cli.live_table import watch_status  # noqa: PLC0415 - rich imports long

        watch_status(lambda: _values(settings), show, seconds, as_json=settings.json_output)
        return
    show(_values(settings))


def _show(values: Mapping[str, Any], *, as_json: bool) -> None:
    if not as_json:
        show_text([headline_of(values)], values)
        return
    is_open = values["deferred"] or values["in_doubt"] or values["pending"]
    standard_output.write_object(values, complete=not (is_open or values["sending"]))


def _values(settings: Settings) -> dict[str, Any]:
    """All values by their JSON keys. Raises CheckpointError."""
    with open_figures(settings) as checkpoint:
        now = time.time()
        overview = checkpoint.overview(now)
    summary = asdict(Summary.of_checkpoint(overview))
    del summary["with_warnings"]  # a checkpoint does not record warnings
    return rounded({**summary, "checkpoint": checkpoint.name, **_more(overview, now)})


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(
            f"Invalid value for --every: {error}", hint="See bulk-invite status --help.", topic="options"
        ) from None


def _more(overview: Overview, now: float) -> dict[str, Any]:
    """Everything except the counts of rows."""
    owner, pacing = overview.owner, overview.pacing
    return {
        "catalog": overview.catalog,
        "account": owner.account or None if owner is not None else None,
        "sending": overview.active,
        "sent_last_minute": overview.sent_last_minute,
        "throttled_last_minute": overview.throttled_last_minute,
        "throttled_share_minute": _share(overview.throttled_last_minute, overview.sent_last_minute),
        "throttled_share_hour": _share(overview.throttled_last_hour, overview.sent_last_hour),
        "sent_last_day": overview.counted,
        **(_no_pacing() if pacing is None else _pacing(pacing, overview.counted, now)),
    }


def _pacing(memory: PacingState, counted: int, now: float) -> dict[str, Any]:
    """What the last run saved; up to ten seconds old during a run."""
    return {
        "rate": memory.rate,
        "estimated_quota": memory.estimate,
        "daily_quota": memory.daily_quota,
        "learned_quota": memory.learned_quota,
        "day_remaining": day_remaining(memory.daily_quota, memory.learned_quota, counted),
        "parked": memory.parked or None,
        "parked_until": None if memory.parked_until is None else utc_text(memory.parked_until),
        "next_call": None if memory.next_call is None else utc_text(memory.next_call),
        "left_s": None if memory.left is None else max(0.0, memory.left - (now - memory.at)),
    }


def _no_pacing() -> dict[str, None]:
    return dict.fromkeys(_pacing(PacingState(0.0, 0.0), 0, 0.0))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
