"""One run of `send`, from opening the checkpoint to its result and exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.to_thread import run_sync

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.one_pass import OnePassIntake
from bulk_invite.delivery.intake.source import Source
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.delivery.write_back import Target
from bulk_invite.domain.confirmed import Confirmed
from bulk_invite.domain.errors import (
    EXIT_ATTENTION,
    EXIT_STOPPED,
    BulkInviteError,
    CheckpointError,
    InterruptedRunError,
    ResultsError,
    StoppedError,
)
from bulk_invite.monitoring.health import Health
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.runs.assembly import assemble
from bulk_invite.runs.begin_run import begin_run
from bulk_invite.runs.live_status.controls import RunControls
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.output.logs import log_counted_rows
from bulk_invite.runs.output.results_folder import Results
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.output.standard_output import end_interrupted
from bulk_invite.runs.output.summary import Summary
from bulk_invite.runs.send_ending import Parts, log_next_steps, show_ending
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import checkpoint_option, open_writer
from bulk_invite.runs.wiring.delivery import (
    Resources,
    bind_tokens,
    claim_checkpoint,
    log_start,
    make_resources,
    tune_garbage_collector,
)
from bulk_invite.runs.wiring.pacing import make_clock
from bulk_invite.runs.wiring.partner_central import connected
from bulk_invite.runs.wiring.signals import handling_signals
from bulk_invite.sources.ndjson import STDIN
from bulk_invite.validation import RowValidator

_log = structlog.get_logger()


_NAMES: Final = 20
"""Sources that the status of a run names."""


class Run:
    """One run; `run` once."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        validator: RowValidator,
        outcomes: Sequence[Target] = (),
        confirmed: Confirmed | None = None,
    ) -> None:
        """outcomes: the tables that receive the outcomes of the rows."""
        self._settings = settings
        self._sources = sources
        self._validator = validator
        self._outcomes = outcomes
        self._confirmed = confirmed or Confirmed()
        self._stop = StopSwitch()
        self._limited = self._claimed = self._begun = self._finished = self._published = False
        self._intake: OnePassIntake | None = None
        self._pacer: Pacer | None = None
        self._total = RowTotal(sources)
        self._began = time.monotonic()
        self._health = Health(time.time, logs=settings.is_watched)
        controls = RunControls(settings, self._drain, lambda: self._stop.draining)
        self._oversight = Oversight("send", settings, _names(sources), self._health, controls)

    def run(self) -> int:
        """Send, print the result and return the exit code. Raises BulkInviteError after the result."""
        tune_garbage_collector()
        overseen = partial(self._oversight.run, self._body, self._stop.drain)
        return anyio.run(overseen, backend_options={"use_uvloop": True})

    async def _body(self) -> int:
        with ExitStack() as stack:
            for target in self._outcomes:
                stack.callback(target.writer.pause)
            waits = self._oversight.waits_for_checkpoint
            try:
                opened = await run_sync(open_writer, self._settings, lambda: self._stop.draining, waits)
            except CheckpointError:
                if self._stop.draining and self._stop.reason is None:
                    return EXIT_STOPPED  # it was a standby; nothing has begun
                raise
            writer = stack.enter_context(opened)
            self._oversight.has_checkpoint()
            results = None
            if self._settings.results is not None:
                results = Results.open(self._settings.results)
                stack.callback(results.abandon)
            return await self._result(writer, results)

    async def _result(self, writer: CheckpointWriter, results: Results | None) -> int:
        """Send and show the result; returns the exit code."""
        tally = Tally(results, self._oversight.observer)
        try:
            try:
                await handling_signals(self._stop, partial(self._send, writer, tally), end_interrupted)
            finally:
                log_counted_rows(result_has_codes=True)
                self._publish(results, rows=tally.counts.rows)
        except BaseException as error:  # also where a defect of a task beside the run cancels it
            self._show(tally.counts, error)
            raise
        early = self._early_end()
        self._show(tally.counts, early)
        limit = self._settings.limit if self._limited else None
        log_next_steps(
            tally.counts,
            finished=self._finished,
            limit=limit,
            unconfirmed=self._unconfirmed,
            checkpoint=checkpoint_option(self._settings.checkpoint),
        )
        if early is not None:
            return early.exit_code
        return 0 if Summary.of_run(tally.counts, 0.0).needs_nothing else EXIT_ATTENTION

    @property
    def _unconfirmed(self) -> int:
        """Rows to send beyond those that were confirmed: only their source has them."""
        return 0 if self._intake is None else self._intake.unconfirmed

    def _early_end(self) -> BulkInviteError | None:
        if self._finished:
            return None
        return InterruptedRunError() if self._stop.aborted else StoppedError()

    def _could_not_start(self) -> bool:
        return not self._begun and (self._stop.reason is not None or not self._stop.draining)

    def _is_claimed(self) -> bool:
        return self._claimed

    def _drain(self) -> None:
        _log.warning("run.draining", now="finishing calls in flight")
        self._stop.drain()

    def _show(self, counts: Counts, error: BaseException | None) -> None:
        """Show the result of a run that has ended, with `error` if it ended early."""
        # A run that could not start shows only the reason, not a table of zeros.
        if self._settings.json_output or counts.rows or not self._could_not_start():
            parts = Parts(self._total, self._intake, self._pacer)
            seconds = time.monotonic() - self._began
            show_ending(self._settings, counts, parts, error, published=self._published, seconds=seconds)

    def _publish(self, results: Results | None, *, rows: int) -> None:
        """Publish the results, if that is possible.

        A failure does not hide why the run ended. Raises ResultsError where nothing else has ended it.
        """
        folder = self._settings.results
        if results is None or folder is None or not (self._finished or rows):
            return  # a run that read nothing must not replace the results of an earlier one
        try:
            self._close(results, folder)
        except ResultsError as error:
            if self._stop.reason is None:
                raise
            _log.error("results.write_failed", reason=str(error))

    def _close(self, results: Results, folder: Path) -> None:
        """Publish the results, unless that would replace a source that was not read to its end."""
        reads_results = any(
            source.name != STDIN and Path(source.name).resolve().parent == folder.resolve()
            for source in self._sources
        )
        if not reads_results:
            results.close()
        elif self._finished and self._settings.limit is None and not self._unconfirmed:
            # A corrected file of an earlier run, whose other results this run does not have.
            results.close(keep_previous=True)
        else:
            _log.warning(
                "results.not_published",
                folder=str(folder),
                why="not every row of a source in that folder was read, or confirmed",
            )
            return
        self._published = True

    async def _send(self, writer: CheckpointWriter, tally: Tally) -> None:
        """Send every row; `_finished` once each is settled, or left open for a later run."""
        settings, oversight, stop = self._settings, self._oversight, self._stop
        async with connected(settings, stop) as partner_central:
            if partner_central is None:
                return
            resources = await make_resources(settings, writer, partner_central, make_clock())
            oversight.controls.govern(resources.pacer)
            self._pacer = resources.pacer
            assembly = await assemble(resources, oversight, tally, stop, self._validator, self._outcomes)
            intake = self._intake = OnePassIntake(
                self._sources,
                assembly.admitter,
                assembly.committer,
                stop,
                limit=settings.limit,
                confirmed=self._confirmed.invitations,
            )
            finished = await assembly.run(
                [intake, intake.skipped],
                partial(self._open, resources),
                assembly.write_back.finish,
                sources=self._sources,
                total=self._total,
                is_trusted=self._is_claimed,
            )
            self._limited = intake.limit_reached
            self._finished = finished and assembly.write_back.complete

    async def _open(self, resources: Resources) -> None:
        stands_by = self._oversight.waits_for_account
        await claim_checkpoint(resources, self._health, stands_by, self._confirmed.owner)
        self._oversight.has_checkpoint()
        self._claimed = True
        await bind_tokens(resources, self._sources, lambda: self._stop.draining)
        await begin_run(resources)
        self._begun = True
        log_start("run.started", resources)


def _names(sources: Sequence[Source]) -> list[str]:
    """Their names; of many, the first ones."""
    names = [source.name for source in sources]
    more = [f"and {len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return names[:_NAMES] + more
