"""The work of `reconcile`: looks up rows in doubt in the service; sends nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import anyio
import structlog
import typer

from bulk_invite.delivery.intake.source import Source, can_be_read_again
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.errors import (
    EXIT_ATTENTION,
    BulkInviteError,
    InterruptedRunError,
    StoppedError,
    UsageError,
)
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.next_steps import export_command
from bulk_invite.runs.output.reconciliation import show_reconciliation
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import (
    checkpoint_option,
    open_writer,
    require_checkpoint,
)
from bulk_invite.runs.wiring.sources import open_sources

_log = structlog.get_logger()


def reconcile_rows(sources: Sequence[str], settings: Settings) -> None:
    """Raises typer.Exit with the exit code, and BulkInviteError."""
    logs.configure_logs(settings, to_file=False)
    named = _readable_again(open_sources(sources, settings))
    stop = StopSwitch()
    require_checkpoint(settings)
    # Importing the SDK takes most of a second: --help and usage errors should not wait for it.
    from bulk_invite.runs.reconcile import settle_doubt  # noqa: PLC0415

    began = time.monotonic()
    with open_writer(settings) as writer:
        states = Counter[State]()
        if writer.count_in_doubt():  # else there is nothing to look up
            options = {"use_uvloop": True}
            states = anyio.run(settle_doubt, settings, writer, named, stop, backend_options=options)
        left = writer.count_in_doubt()
    error = _error(stop, left)
    checkpoint = checkpoint_option(settings.checkpoint)
    seconds, as_json = time.monotonic() - began, settings.json_output
    show_reconciliation(states, left, seconds, as_json=as_json, checkpoint=checkpoint, error=error)
    _log_next_step(states, left, checkpoint)
    logs.log_counted_rows()
    if stop.reason is not None:
        raise stop.reason
    code = EXIT_ATTENTION if left else 0
    raise typer.Exit(settings.exit_code(code) if error is None else error.exit_code)


def _readable_again(sources: Sequence[Source]) -> Sequence[Source]:
    """Raises UsageError for one that is not."""
    for source in sources:
        if not can_be_read_again(source):
            raise UsageError(
                f"{source.name} can be read only once, but reconcile may have to read it again.",
                hint="Write the rows to a file and name that file.",
                topic="unknown-outcomes",
            )
    return sources


def _error(stop: StopSwitch, left: int) -> BulkInviteError | None:
    """What ended the look-ups before their end."""
    if stop.reason is not None or not (stop.draining and left):
        return stop.reason
    return InterruptedRunError() if stop.aborted else StoppedError()


def _log_next_step(states: Mapping[State, int], left: int, checkpoint: str) -> None:
    if left:
        why = f"to see why: {export_command(State.IN_DOUBT, checkpoint)}"
        _log.warning("reconcile.unresolved", in_doubt=left, next=why)
    if pending := states.get(State.PENDING, 0):
        _log.info(
            "reconcile.pending",
            rows=pending,
            next="these rows have no invitation; send them: bulk-invite send",
        )
