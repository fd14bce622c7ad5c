"""One run of `send`: source, validator, checkpoint, pacing and Partner Central, joined."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import structlog

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.commands.memory import Memory
from bulk_invite.commands.pacing import limits_of, make_clock, make_governor
from bulk_invite.commands.service import WAITS, claim, connection_of, endpoint_of, make_look_up
from bulk_invite.commands.signals import watch_signals
from bulk_invite.commands.sources import Source
from bulk_invite.commands.summary import Summary, show
from bulk_invite.commit import Committer
from bulk_invite.deliver import Deliverer, Surroundings
from bulk_invite.departure import Patience
from bulk_invite.errors import EXIT_INTERRUPTED, EXIT_STOPPED, CheckpointError, ResultsError
from bulk_invite.intake import Intake
from bulk_invite.outcome import State
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.partner_central import connect
from bulk_invite.permission import PermissionGuard
from bulk_invite.pipeline import Bounds, FailureLimit, Pipeline
from bulk_invite.progress import Progress
from bulk_invite.report import Report, Tally
from bulk_invite.resolver import Resolver
from bulk_invite.results import Results
from bulk_invite.settings import Settings
from bulk_invite.sources.ndjson import STDIN
from bulk_invite.stop import StopSwitch
from bulk_invite.validation import RowValidator

_log = structlog.get_logger()


class Run:
    """The parts of one run, joined."""

    def __init__(self, settings: Settings, sources: Sequence[Source], validator: RowValidator) -> None:
        self._settings = settings
        self._sources = sources
        self._validator = validator
        self._stop = StopSwitch()
        self._limited = False

    def run(self) -> int:
        """Send, print the result and return the exit code. Raises BulkInviteError after the result."""
        settings = self._settings
        began = time.monotonic()
        finished = False
        with ExitStack() as stack:
            writer = stack.enter_context(
                CheckpointWriter.open(Path(settings.checkpoint), catalog=settings.catalog)
            )
            results = None
            if settings.results is not None:
                results = Results.open(settings.results)
                stack.callback(results.abandon)
            report = Report(results)
            try:
                _collect_less()
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
        settings, clock = self._settings, make_clock()
        limits = limits_of(settings)
        governor = make_governor(settings, writer, clock.steady())
        pacer = Pacer(governor, burst=settings.burst, clock=clock)
        committer = Committer(writer, campaign=settings.campaign, retry_failed=settings.retry_failed)
        async with connect(connection_of(settings)) as partner_central:
            deliverer = Deliverer(
                partner_central,
                committer,
                pacer,
                Resolver(make_look_up(settings, partner_central, committer, clock), self._stop),
                report,
                self._stop,
                guard=PermissionGuard(proven=writer.has_created()),
                patience=Patience(
                    settings.max_attempts,
                    settings.token_lifetime,
                    settings.call_timeout,
                    WAITS,
                    streak=min(10, settings.max_in_flight),
                ),
                surroundings=Surroundings(clock.wall, clock.steady, random.random, endpoint_of(settings)),
            )
            intake = Intake(
                self._sources,
                self._validator,
                committer,
                deliverer.engagements,
                report,
                self._stop,
                limit=settings.limit,
            )
            pipeline = Pipeline(intake, committer, deliverer, report, self._stop, _bounds(settings))
            progress = Progress(
                report.tally,
                self._sources,
                pacer,
                limits.daily.quota,
                settings.limit,
                mode=settings.progress,
                interval=settings.progress_interval,
            )
            memory = Memory(pacer, progress, committer, writer)

            async def opening() -> None:
                await claim(writer, partner_central, endpoint_of(settings))
                await anyio.to_thread.run_sync(writer.begin_run, time.time())
                _log.info(
                    "run.started",
                    checkpoint=settings.checkpoint,
                    catalog=settings.catalog,
                    endpoint=endpoint_of(settings),
                    rate=settings.rate,
                    starts_at=round(governor.rate, 3),
                    daily_quota=settings.daily_quota,
                    counted=pacer.view().counted,
                )
                memory.begin()

            try:
                watchers = (progress.watch, partial(progress.announce, limits.rate), memory.keep)
                await pipeline.run(opening, partial(watch_signals, self._stop), *watchers)
            finally:
                if not committer.failed:
                    self._keep_last(memory)
        self._limited = intake.limit_reached
        return pipeline.finished

    def _keep_last(self, memory: Memory) -> None:
        """Write the pacing down; its failure does not hide why the run ended."""
        try:
            memory.keep_last()
        except CheckpointError as error:
            if self._stop.reason is None:
                raise
            _log.error("pacing.not_remembered", reason=str(error))


def _collect_less() -> None:
    """Keep the garbage collector from walking all that importing has left, again and again.

    A call makes hundreds of objects and hardly a cycle: collecting as often as by default costs it a tenth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _bounds(settings: Settings) -> Bounds:
    text = settings.max_failures
    if text is None:
        failures = FailureLimit()
    elif text.endswith("%"):
        failures = FailureLimit(share=float(text.removesuffix("%")) / 100)
    else:
        failures = FailureLimit(count=int(text))
    return Bounds(in_flight=settings.max_in_flight, failures=failures)
