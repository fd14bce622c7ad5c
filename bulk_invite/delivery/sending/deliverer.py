"""One invitation from its permit to its outcome: intent, call, outcome, and again if need be.

The order of durable steps: the intent is committed before the first byte leaves; the answer is committed
before anything is reported or tried again. Between the two the row is in doubt, whatever happens to us. Out
of doubt lead two ways: the same token again, as long as the service is trusted to remember it, and after that
a look at what the service has.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, assert_never

from bulk_invite.delivery.lookup.resolver import Resolver
from bulk_invite.delivery.sending.answer_effects import Hearing
from bulk_invite.delivery.sending.circuit_breaker import Outage
from bulk_invite.delivery.sending.denied_rows import Held
from bulk_invite.delivery.sending.full_engagements import Engagements
from bulk_invite.delivery.sending.may_call import Grounds
from bulk_invite.delivery.sending.permits import Departures, Patience
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.retry_later import Aside
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Report
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.classify import classify, is_counted, signal
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.transitions import Disposition, Next, reason_to_stop
from bulk_invite.domain.verdicts import (
    Answer,
    Created,
    Doubtful,
    NoAnswer,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit


class Sender(Protocol):
    """Makes one call; `body` is the frozen request. Never raises for what service or network do.

    clearance: renewed when the connection is ready, and asked right before the first byte leaves: where it
    does not hold, none does, and the answer is `classify.WITHHELD`.
    ready: done before a call, so that what goes wrong there is known not to have sent anything.
    """

    async def ready(self) -> NoAnswer | None: ...

    async def create(self, body: bytes, clearance: Clearance) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is not ours to decide: epoch seconds, random numbers uniform in [0, 1), whom we call.

    elapsed: seconds that nobody can set.
    """

    clock: Callable[[], float]
    elapsed: Callable[[], float]
    random: Callable[[], float]
    endpoint: str = "Partner Central"


