"""One run of the real parts, joined as the program joins them, as a process that may be killed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.one_pass import OnePassIntake
from bulk_invite.delivery.lookup.group_lookup import GroupLookup
from bulk_invite.delivery.lookup.queries import Queries
from bulk_invite.delivery.lookup.row_lookup import RowLookup
from bulk_invite.delivery.pipeline import Bounds, FailureLimit, Pipeline
from bulk_invite.delivery.sending.deliverer import Deliverer, Environment
from bulk_invite.delivery.sending.permits import Patience, Waits
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.delivery.worker_pool import InFlight
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.errors import BulkInviteError, CheckpointError
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.records import Owner
from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.pacing.governor import Governor, Limits
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import DailyLimits, Why
from bulk_invite.pacing.rolling_window import RollingWindow
from bulk_invite.validation import RowValidator
from bulk_invite.validation.service_model import load
from faults.onlookers import Disk, Journal, Lines, Outlet, Process, Seen, WitnessedLine
from faults.plans import DEADLINE, SETTLING, Ending, Plan
from faults.virtual_service import ACCOUNT, EPOCH, VirtualService

_WAITS: Final = Waits(Backoff(0.2, 20.0), Backoff(0.1, 5.0), Backoff(0.5, 30.0))
_VALIDATOR: Final = RowValidator(load(), catalog="Sandbox", campaign="", today=dt.date(2027, 1, 15))
_LONGEST: Final = 40 * 86_400.0


@dataclass(frozen=True, slots=True)
class _Parts:
    line: WitnessedLine
    committer: Committer
    pacer: Pacer
    tally: Tally
    proven: bool


async def _keep(pacer: Pacer, committer: Committer) -> None:
    """Write the pacing down, far more seldom than the program does: most days here go by in parks."""
    while True:
        await anyio.sleep(600.0)
        await committer.ask(lambda journal: journal.save_pacing(pacer.memory()))


@dataclass(slots=True)
class Run:
    """One start of the command over a checkpoint; `end` says how it came to its end."""

    plan: Plan
    number: int
    ending: Ending
    service: VirtualService
    seen: Seen
    tokens: dict[bytes, str]
    process: Process = field(init=False)
    stop: StopSwitch = field(default_factory=StopSwitch)
    most_at_once: int = 0

    async def go(self, checkpoint: Path) -> str:
        self.seen.runs += 1
        finished = False
        error = ""
        with CheckpointWriter.open(checkpoint, catalog="Sandbox") as writer, anyio.CancelScope() as scope:
            self.process = Process(self.number, self.ending, scope)
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_from_outside)
                try:
                    with anyio.fail_after(_LONGEST):
                        finished = await self._send(writer)
                except BulkInviteError as reason:
                    error = f"{type(reason).__name__}: {reason}"
                group.cancel_scope.cancel()
        if not self.process.alive:
            return "killed"
        return error or ("finished" if finished else "stopped")

    async def _end_from_outside(self) -> None:
        if not self.ending.how or self.ending.point:
            return
        await anyio.sleep(self.ending.after)
        if self.ending.how == "killed":
            self.process.die()
            return
        self.stop.drain()
        if self.ending.how == "cut_off":
            await anyio.sleep(1.0)
            self.stop.abort()

    async def _send(self, writer: CheckpointWriter) -> bool:
        clock = Clock(lambda: EPOCH + self.plan.skew + anyio.current_time(), anyio.current_time)
        chance = Random(f"{self.plan.seed}/run/{self.number}")
        disk = Disk(self.plan.disk, chance)
        journal = Journal(writer, self.process, self.seen)
        committer = Committer(
            journal, campaign="", retry_failed=False, in_thread=disk, elapsed=anyio.current_time
        )
        pacer = Pacer(self._governor(writer, clock.steady()), burst=None, clock=clock)
        line = WitnessedLine(self.service, self.process, self.seen, self.tokens)
        tally = Tally(Outlet(self.seen))
        parts = _Parts(line, committer, pacer, tally, proven=writer.has_created())
        deliverer = self._deliverer(parts, clock, chance.random)
        intake = OnePassIntake(
            [Lines(self.plan.lines, self.plan.batch)],
            Admitter(_VALIDATOR, committer, deliverer.engagements, tally),
            committer,
            self.stop,
            in_thread=disk,
        )
        bounds = Bounds(InFlight(self.plan.in_flight), FailureLimit())
        pipeline = Pipeline([intake], committer, deliverer, tally, self.stop, bounds)

        async def opening() -> None:
            writer.claim(Owner(ACCOUNT, ""))
            writer.begin_run(clock.wall())

        try:
            await pipeline.run(opening, partial(_keep, pacer, committer))
        finally:
            self.most_at_once = line.most_at_once
            if self.process.alive and not committer.failed:
                with suppress(CheckpointError):
                    writer.save_pacing(pacer.memory())
        if self.process.alive and pipeline.finished:
            self._compare_counts(writer, pacer)
        return pipeline.finished

    def _compare_counts(self, writer: CheckpointWriter, pacer: Pacer) -> None:
        """The daily count of this run must equal that of the next one."""
        if anyio.current_time() > 0.9 * DAY:
            return  # the window lets go of calls by the step, so that the two may differ for a moment
        window, now = RollingWindow(None), pacer.now()
        writer.count_calls(now, grace=DEADLINE, into=window.add)
        if (counted := pacer.memory().counted) != window.count(now):
            self.seen.broken.append(f"the run counts {counted} calls, its checkpoint {window.count(now)}")

    def _deliverer(self, parts: _Parts, clock: Clock, random: Callable[[], float]) -> Deliverer:
        queries = Queries(parts.line, _WAITS.doubtful, random)
        lookup = GroupLookup(queries, parts.committer.rows_of, settling_time=SETTLING, clock=clock.steady)
        return Deliverer(
            parts.line,
            parts.committer,
            parts.pacer,
            RowLookup(lookup, self.stop),
            parts.tally,
            self.stop,
            engagements=FullEngagements(parked=parts.pacer.view().parked is Why.ACCOUNT_FULL),
            guard=PermissionGuard(proven=parts.proven),
            patience=Patience(self.plan.tries, self.plan.lifetime, DEADLINE, _WAITS),
            environment=Environment(clock.wall, clock.steady, random),
        )

    def _governor(self, writer: CheckpointWriter, now: float) -> Governor:
        plan = self.plan
        window = RollingWindow(plan.quota)
        writer.count_calls(now, grace=DEADLINE, into=window.add)
        limits = Limits(
            plan.rate, 1.0 if plan.seek else plan.rate, seek=plan.seek, daily=DailyLimits(plan.quota, 900.0)
        )
        return Governor(limits, window, writer.load_pacing(), now)


def validated(lines: Sequence[bytes]) -> list[Invitation]:
    """The valid rows, each token once."""
    rows = (_VALIDATOR.validate(Row(Position("rows.ndjson", n), line)) for n, line in enumerate(lines, 1))
    known = {row.client_token: row for row in rows if isinstance(row, Invitation)}
    return list(known.values())
