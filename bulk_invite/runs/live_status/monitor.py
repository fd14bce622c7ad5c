"""The status of a run, assembled from its parts."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Literal

import anyio

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.health import Health
from bulk_invite.monitoring.speed_history import Calls, History
from bulk_invite.monitoring.status import Past, RunState, RunStatus
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.runs.live_status.checkpoint_view import Look
from bulk_invite.runs.live_status.controls import RunControls
from bulk_invite.runs.live_status.status_fields import (
    of_standby,
    with_all_rows,
    with_condition,
    with_pacing,
    with_rounded_figures,
    with_rows,
    with_seen,
    without_figures,
)
from bulk_invite.runs.output.progress import Progress
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.partner_central import endpoint_of

_EVERY: Final = 1.0
"""Seconds between two samples of the speed."""

_LAST: Final = 5.0
"""Seconds that the end of a watched run waits for its final figures."""


@dataclass(frozen=True, slots=True)
class Round:
    """The parts of a pipeline that the status shows."""

    counts: Counts
    progress: Progress
    pacer: Pacer


class Monitor:
    """over: set once the run has ended and its final status is known. calls: of the whole process.

    holder: the sender for whose end this one stands by.
    """

    def __init__(
        self,
        command: Literal["send", "serve"],
        settings: Settings,
        sources: Sequence[str],
        health: Health,
        controls: RunControls,
        *,
        controllable: bool,
    ) -> None:
        """sources: names that may be shown. controllable: whether there is a control token."""
        self.over = anyio.Event()
        self.holder: Holder | None = None
        self.calls = Calls()
        self._command = command
        self._settings = settings
        self._sources = sources
        self._health = health
        self._controls = controls
        self._controllable = controllable
        self._look = Look(settings)
        self._history = History()
        self._round: Round | None = None
        self._exit_code: int | None = None
        self._is_asked = False
        self._began, self._started = time.monotonic(), utc_text(time.time())
        self._version, self._checkpoint = version("bulk-invite"), database_of(settings).name
        self._read_to_end: dict[str, float] = {}

    def watch(self, settings: Settings, now: Round, checkpoint: str) -> None:
        """Show this round from now on, with its settings. checkpoint: its name, now that it is open."""
        self._settings = settings
        self._checkpoint = checkpoint
        self._round = now

    def follow(self, sources: Sequence[str]) -> None:
        """These sources are followed; each lags behind until it is read to its end."""
        self._sources = sources or self._sources
        self._read_to_end = {each: self._read_to_end.get(each, self._began) for each in sources}

    def read_to_end(self, source: str) -> None:
        """A followed source has been read to its end."""
        self._read_to_end[source] = time.monotonic()

    async def publish(self, receive: Callable[[RunStatus], None]) -> None:
        """Pass the status to `receive` every second, until cancelled."""
        while True:
            receive(await self.status())
            await anyio.sleep(_EVERY)

    async def keep_history(self) -> None:
        """Record the speed every second, until cancelled."""
        while True:
            if self._round is not None:
                pacing = self._round.pacer.view()
                calls = self.calls
                now = time.monotonic() - self._began
                speed = (pacing.rate, pacing.estimate)
                self._history.add(time.time(), now, *speed, calls.sent_calls, calls.throttled)
            await anyio.sleep(_EVERY)

    async def finish(self, exit_code: int) -> RunStatus:
        """Mark the run as over; returns its final status."""
        if self._is_asked:
            await self._look.refresh(within=_LAST, now=True)
        self._exit_code = exit_code
        self.over.set()
        return self.view()

    async def status(self) -> RunStatus:
        """The current status, after a short wait for recent figures of the checkpoint."""
        self._is_asked = True
        if self._exit_code is None:
            await self._look.refresh()
        return self.view()

    def past(self) -> Past:
        return self._history.past()

    def view(self) -> RunStatus:
        """The current status from what is in memory."""
        status, seen = self._frame(), self._look.seen
        if self.holder is not None:
            status = of_standby(status, self.holder)
        elif self._round is not None:
            pacing = self._round.pacer.view()
            status = with_rows(status, self._round.counts, self._round.progress)
            status = with_pacing(status, pacing, limits_of(self._settings).daily.quota)
        else:
            status = without_figures(status)
        if self._command == "serve" or self.holder is not None:
            status = with_all_rows(status, seen)
        status = with_seen(status, seen)
        status = with_condition(status, self._health.view(), self._state(status.parked))
        return with_rounded_figures(status)

    def _frame(self) -> RunStatus:
        return RunStatus(
            at=utc_text(time.time()),
            version=self._version,
            command=self._command,
            started=self._started,
            elapsed_s=time.monotonic() - self._began,
            catalog=self._settings.catalog,
            campaign=self._settings.campaign,
            endpoint=endpoint_of(self._settings),
            checkpoint=self._checkpoint,
            sources=self._sources,
            host=socket.gethostname(),
            rate_setting=self._controls.rate,
            max_in_flight=self._controls.in_flight.limit,
            source_lag=self._lag(),
            controllable=self._controllable,
            exit_code=self._exit_code,
        )

    def _lag(self) -> dict[str, float]:
        now = time.monotonic()
        return {source: now - at for source, at in self._read_to_end.items()}

    def _state(self, parked: str | None) -> RunState:  # noqa: PLR0911 - one line for each
        if self._exit_code is not None:
            return RunState.FINISHED
        if self._controls.ending:
            return RunState.DRAINING
        health = self._health.view()
        if self._controls.paused:
            return RunState.PAUSED
        if self.holder is not None:
            return RunState.WAITING
        if self._round is None or not (health.ready or health.known):
            return RunState.WAITING if health.known else RunState.STARTING
        if parked is not None:
            return RunState.PARKED
        if not health.ready:
            return RunState.WAITING
        counts = self._round.counts
        is_idle = not (counts.states[State.PENDING] or counts.in_flight)
        return RunState.IDLE if is_idle and self._command == "serve" else RunState.SENDING
