"""One run of `send`: source, validator, checkpoint, pacing and Partner Central, joined."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import structlog

from bulk_invite.admitter import Admitter
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.commands.checkpoints import open_writer
from bulk_invite.commands.joining import (
    Lasting,
    bind_tokens,
    collect_less,
    make_committer,
    make_deliverer,
    make_lasting,
    tell_start,
)
from bulk_invite.commands.memory import Memory
from bulk_invite.commands.pacing import limits_of, make_clock
from bulk_invite.commands.service import claim, connection_of, endpoint_of
from bulk_invite.commands.signals import watch_signals
from bulk_invite.commands.sources import Source
from bulk_invite.commands.summary import Summary, show
from bulk_invite.errors import EXIT_INTERRUPTED, EXIT_STOPPED, ResultsError
from bulk_invite.intake import Intake
from bulk_invite.outcome import State
from bulk_invite.partner_central import connect
from bulk_invite.pipeline import Bounds, FailureLimit, Pipeline
from bulk_invite.progress import Progress
from bulk_invite.report import Report, Tally
from bulk_invite.results import Results
from bulk_invite.settings import Settings
from bulk_invite.sources.ndjson import STDIN
from bulk_invite.stop import StopSwitch
from bulk_invite.validation import RowValidator
from bulk_invite.write_back import Target, WriteBack

_log = structlog.get_logger()


class Run:
    """The parts of one run, joined."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        validator: RowValidator,
        outcomes: Sequence[Target] = (),
    ) -> None:
        """outcomes: where is written what becomes of the rows."""
        self._settings = settings
        self._sources = sources
        self._validator = validator
        self._outcomes = outcomes
        self._stop = StopSwitch()
        self._limited = False

    def run(self) -> int:
        """Send, print the result and return the exit code. Raises BulkInviteError after the result."""
        settings = self._settings
        began = time.monotonic()
        finished = False
        with ExitStack() as stack:
            for target in self._outcomes:
                stack.callback(target.writer.pause)
            writer = stack.enter_context(open_writer(settings))
            results = None
            if settings.results is not None:
                results = Results.open(settings.results)
                stack.callback(results.abandon)
            report = Report(results)
            try:
                collect_less()
                finished = anyio.run(self._send, writer, report, backend_options={"use_uvloop": True})
            finally:
                summary = Summary.of_run(report.tally, time.monotonic() - began)
                with self._result_shown(summary):
                    self._publish(results, finished=finished, rows=report.tally.rows)
        self._say_how_to_go_on(report.tally, summary, finished=finished)
        if finished:
            return 0 if summary.complete else 1
        return EXIT_INTERRUPTED if self._stop.aborted else EXIT_STOPPED

    def _say_how_to_go_on(self, tally: Tally, summary: Summary, *, finished: bool) -> None:
        if not finished:
            _log.warning(
                "run.stopped", pending=summary.pending, in_doubt=summary.in_doubt, next="run the same command"
            )
        elif self._limited:
            _log.warning(
                "run.limited", limit=self._settings.limit, next="run the same command to send as many more"
            )
        if deferred := tally.states[State.DEFERRED]:
            _log.warning(
                "run.deferred",
                rows=deferred,
                why="their engagements have all the invitations that they may have",
                next="run the same command later, or look at them: bulk-invite export --state deferred",
            )
        if finished and (in_doubt := tally.states[State.IN_DOUBT]):
            _log.warning(
                "run.in_doubt",
                rows=in_doubt,
                next="run the same command later, or bulk-invite reconcile; export --state in_doubt says why",
            )
        if earlier := tally.states[State.FAILED] - tally.failed_now:
            _log.warning(
                "run.failed_earlier",
                rows=earlier,
                next="they are left alone; --retry-failed sends them again",
            )

    @contextmanager
    def _result_shown(self, summary: Summary) -> Iterator[None]:
        """Show the result whatever becomes of the block; its failure does not hide why the run ended."""
        try:
            yield
        except ResultsError as error:
            if self._stop.reason is None:
                raise
            _log.error("results.not_written", reason=str(error))
        finally:
            show(summary, as_json=self._settings.json_output)

    def _publish(self, results: Results | None, *, finished: bool, rows: int) -> None:
        """Put the results in place, unless that would replace a source whose rows were not all read."""
        folder = self._settings.results
        if results is None or folder is None or not (finished or rows):
            return  # a run that read nothing has nothing to put in the place of an earlier one's
        reads_results = any(
            source.name != STDIN and Path(source.name).resolve().parent == folder.resolve()
            for source in self._sources
        )
        if not reads_results:
            results.close()
        elif finished and self._settings.limit is None:
            # A mended file of an earlier run: what else that run left there is not in this run's results.
            results.close(keep_previous=True)
        else:
            _log.warning(
                "results.kept_back", folder=str(folder), why="rows of a source there were not all read"
            )

    async def _send(self, writer: CheckpointWriter, report: Report) -> bool:
        """Whether every row was brought as far as it goes."""
        settings = self._settings
        async with connect(connection_of(settings)) as partner_central:
            lasting = await make_lasting(settings, writer, partner_central, make_clock())
            committer = make_committer(lasting)
            deliverer = await make_deliverer(lasting, committer, report, self._stop)
            intake = Intake(
                self._sources,
                Admitter(self._validator, committer, deliverer.engagements, report),
                committer,
                self._stop,
                limit=settings.limit,
            )
            pipeline = Pipeline([intake], committer, deliverer, report, self._stop, _bounds(settings))
            progress = self._progress(lasting, report.tally)
            memory = Memory(lasting.pacer, progress, committer, writer)
            write_back = WriteBack(committer, self._outcomes, self._stop)
            opening = partial(self._open, lasting, memory, write_back)
            announce = partial(progress.announce, limits_of(settings).rate)
            signals = partial(watch_signals, self._stop)
            watchers = (signals, progress.watch, announce, memory.keep, write_back.run)
            try:
                await pipeline.run(opening, *watchers, ending=write_back.finish)
            finally:
                await memory.keep_last(self._stop)
        self._limited = intake.limit_reached
        return pipeline.finished and write_back.complete

    def _progress(self, lasting: Lasting, tally: Tally) -> Progress:
        settings = self._settings
        return Progress(
            tally,
            self._sources,
            lasting.pacer,
            limits_of(settings).daily.quota,
            settings.limit,
            mode=settings.progress,
            interval=settings.progress_interval,
        )

    async def _open(self, lasting: Lasting, memory: Memory, write_back: WriteBack) -> None:
        settings = self._settings
        await claim(
            lasting.writer, lasting.partner_central, endpoint_of(settings), waits=settings.wait_for_lock
        )
        await bind_tokens(lasting, self._sources)
        await anyio.to_thread.run_sync(lasting.writer.begin_run, time.time())
        tell_start("run.started", lasting)
        memory.begin()
        write_back.begin()


def _bounds(settings: Settings) -> Bounds:
    text = settings.max_failures
    if text is None:
        failures = FailureLimit()
    elif text.endswith("%"):
        failures = FailureLimit(share=float(text.removesuffix("%")) / 100)
    else:
        failures = FailureLimit(count=int(text))
    return Bounds(in_flight=settings.max_in_flight, failures=failures)
