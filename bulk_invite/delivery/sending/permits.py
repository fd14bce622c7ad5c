"""What a call waits for before it may leave: its turn, the endpoint, the pacing. A drain ends every wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio
import structlog

from bulk_invite.delivery.sending.circuit_breaker import Outage
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.transitions import Disposition
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit

_log = structlog.get_logger()

_CHECK_CHECKPOINT: Final = (
    "check the disk or database of the checkpoint: it is too slow to confirm intents before their calls"
)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long is waited before another try, in seconds: after doubt, a throttle, a dead endpoint."""

    doubtful: Backoff
    throttled: Backoff
    unreachable: Backoff


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a row is tried. Times in seconds.

    tries: doubtful endings of one row that one run puts up with before it leaves the row in doubt.
    token_lifetime: how long the service is trusted to remember a client token. call_timeout: what a call has.
    streak: asked how many different rows end in doubt in a row until the service is taken to be down.
    """

    tries: int
    token_lifetime: float
    call_timeout: float
    waits: Waits
    streak: Callable[[], int] = lambda: 10

    @property
    def repeatable_for(self) -> float:
        """Seconds of doubt within which a row may be called again.

        The call has to arrive while the token is remembered, and may be under way for as long as a call
        may take; where tokens live for hardly longer than that, half of their life is left for it.
        """
        return max(self.token_lifetime - self.call_timeout, self.token_lifetime / 2)


class Departures:
    """Gives permits to calls.

    unwanted: asked when a row's turn has come; true when it is not to be sent now. Every permit that this
    hands out is used for a call or comes back by `give_back`. None is no permit: unwanted, or drained.
    """

    def __init__(
        self,
        pacer: Pacer,
        outage: Outage,
        stop: StopSwitch,
        waits: Waits,
        random: Callable[[], float],
        unwanted: Callable[[Life], bool],
    ) -> None:
        self._pacer = pacer
        self._outage = outage
        self._stop = stop
        self._waits = waits
        self._random = random
        self._unwanted = unwanted
        self._told = set[str]()

    async def first(self, life: Life) -> Permit | None:
        return await self._permit(life, retry=False)

    async def again(self, life: Life, disposition: Disposition) -> Permit | None:
        """After a throttle or a doubtful ending: a backoff, then another permit."""
        if disposition.outcome == "withheld":
            return await self._permit(life, retry=True, after=self._after_withheld(life, disposition.code))
        if disposition.outcome == "throttled":
            life.throttled += 1
            delay = self._waits.throttled.delay(life.throttled, self._random)
            return await self._permit(life, retry=True, after=delay)
        if self._outage.is_on:
            life.probes += 1
            return await self.when_reachable(life, disposition.code, left=True)
        life.doubtful += 1
        delay = self._waits.doubtful.delay(life.doubtful, self._random)
        return await self._permit(life, retry=True, after=delay)

    async def when_reachable(self, life: Life, code: str, *, left: bool = False) -> Permit | None:
        """Wait until the endpoint can be asked again: as the probe of the outage, or after it."""
        probing = False
        with self._stop.until_drain() as scope:
            probing = await self._outage.wait_to_retry(life, code=code, left=left)
        if scope.cancelled_caught:
            return None
        if not probing:
            return await self._permit(life, retry=True)
        with self._stop.until_drain():
            return await self._pacer.permit(retry=True)
        return None

    def give_back(self, permit: Permit | None) -> None:
        if permit is not None:
            self._pacer.unused(permit)

    def _after_withheld(self, life: Life, code: str) -> float:
        """Seconds to wait: none where it comes once, as after a sleep of the machine."""
        life.withheld += 1
        if life.withheld == 1:
            return 0.0
        delay = self._waits.unreachable.delay(life.withheld, self._random)
        if code not in self._told:
            self._told.add(code)
            _log.warning("call.withheld", reason=code, next=_CHECK_CHECKPOINT, next_try_s=round(delay, 1))
        return delay

    async def _permit(self, life: Life, *, retry: bool, after: float = 0.0) -> Permit | None:
        """Wait `after` seconds, for the endpoint and for the pacing."""
        permit: Permit | None = None
        with self._stop.until_drain() as scope:
            if after > 0:
                await anyio.sleep(after)
            permit = await self._paced(life, retry=retry)
            while self._outage.is_on:
                # Others must not wait for an answer to a call that does not leave.
                self.give_back(permit)
                permit = None
                probing = await self._outage.passed(life)
                permit = await self._paced(life, retry=retry)
                if probing:
                    break
        return None if scope.cancelled_caught else permit

    async def _paced(self, life: Life, *, retry: bool) -> Permit | None:
        return await self._pacer.permit(retry=retry, unless=lambda: self._unwanted(life))
