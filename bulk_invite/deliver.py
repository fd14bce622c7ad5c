"""One invitation from its permit to its outcome: intent, call, outcome, and again if need be.

The order of durable steps: the intent is committed before the first byte leaves; the answer is committed
before anything is reported or tried again. Between the two the row is in doubt, whatever happens to us.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import anyio

from bulk_invite.backoff import Backoff
from bulk_invite.classify import classify, signal
from bulk_invite.commit import Committer
from bulk_invite.disposition import TOO_OLD, Disposition, Next, PermissionGuard, dispose
from bulk_invite.errors import BulkInviteError, SenderError, UnknownAnswerError
from bulk_invite.journal import ToSend
from bulk_invite.life import Life
from bulk_invite.outage import Outage
from bulk_invite.outcome import Answer, HttpAnswer, State, Throttled, Unreachable, Verdict
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.report import Report
from bulk_invite.stop import StopSwitch

_FULL_ENGAGEMENTS: Final = 10_000
"""How many full engagements are remembered; one that is forgotten costs one more refused call."""


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
        self._full: OrderedDict[str, None] = OrderedDict()
        self._held: list[tuple[Life, Disposition]] = []

    async def deliver(self, to_send: ToSend) -> int:
        """Send a row until it is settled, set aside or left in doubt.

        Returns how many rows came to their end by that: 0 when a stop came first or the row is held, more
        than 1 when its answer told what to make of rows that were held.

        A stop leaves the row as it was last committed. Raises BulkInviteError, CheckpointError among them.
        """
        life = Life(to_send, self._committer, self._report, self._clock)
        if await self._set_aside(life):
            return 1
        released = 0
        going_on = await self._permitted(life, retry=False)
        while going_on and not self._stop.draining:
            sent_at = await life.sent()
            answer, verdict = await self._call(life)
            if verdict is None:
                break
            disposition = self._judge(life, verdict, sent_at)
            request_id = answer.request_id if isinstance(answer, HttpAnswer) else ""
            await life.answered(disposition, request_id=request_id)
            if self._guard.proven:
                released += await self.settle_held()
            going_on = await self._follow(life, disposition)
        return released + life.ended

    async def settle_held(self) -> int:
        """Fail the rows whose denial is theirs, or was too rare to blame the sender; says how many.

        Raises SenderError when it was not: then the rows stay pending.
        """
        held, self._held = self._held, []
        if not self._guard.proven and len(held) >= PermissionGuard.FEW:
            raise _reason(held[0][1])
        for life, disposition in held:
            await life.settled(disposition.failed())
        return len(held)

    async def _set_aside(self, life: Life) -> bool:
        """Bring a row to its end where no call would be right."""
        if self._is_set_aside(life):
            await life.settled(Disposition(State.DEFERRED, Next.DONE, "set_aside", "EngagementFull"))
            return True
        return await self._too_old(life)

    def _is_set_aside(self, life: Life) -> bool:
        return life.doubt_since is None and life.engagement in self._full

    async def _permitted(self, life: Life, *, retry: bool, after: float = 0.0) -> bool:
        """Wait `after` seconds, for the endpoint and for the pacing; False when no call may leave."""
        with self._stop.until_drain() as scope:
            if after > 0:
                await anyio.sleep(after)
            await self._pacer.permit(retry=retry, unless=lambda: self._is_set_aside(life))
            while self._outage.is_on:
                await self._outage.passed()
                await self._pacer.permit(retry=retry, unless=lambda: self._is_set_aside(life))
        # Any of these waits may have taken hours.
        return not scope.cancelled_caught and not await self._set_aside(life)

    async def _call(self, life: Life) -> tuple[Answer, Verdict] | tuple[None, None]:
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
        retry_after = verdict.retry_after if isinstance(verdict, Throttled) else None
        self._pacer.observe(signal(verdict), sent_at=began, retry_after=retry_after)
        return answer, verdict

    def _judge(self, life: Life, verdict: Verdict, sent_at: float) -> Disposition:
        disposition = dispose(
            verdict,
            doubt_since=life.doubt_since,
            sent_at=sent_at,
            tries_left=self._patience.tries - life.doubtful - 1,
        )
        return self._guard.judge(verdict, disposition, life.engagement)

    async def _follow(self, life: Life, disposition: Disposition) -> bool:
        """Do what the disposition asks for; True when the row has its permit for another attempt."""
        match disposition.next:
            case Next.DONE:
                return False
            case Next.SET_ENGAGEMENT_ASIDE:
                self._full[life.engagement] = None
                if len(self._full) > _FULL_ENGAGEMENTS:
                    self._full.popitem(last=False)
                return False
            case Next.STOP_RUN:
                self._stop.drain(_reason(disposition))
                return False
            case Next.HOLD:
                self._held.append((life, disposition))
                return False
            case Next.AGAIN:
                return await self._wait_again(life, disposition)
            case Next.AGAIN_WHEN_REACHABLE:
                return await self._wait_reachable(life, disposition)
            case _:  # pragma: no cover
                assert_never(disposition.next)

    async def _wait_again(self, life: Life, disposition: Disposition) -> bool:
        if disposition.outcome == "throttled":
            life.throttled += 1
            delay = self._patience.throttled.delay(life.throttled, self._random)
        else:
            life.doubtful += 1
            delay = self._patience.doubtful.delay(life.doubtful, self._random)
        return await self._permitted(life, retry=True, after=delay)

    async def _wait_reachable(self, life: Life, disposition: Disposition) -> bool:
        probing = False
        with self._stop.until_drain() as scope:
            probing = await self._outage.wait_to_retry(life, code=disposition.code)
        if scope.cancelled_caught:
            return False
        if not probing:
            return await self._permitted(life, retry=True)
        if await self._too_old(life):
            self._outage.probe_gave_up()
            return False
        return True

    async def _too_old(self, life: Life) -> bool:
        """Leave a row in doubt whose token may be forgotten by now: another call might invite twice."""
        since = life.doubt_since
        if since is None or self._clock() - since <= self._patience.token_lifetime:
            return False
        await life.settled(Disposition(State.IN_DOUBT, Next.DONE, "token_too_old", TOO_OLD, since))
        return True


def _reason(disposition: Disposition) -> BulkInviteError:
    code = disposition.code
    match disposition.outcome:
        case "sender_refused":
            return SenderError(
                f"The service does not accept the sender: {code}.",
                hint="Renew the credentials (or set the clock right) and run the same command again; "
                "no row was touched.",
            )
        case "denied":
            return SenderError(
                f"The service has denied every call so far: {code}.",
                hint="Either the account may not send at all (allow it "
                "partnercentral:CreateEngagementInvitation for this catalog), or it is no member of the "
                "engagements of these rows (put others first). Then run the same command again; the denied "
                "rows are still pending.",
            )
        case _:
            return UnknownAnswerError(
                f"The service answered with something this program does not know: {code}.",
                hint="Check the endpoint and any proxy before it; the row is in doubt and is sent again "
                "with the same token by the same command.",
            )
