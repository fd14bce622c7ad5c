"""A whole run with fakes around it, for tests in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio
import pytest
from fakes import ListSource, MemoryJournal, MemoryOutlet, ScriptedSender, TinyValidator
from pacers import make_governor, make_pacer
from virtual_time import running_loop

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
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.parking import Why

EPOCH = 1_800_000_000.0
HOUR = 3600.0
WAITS = Waits(Backoff(0.2, 20), Backoff(0.1, 5), Backoff(0.5, 30))


async def nothing() -> None:
    pass


class _Intake(OnePassIntake):
    """resumed: another run of the same process follows, as a round of `serve`."""

    resumed = False

    @property
    def is_resumed(self) -> bool:
        return self.resumed


@dataclass
class Run:
    """One run and all that is around it; `rate` in calls per second.

    engagements, is_resumed: for rounds of one process; see `_Intake`.
    """

    texts: Iterable[str] = ()
    sender: ScriptedSender = field(default_factory=ScriptedSender)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    source: ListSource | None = None
    rate: float = 10.0
    governor: Governor | None = None
    in_flight: int = 8
    limit: int | None = None
    confirmed: int | None = None
    failures: FailureLimit = field(default_factory=FailureLimit)
    tries: int = 4
    settling_time: float = 60.0
    token_lifetime: float = 8 * HOUR
    proven: bool = False
    retry_failed: bool = False
    engagements: FullEngagements | None = None
    is_resumed: bool = False
    outlet_fails: BulkInviteError | None = None
    opening: Callable[[], Awaitable[None]] = nothing
    ending: Callable[[], Awaitable[None]] = nothing
    stop: StopSwitch = field(default_factory=StopSwitch)

    def __post_init__(self) -> None:
        self.sender.journal = self.journal
        self.outlet = MemoryOutlet(self.journal, fails=self.outlet_fails)
        self.tally = Tally(self.outlet)
        self.source = self.source or ListSource(self.texts)
        self.governor_now = self.governor or make_governor(self.rate)
        self.ahead = 0.0
        self._events_before = len(self.journal.events)
        self.finished: bool | None = None
        self.took = 0.0

    async def go(self) -> Run:
        loop = running_loop()
        committer = Committer(self.journal, campaign="", retry_failed=self.retry_failed, elapsed=loop.time)
        loop.wait_for_threads_of(committer._one_thread)
        loop.wait_for_threads_of(anyio.to_thread.current_default_thread_limiter())
        pacer = make_pacer(self.governor_now, loop.time)
        if self.engagements is None:
            self.engagements = FullEngagements(parked=pacer.view().parked is Why.ACCOUNT_FULL)
        deliverer = Deliverer(
            self.sender,
            committer,
            pacer,
            RowLookup(self._look_up(committer, loop.time), self.stop),
            self.tally,
            self.stop,
            engagements=self.engagements,
            guard=PermissionGuard(proven=self.proven),
            patience=Patience(self.tries, self.token_lifetime, 60.0, WAITS),
            environment=Environment(lambda: EPOCH + loop.time() + self.ahead, loop.time, lambda: 0.5),
        )
        assert self.source is not None
        intake = _Intake(
            [self.source],
            Admitter(TinyValidator(), committer, deliverer.engagements, self.tally),
            committer,
            self.stop,
            limit=self.limit,
            confirmed=self.confirmed,
        )
        intake.resumed = self.is_resumed
        bounds = Bounds(InFlight(self.in_flight), self.failures)
        pipeline = Pipeline([intake], committer, deliverer, self.tally, self.stop, bounds)
        began = loop.time()
        try:
            with anyio.fail_after(30 * 24 * HOUR):
                await pipeline.run(self.opening, ending=self.ending)
        finally:
            self.finished = pipeline.finished
            self.took = loop.time() - began
            self._check()
        return self

    def _look_up(self, committer: Committer, now: Callable[[], float]) -> GroupLookup:
        queries = Queries(self.sender, WAITS.doubtful, lambda: 0.5)
        return GroupLookup(
            queries,
            committer.rows_of,
            settling_time=self.settling_time,
            clock=lambda: EPOCH + now() + self.ahead,
        )

    async def fails(self, kind: type[BulkInviteError]) -> Run:
        with pytest.raises(kind):
            await self.go()
        return self

    def _check(self) -> None:
        """The properties of every run, however it ended."""
        states = self.tally.counts.states
        assert (
            states + Counter({State.CREATED: self.tally.counts.already_created}) == self._states_in_journal()
        )
        assert set(self.outlet.created_rows) <= {
            token for token, entry in self.journal.rows.items() if entry.state is State.CREATED
        }
        for token in {call.token for call in self.sender.calls}:
            assert len({call.body for call in self.sender.calls_of(token)}) == 1
        assert self.sender.most_at_once <= self.in_flight

    def _states_in_journal(self) -> dict[State, int]:
        states: dict[State, int] = {}
        touched = {event.client_token for event in self.journal.events[self._events_before :]}
        for token, kept in self.journal.states().items():
            # What an earlier run has deferred is pending again.
            state = State.PENDING if kept is State.DEFERRED and token not in touched else kept
            states[state] = states.get(state, 0) + 1
        for state in (State.REJECTED, State.DUPLICATE):
            if rows := self.tally.counts.states[state]:
                states[state] = rows
        return states

    async def when(self, moment: float, do: Callable[[], None]) -> Run:
        """Run, and `do` something `moment` seconds after the beginning."""

        async def later() -> None:
            await anyio.sleep(moment)
            do()

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            await self.go()
            group.cancel_scope.cancel()
        return self
