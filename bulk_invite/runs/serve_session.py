"""One session of `serve`: one checkpoint, one connection to the service, and one round after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from anyio.to_thread import run_sync

from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.delivery.intake.follow import FollowingIntake
from bulk_invite.delivery.intake.source import FollowedSource
from bulk_invite.delivery.sending.deliverer import Deliverer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.delivery.write_back import Target, WriteBack
from bulk_invite.domain.durations import HOUR
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import OPEN, State
from bulk_invite.runs.assembly import assemble
from bulk_invite.runs.begin_run import begin_run
from bulk_invite.runs.deferred_news import DeferredNews
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_writer
from bulk_invite.runs.wiring.delivery import (
    Resources,
    bind_tokens,
    claim_checkpoint,
    log_start,
    make_resources,
)
from bulk_invite.runs.wiring.pacing import make_clock
from bulk_invite.runs.wiring.partner_central import connected
from bulk_invite.runs.wiring.sources import open_followed, open_outcomes
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.pipe import Pipe
from bulk_invite.validation import RowValidator

_LONGEST: Final = 6 * HOUR
"""Seconds after which a round ends in any case: what it remembers of engagements grows."""


class Session:
    """Opens its resources and sends until it is drained; `begun` once the first round has begun.

    Every round has its own stop switch: a pipeline uses it up.
    """

    def __init__(
        self,
        names: Sequence[str],
        settings: Settings,
        oversight: Oversight,
        pipes: dict[str, Pipe],
        recent_writes: RecentWrites,
        *,
        trusted: bool,
        confirmed: Owner | None = None,
    ) -> None:
        """pipes, recent_writes: they stay open from one session to the next.

        trusted: the endpoint did not refuse the sender in the last session. confirmed: see
        `require_confirmed`.
        """
        self.begun = self.draining = False
        self._names = names
        self._settings = settings
        self._health = oversight.health
        self._oversight = oversight
        self._pipes = pipes
        self._recent_writes = recent_writes
        self._trusted = trusted
        self._confirmed = confirmed
        self._stop = StopSwitch()
        self._outcomes: Sequence[Target] = ()

    def drain(self) -> None:
        """Make no new calls; `run` returns when the calls in flight are finished and committed."""
        self.draining = True
        self._stop.drain()

    def abort(self) -> None:
        """Abort the calls in flight, too."""
        self.drain()
        self._stop.abort()

    async def run(self) -> None:
        """Return when drained, or when every source has ended. Raises BulkInviteError."""
        settings = self._settings
        validator = await run_sync(make_validator, settings)
        sources: Sequence[FollowedSource] = await run_sync(open_followed, self._names, settings, self._pipes)
        self._outcomes = await run_sync(open_outcomes, self._names, sources, settings)
        self._oversight.monitor.follow([source.name for source in sources])
        waits = self._oversight.waits_for_checkpoint
        writer = await run_sync(open_writer, settings, self._is_draining, waits, self._recent_writes)
        with ExitStack() as stack:
            for target in self._outcomes:
                stack.callback(target.writer.pause)
            stack.enter_context(writer)
            self._oversight.has_checkpoint()
            async with connected(settings, self._stop) as partner_central:
                if partner_central is None:
                    return
                resources = await make_resources(
                    settings,
                    writer,
                    partner_central,
                    make_clock(),
                    retry_interval=settings.retry_interval,
                )
                news = DeferredNews(settings.retry_interval, resources.clock)
                self._oversight.controls.configure(settings)
                self._oversight.controls.govern(resources.pacer)
                with self._stop.until_drain():
                    stands_by = self._oversight.waits_for_account
                    await claim_checkpoint(resources, self._health, stands_by, self._confirmed)
                    self._oversight.has_checkpoint()
                if self.draining:
                    return  # perhaps before the checkpoint was known to be ours
                await bind_tokens(resources, sources, self._is_draining)
                while sources and not self.draining:
                    sources = await self._round(resources, sources, validator, news)

    async def _round(
        self,
        resources: Resources,
        sources: Sequence[FollowedSource],
        validator: RowValidator,
        news: DeferredNews,
    ) -> Sequence[FollowedSource]:
        """Send what comes until open rows are due for another try; the sources that have not ended."""
        stop = self._stop = StopSwitch()
        tally = Tally(None, self._oversight.observer)
        assembly = await assemble(resources, self._oversight, tally, stop, validator, self._outcomes)
        followings: list[FollowingIntake] = []
        retries = resources.engagements.retries
        is_over = _due(followings, assembly.deliverer, tally.counts, self._settings.retry_interval)
        followings += [
            FollowingIntake(
                source,
                assembly.admitter,
                assembly.committer,
                stop,
                is_over,
                quiet=partial(self._quiet, source, tally.counts, partial(news.report, tally.counts, retries)),
            )
            for source in sources
        ]
        await assembly.run(
            followings,
            partial(self._open, resources),
            partial(self._end, assembly.write_back),
            sources=sources,
            total=RowTotal(None),
            is_trusted=partial(self._is_trusted, tally.counts),
        )
        return [each for each, following in zip(sources, followings, strict=True) if not following.ended]

    async def _open(self, resources: Resources) -> None:
        await begin_run(resources)
        if not self.begun:
            log_start("serve.started", resources)
        self.begun = True

    async def _end(self, write_back: WriteBack) -> None:
        """Write the last changes back, unless another round follows: it writes them then."""
        if self.draining:
            await write_back.finish()

    def _is_trusted(self, counts: Counts) -> bool:
        """Whether the endpoint is known to accept this sender."""
        self._trusted = self._trusted or bool(counts.states[State.CREATED])
        return self._trusted

    def _quiet(self, source: FollowedSource, counts: Counts, report_deferred: Callable[[], None]) -> None:
        """A source has nothing new: a pipe forgets the rows it handed out once all are settled."""
        self._oversight.monitor.read_to_end(source.name)
        report_deferred()
        if isinstance(source, Pipe) and not any(counts.states[state] for state in OPEN):
            source.forget()

    def _is_draining(self) -> bool:
        return self.draining


def _due(
    followings: Sequence[FollowingIntake], deliverer: Deliverer, counts: Counts, retry_interval: float
) -> Callable[[], bool]:
    """Whether a round is over; called from threads. Once it is, it is over for all of its sources."""
    began = time.monotonic()
    over = threading.Event()

    def is_due() -> bool:
        age = time.monotonic() - began
        # A round that reads from the beginning has to reach the new rows, however long that takes.
        if age < retry_interval or not all(each.caught_up or each.ended for each in followings):
            return over.is_set()
        in_doubt = counts.states[State.IN_DOUBT] > counts.in_flight
        retries = deliverer.engagements.retries
        is_full_due = counts.states[State.DEFERRED] and (retries is None or retries.is_due())
        if in_doubt or is_full_due or deliverer.denied or age >= _LONGEST:
            over.set()
        return over.is_set()

    return is_due
