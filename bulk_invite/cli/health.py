"""`health`: turns the health file of a run into the exit code of a probe."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.domain.errors import ControlError, UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.monitoring.health_view import is_live, read
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.settings.model import Settings

HEALTH_EXAMPLES: Final = """
Examples:

\b
  bulk-invite health --health-file /run/bulk-invite/health.json
  bulk-invite health --health-file /run/bulk-invite/health.json --live --json
"""


@dataclass(frozen=True, slots=True)
class _Finding:
    """The JSON has these keys. age_s: seconds since the last update; why: the reason for not being alive."""

    live: bool
    ready: bool
    age_s: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    why: str | None = None

    def __str__(self) -> str:
        if not self.live:
            return f"not alive: {self.why}"
        if self.ready:
            return "ready"
        return "alive, not ready: " + "; ".join(f"{part}: {reason}" for part, reason in self.reasons.items())


@with_settings("health_file", "json_output")
def health(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Check only whether the run is alive, not whether it is ready.")
    ] = False,
    settings: Settings,
) -> None:
    """Check whether a run is alive and ready, for probes.

    Reads the health file of the run. The run is alive while it keeps renewing the file, and ready while
    source, checkpoint and endpoint respond.

    Exit codes: 0 ready (with --live: alive); 1 not ready (with --live: not alive), or no health file;
    2 usage or configuration error.
    """
    if settings.health_file is None:
        raise UsageError(
            "No health file is named.", hint="Name it with --health-file FILE.", topic="monitoring"
        )
    finding = _look(settings.health_file, time.time())
    if settings.json_output:
        standard_output.write_object(asdict(finding), complete=True)
    else:
        standard_output.write(f"{escaped(str(finding))}\n")
    raise typer.Exit(0 if finding.ready or (live and finding.live) else 1)


def _look(path: Path, now: float) -> _Finding:
    try:
        view = read(path)
    except ControlError as error:
        return _Finding(live=False, ready=False, why=str(error))
    age = round(now - view.at, 1)
    if not is_live(view, now):
        why = f"{path} is {age:g} s old: the run that updates it hangs or was killed."
        return _Finding(live=False, ready=False, age_s=age, reasons=dict(view.reasons), why=why)
    return _Finding(live=True, ready=view.ready, age_s=age, reasons=dict(view.reasons))
