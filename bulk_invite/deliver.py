"""One invitation from its permit to its outcome: intent, call, outcome, and again if need be.

The order of durable steps: the intent is committed before the first byte leaves; the answer is committed
before anything is reported or tried again. Between the two the row is in doubt, whatever happens to us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, assert_never

import anyio

from bulk_invite.aside import Aside
from bulk_invite.backoff import Backoff
from bulk_invite.classify import classify, is_counted, signal
from bulk_invite.commit import Committer
from bulk_invite.disposition import (
    TOO_OLD,
    Disposition,
    Next,
    PermissionGuard,
    dispose,
    reason_to_stop,
)
from bulk_invite.engagements import Engagements
from bulk_invite.journal import ToSend
from bulk_invite.life import Life
from bulk_invite.outage import Outage
from bulk_invite.outcome import (
    Answer,
    Created,
    EngagementFull,
    HttpAnswer,
    State,
    Throttled,
    Unreachable,
    Verdict,
)
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit, Why
from bulk_invite.report import Report
from bulk_invite.stop import StopSwitch


class Sender(Protocol):
    """Makes one call; `body` is the frozen request. Never raises for what service or network do."""

    async def create(self, body: bytes) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a row is tried. Times in seconds.

    tries: doubtful endings of one row that one run puts up with before it leaves the row in doubt.
    token_lifetime: how long the service is trusted to remember a client token.
    """

    tries: int
    token_lifetime: float
    doubtful: Backoff
    throttled: Backoff
    unreachable: Backoff


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is not ours to decide: epoch seconds, random numbers uniform in [0, 1), whom we call."""

    clock: Callable[[], float]
    random: Callable[[], float]
    endpoint: str = "Partner Central"


class Deliverer:
    """Delivers invitations, any number at the same time."""

    def __init__(
        self,
        sender: Sender,
        committer: Committer,
        pacer: Pacer,
        report: Report,
        stop: StopSwitch,
        guard: PermissionGuard,
        patience: Patience,
        surroundings: Surroundings,
    ) -> None:
        self._sender = sender
        self._committer = committer
        self._pacer = pacer
        self._report = report
        self._stop = stop
        self._guard = guard
        self._patience = patience
        self._clock = surroundings.clock
        self._random = surroundings.random
        self._outage = Outage(surroundings.endpoint, patience.unreachable, surroundings.random)
        self.engagements = Engagements()
        self._aside = Aside()
        self._is_last_round = False
        self._held: list[tuple[Life, Disposition]] = []

    async def deliver(self, to_send: ToSend) -> int:
        """Send a row until it is settled, set aside or left in doubt.

        Returns how many rows came to their end by that: 0 when a stop came first or the row is set aside or
        held, more than 1 when its answer told what to make of rows that were held.

        A stop leaves the row as it was last committed. Raises BulkInviteError, CheckpointError among them.
        """
        return await self.go_on(Life(to_send, self._committer, self._report, self._clock))

    async def go_on(self, life: Life) -> int:
        """`deliver` for a row that was set aside before."""
        if await self._is_done_without_call(life):
            return int(life.ended)
        released = 0
        permit = await self._permitted(life, retry=False)
        while permit is not None and not self._stop.draining:
            sent_at = await life.sent()
            answer, verdict = await self._call(life, permit)
            if verdict is None:
                break
            disposition = self._judge(life, verdict, sent_at)
            request_id = answer.request_id if isinstance(answer, HttpAnswer) else ""
            await life.answered(disposition, request_id=request_id)
            if self._guard.proven:
                released += await self.settle_held()
            permit = await self._follow(life, disposition)
        return released + life.ended

    def last_rounds(self) -> Iterator[deque[Life]]:
        """The rows to try once more at the end: first one of each full engagement, then the others."""
        self.engagements.ask_again()
        self._is_last_round = True
        yield from self._aside.taken_back()

    async def settle_held(self) -> int:
        """Fail the rows whose denial is theirs, or was too rare to blame the sender; says how many.

        Raises SenderError when it was not: then the rows stay pending.
        """
        held, self._held = self._held, []
        if not self._guard.proven and len(held) >= PermissionGuard.FEW:
            raise reason_to_stop(held[0][1])
        for life, disposition in held:
            await life.settled(disposition.failed())
        return len(held)

    async def _is_done_without_call(self, life: Life) -> bool:
        """Put a row aside, or leave it in doubt, where no call would be right."""
        if self._is_set_aside(life):
            if not life.is_set_aside:
                await life.settled(Disposition.set_aside())
            self._put_aside(life)
            return True
        return await self._too_old(life)

    def _is_set_aside(self, life: Life) -> bool:
        return life.doubt_since is None and self.engagements.is_full(life.engagement)

    def _put_aside(self, life: Life) -> None:
        """Keep a row for the end of the run, or let it wait for a later one."""
        if self._is_last_round or not self._aside.put(life):
            life.end()

    async def _permitted(self, life: Life, *, retry: bool, after: float = 0.0) -> Permit | None:
        """Wait `after` seconds, for the endpoint and for the pacing; None when no call may leave."""
        permit: Permit | None = None
        with self._stop.until_drain() as scope:
            if after > 0:
                await anyio.sleep(after)
            permit = await self._wait_for_permit(life, retry=retry)
            while self._outage.is_on:
                # Others must not wait for an answer to a call that does not leave.
                self._give_back(permit)
                await self._outage.passed()
                permit = await self._wait_for_permit(life, retry=retry)
        # Any of these waits may have taken hours.
        if scope.cancelled_caught:
            return None
        if await self._is_done_without_call(life):
            self._give_back(permit)
            return None
        return permit

    async def _wait_for_permit(self, life: Life, *, retry: bool) -> Permit | None:
        return await self._pacer.permit(retry=retry, unless=lambda: self._is_set_aside(life))

    def _give_back(self, permit: Permit | None) -> None:
        if permit is not None:
            self._pacer.unused(permit)

    async def _call(self, life: Life, permit: Permit) -> tuple[Answer, Verdict] | tuple[None, None]:
        """Make one call and tell the pacing of it; None when the run was broken off meanwhile."""
        began = self._pacer.now()
        answer: Answer | None = None
        with self._stop.until_abort():
            answer = await self._sender.create(life.body)
        if answer is None:
            return None, None
        verdict = classify(answer)
        if not isinstance(verdict, Unreachable):
            self._outage.answered()
        self._pacer.observe(
            permit,
            signal(verdict),
            sent_at=began,
            counted=is_counted(verdict),
            retry_after=verdict.retry_after if isinstance(verdict, Throttled) else None,
        )
        self._note(life, verdict)
        return answer, verdict

    def _note(self, life: Life, verdict: Verdict) -> None:
        """Learn which engagements are full; park where it seems to be the account."""
        match verdict:
            case Created():
                self.engagements.invited(life.engagement)
            case EngagementFull():
                self.engagements.refused(life.engagement, expected=life.to_send.deferred)
                if not self.engagements.is_account_full:
                    return
                if self._is_last_round:
                    self.engagements.give_up()
                else:
                    self._pacer.close(Why.ACCOUNT_FULL)
            case _:
                pass

    def _judge(self, life: Life, verdict: Verdict, sent_at: float) -> Disposition:
        disposition = dispose(
            verdict,
            doubt_since=life.doubt_since,
            sent_at=sent_at,
            tries_left=self._patience.tries - life.doubtful - 1,
        )
        return self._guard.judge(verdict, disposition, life.engagement)

    async def _follow(self, life: Life, disposition: Disposition) -> Permit | None:
        """Do what the disposition asks for; the permit of another attempt, where it asks for one."""
        match disposition.next:
            case Next.DONE:
                return None
            case Next.SET_ENGAGEMENT_ASIDE:
                self._put_aside(life)
                return None
            case Next.STOP_RUN:
                self._stop.drain(reason_to_stop(disposition))
                return None
            case Next.HOLD:
                self._held.append((life, disposition))
                return None
            case Next.AGAIN:
                return await self._wait_again(life, disposition)
            case Next.AGAIN_WHEN_REACHABLE:
                return await self._wait_reachable(life, disposition)
            case _:  # pragma: no cover
                assert_never(disposition.next)

    async def _wait_again(self, life: Life, disposition: Disposition) -> Permit | None:
        if disposition.outcome == "throttled":
            life.throttled += 1
            delay = self._patience.throttled.delay(life.throttled, self._random)
        else:
            life.doubtful += 1
            delay = self._patience.doubtful.delay(life.doubtful, self._random)
        return await self._permitted(life, retry=True, after=delay)

    async def _wait_reachable(self, life: Life, disposition: Disposition) -> Permit | None:
        """Wait until the endpoint can be asked again: as the probe of the outage, or after it."""
        probing = False
        with self._stop.until_drain() as scope:
            probing = await self._outage.wait_to_retry(life, code=disposition.code)
        if scope.cancelled_caught:
            return None
        if not probing:
            return await self._permitted(life, retry=True)
        if await self._too_old(life):
            self._outage.probe_gave_up()
            return None
        with self._stop.until_drain():
            return await self._pacer.permit(retry=True)
        return None

    async def _too_old(self, life: Life) -> bool:
        """Leave a row in doubt whose token may be forgotten by now: another call might invite twice."""
        since = life.doubt_since
        if since is None or self._clock() - since <= self._patience.token_lifetime:
            return False
        await life.settled(Disposition(State.IN_DOUBT, Next.DONE, "token_too_old", TOO_OLD, since))
        return True