class Deliverer:
    """Delivers invitations, any number at the same time."""

    def __init__(
        self,
        sender: Sender,
        committer: Committer,
        pacer: Pacer,
        resolver: Resolver,
        report: Report,
        stop: StopSwitch,
        *,
        guard: PermissionGuard,
        patience: Patience,
        surroundings: Surroundings,
    ) -> None:
        self._sender = sender
        self._committer = committer
        self._pacer = pacer
        self._resolver = resolver
        self._report = report
        self._stop = stop
        self._guard = guard
        self._patience = patience
        self._clock = surroundings.clock
        self._elapsed = surroundings.elapsed
        self.engagements = Engagements()
        self._grounds = Grounds(committer, self.engagements, patience, stop)
        self._outage = Outage(
            surroundings.endpoint, patience.waits.unreachable, surroundings.random, rows=patience.streak
        )
        self._departures = Departures(
            pacer, self._outage, stop, patience.waits, surroundings.random, self._grounds.is_set_aside
        )
        self._hearing = Hearing(pacer, self._outage, self.engagements, guard, patience)
        self._aside = Aside()
        self._is_last_round = False
        self.held = Held(resolver)

    @property
    def waits_for_endpoint(self) -> bool:
        return self._outage.is_on

    async def deliver(self, to_send: ToSend) -> int:
        """Send a row until it is settled, set aside or left in doubt.

        Returns how many rows came to their end by that: 0 when a stop came first or the row is set aside or
        held, more than 1 when its answer told what to make of rows that were held.

        A stop leaves the row as it was last committed. Raises BulkInviteError, CheckpointError among them.
        """
        life = Life(
            to_send, self._committer, self._report, self._clock, self._elapsed, self._patience.call_timeout
        )
        return await self.go_on(life)

    async def go_on(self, life: Life) -> int:
        """`deliver` for a row that was set aside before."""
        if await self._is_done_without_call(life):
            return int(life.ended)
        released = 0
        permit = await self._checked(life, await self._departures.first(life))
        while permit is not None:
            unready = await self._unready()
            if self._stop.draining:
                self._departures.give_back(permit)
                break
            if unready is not None:
                permit = await self._recover(life, permit, unready)
                continue
            sent_at = await life.sent()
            answer, verdict = await self._call(life, permit)
            if answer is None or verdict is None:
                break
            verdict, disposition = await self._hearing.take_down(life, answer, verdict, sent_at)
            if self._guard.is_proof(verdict):
                released += await self.held.settle(denied_by=sent_at)
            permit = await self._follow(life, disposition)
        return released + life.ended

    def last_rounds(self) -> Iterator[deque[Life]]:
        """The rows to try once more at the end: one of each full engagement, the others, those to find."""
        self.engagements.ask_again()
        self._is_last_round = self._hearing.is_last_round = True
        yield from self._aside.taken_back()
        # A denial may turn out to be a row's in this very round.
        while lives := self._resolver.taken_back():
            yield lives

    async def settle_held(self) -> int:
        """Settle the rows whose denial is theirs, or was too rare to blame the sender; says how many.

        Raises SenderError when it was not: then the rows stay pending.
        """
        if not self._guard.proven_now and len(self.held) >= PermissionGuard.FEW:
            raise reason_to_stop(self.held.first)
        return await self.held.settle(denied_by=math.inf, is_last=True)

    async def _checked(self, life: Life, permit: Permit | None) -> Permit | None:
        """A permit that the row still wants: waiting for it may have taken hours."""
        if self._stop.draining or not (self._grounds.is_set_aside(life) or self._grounds.is_too_old(life)):
            return permit
        # Others must not wait for what a look-up takes.
        self._departures.give_back(permit)
        self._outage.probe_gave_up(life)
        if await self._is_done_without_call(life):
            return None
        return await self._checked(life, await self._departures.first(life))

    async def _is_done_without_call(self, life: Life) -> bool:
        """Put a row aside, or look it up, where no call would be right."""
        if self._grounds.is_set_aside(life):
            if not life.is_set_aside:
                await life.settled(Disposition.set_aside())
            self._put_aside(life)
            return True
        is_unsafe = life.is_to_be_found or self._grounds.is_too_old(life)
        return is_unsafe and not await self._resolved(life)

    def _put_aside(self, life: Life) -> None:
        """Keep a row for the end of the run, or let it wait for a later one."""
        if self._is_last_round or not self._aside.put(life):
            life.end()

    async def _resolved(self, life: Life) -> bool:
        """Look a row up; whether it is to be sent now."""
        step = await self._resolver.resolve(life, is_last=self._is_last_round)
        if step is Next.SET_ENGAGEMENT_ASIDE:
            self._put_aside(life)
        return step is Next.AGAIN

    async def _unready(self) -> NoAnswer | None:
        with self._stop.until_drain():
            return await self._sender.ready()
        return None

    async def _recover(self, life: Life, permit: Permit, unready: NoAnswer) -> Permit | None:
        """Wait for what a call needs, or stop the run where that does not help: nothing has left yet."""
        self._departures.give_back(permit)
        verdict = classify(unready)
        if isinstance(verdict, Unreachable | Doubtful | Unknown):
            return await self._checked(life, await self._departures.when_reachable(life, verdict.code))
        self._stop.drain(reason_to_stop(self._hearing.judge(life, verdict, self._clock())))
        return None

    async def _call(self, life: Life, permit: Permit) -> tuple[Answer, Verdict] | tuple[None, None]:
        """Make one call and tell the pacing of it; None when the run was broken off meanwhile."""
        began = self._pacer.now()
        clearance = self._grounds.clearance(life)
        answer: Answer | None = None
        with self._stop.until_abort():
            answer = await self._sender.create(life.body, clearance)
        if answer is None:
            return None, None
        verdict = classify(answer)
        if isinstance(verdict, Withheld):
            self._departures.give_back(permit)
            self._outage.probe_gave_up(life)
            return answer, Withheld(clearance.withheld or verdict.code)
        self._pacer.observe(
            permit,
            signal(verdict),
            sent_at=began,
            counted=is_counted(verdict),
            retry_after=verdict.retry_after if isinstance(verdict, Throttled) else None,
        )
        if not isinstance(verdict, Created):  # whose Id may turn out to be another row's
            self._hearing.note(life, answer, verdict)
        return answer, verdict

    async def _follow(self, life: Life, disposition: Disposition) -> Permit | None:
        """Do what the disposition asks for; the permit of another attempt, where it asks for one."""
        match disposition.next:
            case Next.DONE:
                pass
            case Next.SET_ENGAGEMENT_ASIDE:
                self._put_aside(life)
            case Next.STOP_RUN:
                self._stop.drain(reason_to_stop(disposition))
            case Next.HOLD:
                self.held.hold(life, disposition, self._clock())
            case Next.LOOK_UP if disposition.outcome in {"doubtful", "unknown"}:
                self._outage.probe_gave_up(life)
                await self._resolver.find_or_leave(life)
            case Next.LOOK_UP | Next.LOOK_UP_LATER:
                if await self._resolved(life):
                    return await self._checked(life, await self._departures.first(life))
            case Next.AGAIN:
                return await self._checked(life, await self._departures.again(life, disposition))
            case Next.AGAIN_WHEN_REACHABLE:
                permit = await self._departures.when_reachable(life, disposition.code)
                return await self._checked(life, permit)
            case _:  # pragma: no cover
                assert_never(disposition.next)
        return None
