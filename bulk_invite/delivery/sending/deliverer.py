"""Delivery of one row: `next_step` decides each step, and this module carries it out until the row is done.

Order of durable steps: the intent is committed before the first byte leaves; the answer is committed before
anything is reported or retried. In between, the row is in doubt, even if the program crashes. Two ways lead
out of doubt: the same token again, as long as the service is trusted to remember it, and then a look-up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from bulk_invite.delivery.lookup.row_lookup import RowLookup
from bulk_invite.delivery.sending.account_room import AccountRoom
from bulk_invite.delivery.sending.answer_effects import AnswerEffects
from bulk_invite.delivery.sending.circuit_breaker import CircuitBreaker
from bulk_invite.delivery.sending.live_facts import LiveFacts, RunNow
from bulk_invite.delivery.sending.may_call import MayCall
from bulk_invite.delivery.sending.permits import Patience, Permits
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.rows_on_hold import RowsOnHold, one_of_each_engagement
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.classify import classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.next_step import (
    Call,
    End,
    Happened,
    Hold,
    Leave,
    LookedUp,
    LookUp,
    OnHold,
    Settle,
    StopRun,
    Wait,
    next_step,
)
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.transitions import Transition, after_answer, reason_to_stop
from bulk_invite.domain.verdicts import (
    Answer,
    Created,
    Doubtful,
    EngagementFull,
    HttpAnswer,
    NoAnswer,
    State,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit

_WITH_PERMIT: Final = (Call, Wait)
"""Steps of a row that keeps its permit. (A union in the loop would be made anew for every step.)"""

_LEARNT_LATER: Final = (Created, Withheld)
"""Verdicts that are applied after their commit, or not at all."""


class Sender(Protocol):
    """Makes one call; `body` is the frozen request. Never raises for a failure of the service or the network.

    clearance: renewed when the connection is ready, and checked right before the first byte leaves. If it
    does not hold, no byte leaves and the answer is `classify.WITHHELD`.
    ready: prepares a call; a failure here is known to have sent nothing. is_ready: that has nothing to do.
    """

    @property
    def is_ready(self) -> bool: ...

    async def ready(self) -> NoAnswer | None: ...

    async def create(self, body: bytes, clearance: Clearance) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Environment:
    """Inputs from outside. clock: epoch seconds. elapsed: seconds of a clock that cannot be set.

    random: uniform in [0, 1). endpoint: its display name.
    """

    clock: Callable[[], float]
    elapsed: Callable[[], float]
    random: Callable[[], float]
    endpoint: str = "Partner Central"


class Deliverer:
    """Delivers invitations, any number concurrently. Raises BulkInviteError.

    A drain ends every wait before a call. An abort cancels the callers of `deliver`; see `StopSwitch`.
    """

    def __init__(
        self,
        sender: Sender,
        committer: Committer,
        pacer: Pacer,
        lookup: RowLookup,
        tally: Tally,
        stop: StopSwitch,
        *,
        engagements: FullEngagements,
        guard: PermissionGuard,
        patience: Patience,
        environment: Environment,
    ) -> None:
        self._sender = sender
        self._committer = committer
        self._pacer = pacer
        self._lookup = lookup
        self._tally = tally
        self._stop = stop
        self._guard = guard
        self._patience = patience
        self._clock = environment.clock
        self._elapsed = environment.elapsed
        self.engagements = engagements
        self._room = AccountRoom(engagements, committer, pacer)
        self._may_call = MayCall(committer, self._room, patience, stop)
        self._breaker = CircuitBreaker(
            environment.endpoint, patience.waits.unreachable, environment.random, rows=patience.streak
        )
        self._permits = Permits(
            pacer, self._breaker, stop, patience.waits, environment.random, self._room.is_unwanted
        )
        self._effects = AnswerEffects(pacer, self._breaker, engagements, guard)
        self._on_hold = RowsOnHold()
        parts = (stop, self._breaker, engagements, self._on_hold, self._may_call)
        self._now = RunNow(*parts, tries=patience.tries)

    @property
    def waits_for_endpoint(self) -> bool:
        return self._breaker.is_open

    @property
    def denied(self) -> int:
        """Number of rows on hold because they were denied."""
        return self._on_hold.count(OnHold.DENIED)

    def track(self, to_send: ToSend) -> TrackedRow:
        """Start tracking a row for delivery."""
        timeout = self._patience.call_timeout
        return TrackedRow(to_send, self._committer, self._tally, self._clock, self._elapsed, timeout)

    async def deliver(self, row: TrackedRow) -> None:
        """Deliver a row until it ends, is on hold, or a stop leaves it as last committed.

        Then settle the rows whose denials are by now known to concern the rows themselves.
        """
        await self._advance(row)
        if self.denied:
            await self._settle(self._on_hold.take(OnHold.DENIED, until=self._guard.proven_until))

    def last_rounds(self, *, another_follows: bool) -> Iterator[deque[TrackedRow]]:
        """Rows to retry at the end: those of full engagements, then those to look up.

        another_follows: the rows will soon be read again, and new ones with them, so nothing waits for room.
        """
        first, others = one_of_each_engagement(self._on_hold.take(OnHold.ENGAGEMENT_FULL))
        if not another_follows:
            yield from self._room.probes(first)
        self._now.is_last_round = True
        first.extend(self._on_hold.take(OnHold.ENGAGEMENT_FULL))
        if self.engagements.retries is None:
            yield from self._room.last_round(first)
        else:
            yield from self._room.retries(first)
        yield others
        yield self._on_hold.take(OnHold.LOOK_UP)

    async def settle_denied(self) -> None:
        """Settle the rows whose denials are still unexplained: they are too few to blame the sender.

        Raises SenderError if they are not too few; the rows then stay as they are.
        """
        rows = self._on_hold.take(OnHold.DENIED)
        if rows and rows[0].denial is not None and self._guard.blames_sender(len(rows)):
            raise reason_to_stop(rows[0].denial)
        await self._settle(rows)

    async def _settle(self, denied: Iterable[TrackedRow]) -> None:
        """Advance denied rows; those in doubt come last, so that no other row waits for a look-up."""
        for row in sorted(denied, key=lambda row: row.doubt_since is not None):
            await self._advance(row)

    async def _advance(self, row: TrackedRow) -> None:  # noqa: C901 - one arm for each step
        """Decide on the next step and carry it out, in a loop. Nothing called from here calls it again."""
        happened: Happened = None
        permit: Permit | None = None
        facts = LiveFacts(row, self._now)
        while True:
            if happened is None and permit is None:
                await self._room.prepare(row)
            facts.has_permit = permit is not None
            step = next_step(happened, facts, facts)
            if not isinstance(step, _WITH_PERMIT):
                self._permits.give_up(row, permit)  # so that no other row waits for it
                permit = None
            match step:
                case Call():
                    assert permit is not None  # noqa: S101 - no call is decided on without one
                    happened, permit = await self._call(row, permit), None
                case Wait():
                    happened, permit = None, await self._permits.after(row, step)
                case LookUp():
                    happened = await self._look_up(row, step)
                case Settle(transition, finding):
                    happened = await row.settle(transition, finding)
                case Hold(reason):
                    self._on_hold.add(row, reason, self._elapsed())
                    return
                case StopRun(because):
                    self._stop.drain(reason_to_stop(because))
                    return
                case End():
                    row.end()
                    return
                case Leave():
                    return
                case _:  # pragma: no cover
                    assert_never(step)

    async def _call(self, row: TrackedRow, permit: Permit) -> Transition | None:
        """Make one attempt; return the transition committed. None if a drain came first."""
        unready = None if self._sender.is_ready else await self._unready()
        if self._stop.draining or unready is not None:
            self._permits.unused(permit)
            return None if self._stop.draining or unready is None else _not_sent(row, unready)
        sent_at = await row.commit_intent()
        began = self._pacer.now()
        clearance = self._may_call.clearance(row)
        answer = await self._sender.create(row.body, clearance)
        verdict = classify(answer)
        if isinstance(verdict, Withheld):
            self._permits.give_up(row, permit)
            verdict = Withheld(clearance.withheld or verdict.code)
        else:
            self._effects.pace(permit, verdict, began)
        return await self._answered(row, answer, verdict, sent_at)

    async def _unready(self) -> NoAnswer | None:
        with self._stop.until_drain():
            return await self._sender.ready()
        return None

    async def _answered(
        self, row: TrackedRow, answer: Answer, verdict: Verdict, sent_at: float
    ) -> Transition:
        """Apply an answer and commit its transition; return the transition committed."""
        if not isinstance(verdict, _LEARNT_LATER):
            verdict = self._effects.learn(row, answer, verdict)
        transition = after_answer(verdict, doubt_since=row.doubt_since, sent_at=sent_at)
        request_id = answer.request_id if isinstance(answer, HttpAnswer) else ""
        so = await row.commit_answer(transition, request_id=request_id)
        if isinstance(verdict, Created):
            # An Id proves nothing until the commit shows that no other row has it.
            self._effects.learn(row, answer, verdict if so.state is State.CREATED else Doubtful(so.code))
        if isinstance(verdict, EngagementFull):
            await self._room.refused(row)
        if so.outcome is Outcome.DOUBTFUL or so.outcome is Outcome.UNKNOWN:
            row.count_doubt(is_down=self._breaker.is_open)
        return so

    async def _look_up(self, row: TrackedRow, step: LookUp) -> LookedUp | None:
        finding = await self._lookup.find(row, waits=step.waits)
        return None if finding is None else LookedUp(finding, step.gives_up)


def _not_sent(row: TrackedRow, unready: NoAnswer) -> Transition:
    """The transition after a failed preparation: nothing has left, so it is not committed."""
    verdict = classify(unready)
    if isinstance(verdict, Doubtful | Unknown):
        verdict = Unreachable(verdict.code)
    return after_answer(verdict, doubt_since=row.doubt_since, sent_at=0.0)
