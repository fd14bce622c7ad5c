"""The work of `serve`; `serve_supervisor` keeps it running."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog
import typer
from anyio.to_thread import run_sync

from bulk_invite.cli.confirmation import confirm
from bulk_invite.domain.errors import (
    BulkInviteError,
    CheckpointError,
    InterruptedRunError,
    StoppedError,
)
from bulk_invite.monitoring.health import Health
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.logs import configure_logs, log_counted_rows
from bulk_invite.runs.output.standard_output import ReaderGoneError
from bulk_invite.runs.output.summary import Summary, show
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader
from bulk_invite.runs.wiring.open_files import raise_file_limit
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.signals import handling_signals
from bulk_invite.runs.wiring.sources import shown

if TYPE_CHECKING:
    from bulk_invite.runs.live_status.watchers import Oversight
    from bulk_invite.runs.serve_supervisor import Supervisor

_log = structlog.get_logger()

_COUNTED: Final = ("rows", "created", "failed", "rejected", "duplicate", "deferred", "in_doubt", "pending")


def serve_rows(sources: list[str], settings: Settings, reload: Callable[[], Settings]) -> None:
    """Raises typer.Exit with the exit code, and BulkInviteError."""
    configure_logs(settings)
    limits_of(settings)  # reports impossible limits before asking for confirmation
    raise_file_limit(settings)
    confirmed = confirm(settings, sources, [], None)
    # Importing the SDK takes most of a second: --help and usage errors should not wait for it.
    from bulk_invite.runs.live_status.controls import RunControls  # noqa: PLC0415
    from bulk_invite.runs.live_status.watchers import Oversight  # noqa: PLC0415
    from bulk_invite.runs.serve_supervisor import Supervisor  # noqa: PLC0415
    from bulk_invite.runs.wiring.delivery import tune_garbage_collector  # noqa: PLC0415

    tune_garbage_collector()
    health = Health(time.time)
    supervisor = Supervisor(sources, settings, reload, health, confirmed.owner)
    controls = RunControls(settings, supervisor.drain, lambda: supervisor.draining)
    oversight = Oversight("serve", settings, list(map(shown, sources)), health, controls)
    body = partial(_body, supervisor, oversight)
    raise typer.Exit(
        anyio.run(oversight.run, body, lambda _: supervisor.drain(), backend_options={"use_uvloop": True})
    )


async def _body(supervisor: Supervisor, oversight: Oversight) -> int:
    """Run until the supervisor ends; returns the exit code. Raises BulkInviteError."""
    failure: BulkInviteError | None = None
    try:
        run = partial(supervisor.run, oversight)
        await handling_signals(supervisor, run, standard_output.end_interrupted, supervisor.reload)
    except BulkInviteError as error:
        failure = error
    summary = await run_sync(_summary, supervisor.settings) if supervisor.begun else None
    left = supervisor.begun if summary is None else summary.pending + summary.in_doubt > 0
    early = failure or _early_end(supervisor, left=left)
    log_counted_rows()
    _show(summary, supervisor.settings, early)
    _log_end(summary, 0 if early is None else early.exit_code)
    if failure is not None:
        raise failure
    return 0 if early is None else early.exit_code


def _summary(settings: Settings) -> Summary | None:
    """The counts of the whole checkpoint; None where it cannot be read."""
    try:
        with open_reader(settings) as reader:
            return Summary.of_checkpoint(reader.overview(time.time()))
    except CheckpointError as error:
        _log.warning("serve.summary_failed", reason=str(error))
        return None


def _early_end(supervisor: Supervisor, *, left: bool) -> BulkInviteError | None:
    """left: whether rows are pending or in doubt."""
    if supervisor.aborted:
        return InterruptedRunError()
    return StoppedError() if left else None


def _log_end(summary: Summary | None, exit_code: int) -> None:
    """The last line of a log says how the service ended, and which rows it leaves."""
    counts = {} if summary is None else {name: getattr(summary, name) for name in _COUNTED}
    _log.info("serve.ended", exit_code=exit_code, **counts)


def _show(summary: Summary | None, settings: Settings, error: BulkInviteError | None) -> None:
    """Print the counts, if there are any; as JSON also how it ended without them."""
    if summary is not None:
        complete = error is None and not summary.is_open
        show(summary, as_json=settings.json_output, error=error, complete=complete)
    elif settings.json_output:
        with suppress(ReaderGoneError):
            standard_output.write_object({}, error, complete=False)
