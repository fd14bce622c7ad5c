"""As long as nothing breaks: one checkpoint, one line to the service, and round after round."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from anyio.to_thread import run_sync

from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.follow import Followed, Following
from bulk_invite.delivery.pipeline import Bounds, FailureLimit, Pipeline
from bulk_invite.delivery.sending.deliverer import Deliverer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.delivery.write_back import Target, WriteBack
from bulk_invite.domain.durations import HOUR
from bulk_invite.domain.verdicts import OPEN, State
from bulk_invite.monitoring.health import Health
from bulk_invite.runs.live_status.health_watch import watch_health
from bulk_invite.runs.live_status.monitor import Round
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.older_checkpoint import begin_run, wait_for_lists
from bulk_invite.runs.output.progress import Progress
from bulk_invite.runs.save_pacing import Memory
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_writer
from bulk_invite.runs.wiring.delivery import (
    Lasting,
    bind_tokens,
    make_committer,
    make_deliverer,
    make_lasting,
    tell_start,
)
from bulk_invite.runs.wiring.pacing import limits_of, make_clock
from bulk_invite.runs.wiring.partner_central import claim, connected, endpoint_of
from bulk_invite.runs.wiring.sources import open_followed, open_outcomes
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.pipe import Pipe
from bulk_invite.validation import RowValidator

_log = structlog.get_logger()

_LONGEST: Final = 6 * HOUR
"""Seconds after which a round ends in any case: what it remembers of engagements would grow for ever."""


@dataclass(slots=True)
class _Endless:
    """How much there is to read, where nobody can know."""

    size: int | None = None
    consumed: int = 0
    lines: int = 0


class Session:
    """Opens what is needed, and sends until told to stop; `begun` once it has got so far.

    Every round has a stop switch of its own, for a pipeline leaves its used.
    """

    def __init__(
        self,
        names: Sequence[str],
        settings: Settings,
        health: Health,
        oversight: Oversight,
        pipes: dict[str, Pipe],
        recent_writes: RecentWrites,
        *,
        trusted: bool,
    ) -> None:
        """pipes: those that stay open from one session to the next. recollection: likewise.

        trusted: the endpoint did not refuse the sender the last time.
        """
        self.begun = False
        self._names = names
        self._settings = settings
        self._health = health
        self._oversight = oversight
        self._pipes = pipes
        self._recollection = recent_writes
        self._trusted = trusted
        self._stop = StopSwitch()
        self._draining = False
        self._outcomes: Sequence[Target] = ()

    def drain(self) -> None:
        """No new calls; `run` returns when those in flight are finished and committed."""
        self._draining = True
        self._stop.drain()

    def abort(self) -> None:
        """Break off the calls in flight too."""
        self.drain()
        self._stop.abort()

    async def run(self) -> None:
        """Return when a stop was asked for or no source goes on. Raises BulkInviteError."""
        settings = self._settings
        validator = await run_sync(make_validator, settings)
        sources: Sequence[Followed] = await run_sync(open_followed, self._names, settings, self._pipes)
        self._outcomes = await run_sync(open_outcomes, self._names, sources, settings)
        self._oversight.monitor.follow([source.name for source in sources])
        waits = self._health.checkpoint.fails
        writer = await run_sync(open_writer, settings, self._is_draining, waits, self._recollection)
        with ExitStack() as stack:
            for target in self._outcomes:
                stack.callback(target.writer.pause)
            stack.enter_context(writer)
            self._health.checkpoint.answers()
            async with connected(settings, self._stop) as partner_central:
                if partner_central is None:
                    return
                lasting = await make_lasting(settings, writer, partner_central, make_clock())
                self._oversight.controls.configure(settings)
                self._oversight.controls.govern(lasting.pacer)
                with self._stop.until_drain():
                    await claim(
                        writer,
                        partner_central,
                        endpoint_of(settings),
                        self._health.endpoint.fails,
                        waits=settings.wait_for_lock,
                    )
                if self._draining:
                    return  # perhaps before the checkpoint was known to be ours
                await bind_tokens(lasting, sources, self._is_draining)
                while sources and not self._draining:
                    sources = await self._round(lasting, sources, validator)

    async def _round(
        self, lasting: Lasting, sources: Sequence[Followed], validator: RowValidator
    ) -> Sequence[Followed]:
        """Send what comes until it is time to try once more what was left open; the sources that go on."""
        settings, stop, oversight = self._settings, StopSwitch(), self._oversight
        self._stop, in_flight = stop, oversight.controls.in_flight
        tally = Tally(None, oversight.observer)
        committer = make_committer(lasting, oversight.observer)
        deliverer = await make_deliverer(lasting, committer, tally, stop, in_flight)
        admitter = Admitter(validator, committer, deliverer.engagements, tally)
        followings: list[Following] = []
        is_over = _due(followings, deliverer, tally.counts, settings.retry_interval)
        followings += [
            Following(
                source, admitter, committer, stop, is_over, quiet=partial(self._quiet, source, tally.counts)
            )
            for source in sources
        ]
        bounds = Bounds(in_flight, FailureLimit())
        pipeline = Pipeline(followings, committer, deliverer, tally, stop, bounds)
        progress = self._progress(lasting, tally.counts)
        oversight.monitor.watch(settings, Round(tally.counts, progress, lasting.pacer))
        memory = Memory(lasting.pacer, progress, committer, lasting.writer)
        write_back = WriteBack(committer.changes, self._outcomes, stop)
        opening = partial(self._open, lasting, memory, write_back)
        is_trusted = partial(self._is_trusted, tally.counts)
        watch = partial(watch_health, self._health, sources, deliverer, committer, is_trusted)
        watchers = (progress.watch, memory.keep, write_back.run, watch)
        try:
            await pipeline.run(opening, *watchers, ending=partial(self._end, write_back))
        finally:
            await memory.keep_last(stop)
        return [each for each, following in zip(sources, followings, strict=True) if not following.ended]

    def _progress(self, lasting: Lasting, counts: Counts) -> Progress:
        settings = self._settings
        return Progress(
            counts,
            [_Endless()],
            lasting.pacer,
            limits_of(settings).daily.quota,
            None,
            mode=settings.progress,
            interval=settings.progress_interval,
            only_news=True,
        )

    async def _open(self, lasting: Lasting, memory: Memory, write_back: WriteBack) -> None:
        await begin_run(lasting)
        if not self.begun:
            tell_start("serve.started", lasting)
        self.begun = True
        memory.begin()
        write_back.begin()
        await wait_for_lists(lasting)

    async def _end(self, write_back: WriteBack) -> None:
        """Write the last changes back; where another round follows, that one does it and nobody waits."""
        if self._draining:
            await write_back.finish()

    def _is_trusted(self, counts: Counts) -> bool:
        """Whether the endpoint takes this sender, as far as is known."""
        self._trusted = self._trusted or bool(counts.states[State.CREATED])
        return self._trusted

    def _quiet(self, source: Followed, counts: Counts) -> None:
        """A source has nothing new: let a pipe forget what it has handed out, where all of it is settled."""
        self._oversight.monitor.read_to_end(source.name)
        if isinstance(source, Pipe) and not any(counts.states[state] for state in OPEN):
            source.forget()

    def _is_draining(self) -> bool:
        return self._draining


def _due(
    followings: Sequence[Following], deliverer: Deliverer, counts: Counts, retry_interval: float
) -> Callable[[], bool]:
    """Whether a round is to end; asked from threads. Once it is, it is for all of its sources."""
    began = time.monotonic()
    over = threading.Event()

    def is_due() -> bool:
        age = time.monotonic() - began
        # A round that reads from the beginning has to come to what is new, however long that takes.
        if age < retry_interval or not all(each.caught_up or each.ended for each in followings):
            return over.is_set()
        in_doubt = counts.states[State.IN_DOUBT] > counts.in_flight
        if in_doubt or counts.states[State.DEFERRED] or deliverer.denied or age >= _LONGEST:
            over.set()
        return over.is_set()

    return is_due
