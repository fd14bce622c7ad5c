"""One pipeline and everything that runs beside it: the same for `send` and for each round of `serve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from anyio.to_thread import run_sync

from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.source import FollowedSource, Source
from bulk_invite.delivery.pipeline import Bounds, Ending, FailureLimit, Intake, Opening, Pipeline
from bulk_invite.delivery.sending.deliverer import Deliverer
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.delivery.write_back import Target, WriteBack
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.runs.begin_run import wait_for_lists
from bulk_invite.runs.live_status.health_watch import watch_health
from bulk_invite.runs.live_status.monitor import Round
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.output.progress import Progress
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.save_pacing import PacingSaver
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader
from bulk_invite.runs.wiring.delivery import Resources, make_committer, make_deliverer
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.validation import RowValidator


@dataclass(frozen=True, slots=True)
class Assembly:
    """The stages of one pipeline, joined; `run` once."""

    resources: Resources
    oversight: Oversight
    tally: Tally
    stop: StopSwitch
    committer: Committer
    deliverer: Deliverer
    admitter: Admitter
    write_back: WriteBack

    async def run(
        self,
        intakes: Sequence[Intake],
        opening: Opening,
        ending: Ending,
        *,
        sources: Sequence[Source | FollowedSource],
        total: RowTotal,
        is_trusted: Callable[[], bool],
    ) -> bool:
        """Send the rows of the intakes; whether each is settled, or left open for a later run.

        opening: claims what the run needs and begins it in the checkpoint. total: how many rows the sources
        have. is_trusted: whether the endpoint takes this sender. Raises BulkInviteError.
        """
        resources, settings = self.resources, self.resources.settings
        bounds = Bounds(self.oversight.controls.in_flight, _failure_limit(settings))
        pipeline = Pipeline(intakes, self.committer, self.deliverer, self.tally, self.stop, bounds)
        progress = self._progress(total)
        now = Round(self.tally.counts, progress, resources.pacer)
        self.oversight.monitor.watch(settings, now, resources.writer.name)
        pacing = PacingSaver(resources.pacer, progress, self.committer, resources.writer)
        announce = partial(progress.announce, limits_of(settings).rate)
        health, parts = self.oversight.health, (sources, self.deliverer, self.committer)
        watch = partial(watch_health, health, *parts, is_trusted)
        count = partial(total.count, lambda: self.stop.draining)
        watchers = (progress.watch, announce, pacing.save, self.write_back.run, watch, count)
        try:
            await pipeline.run(partial(self._open, opening, pacing, total), *watchers, ending=ending)
        finally:
            await pacing.save_last(self.stop)
        return pipeline.finished

    async def _open(self, opening: Opening, pacing: PacingSaver, total: RowTotal) -> None:
        await opening()
        await total.begin(self._watermark, self._known_rows)
        pacing.begin()
        self.write_back.begin()
        await wait_for_lists(self.resources)

    async def _watermark(self, source: str) -> str | None:
        campaign = self.committer.campaign
        return await self.committer.ask(lambda journal: journal.watermark(source, campaign))

    async def _known_rows(self, source: str) -> int:
        def count() -> int:
            try:
                with open_reader(self.resources.settings) as reader:
                    return reader.known_rows(source, self.committer.campaign)
            except CheckpointError:
                return 0  # a figure does not stop a run; the committer reports what is wrong

        return await run_sync(count)

    def _progress(self, total: RowTotal) -> Progress:
        settings = self.resources.settings
        return Progress(
            self.tally.counts,
            total,
            self.resources.pacer,
            limits_of(settings).daily.quota,
            settings.limit,
            mode=settings.shown_progress,
            interval=settings.progress_interval,
            only_news=total.is_endless,
        )


async def assemble(
    resources: Resources,
    oversight: Oversight,
    tally: Tally,
    stop: StopSwitch,
    validator: RowValidator,
    outcomes: Sequence[Target],
) -> Assembly:
    """Join the stages around one checkpoint and one connection. outcomes: the tables to write back to."""
    committer = make_committer(resources, oversight.observer)
    deliverer = await make_deliverer(resources, committer, tally, stop, oversight.controls.in_flight)
    admitter = Admitter(validator, committer, deliverer.engagements, tally)
    write_back = WriteBack(committer.changes, outcomes, stop, committer.uses)
    return Assembly(resources, oversight, tally, stop, committer, deliverer, admitter, write_back)


def _failure_limit(settings: Settings) -> FailureLimit:
    text = settings.max_failures
    if text is None:
        return FailureLimit()
    if text.endswith("%"):
        return FailureLimit(share=float(text.removesuffix("%")) / 100)
    return FailureLimit(count=int(text))
