"""What a call waits for before it may leave: its turn, the endpoint, the pacing. A drain ends every wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

import anyio
import structlog

from bulk_invite.delivery.sending.circuit_breaker import CircuitBreaker
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.next_step import Until, Wait
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit

_log = structlog.get_logger()

_CHECK_CHECKPOINT: Final = (
    "check the disk or database of the checkpoint: it is too slow to confirm intents before their calls"
)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds before another try: after doubt, after a throttle, while the endpoint is unreachable."""

    doubtful: Backoff
    throttled: Backoff
    unreachable: Backoff


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a row is tried. Times in seconds.

    tries: doubtful endings of one row after which a run leaves the row in doubt.
    token_lifetime: how long the service is trusted to remember a client token. call_timeout: what a call has.
    streak: returns how many different rows in a row have to end in doubt for the service to count as down.
    """

    tries: int
    token_lifetime: float
    call_timeout: float
    waits: Waits
    streak: Callable[[], int] = lambda: 10

    @property
    def repeatable_for(self) -> float:
        """Seconds of doubt within which a row may be called again.

        The call has to arrive while the token is remembered, and may take as long as its time-out. Where
        tokens hardly live longer than that, half of their life is left for the call.
        """
        return max(self.token_lifetime - self.call_timeout, self.token_lifetime / 2)


class Permits:
    """Gives permits to calls.

    unwanted: asked when a row's turn has come; true when it must not be sent now. Every permit is used for a
    call or comes back by `unused` or `give_up`. No permit (None): the row is unwanted, or the run drains.
    """

    def __init__(
        self,
        pacer: Pacer,
        breaker: CircuitBreaker,
        stop: StopSwitch,
        waits: Waits,
        random: Callable[[], float],
        unwanted: Callable[[TrackedRow], bool],
    ) -> None:
        self._pacer = pacer
        self._breaker = breaker
        self._stop = stop
        self._waits = waits
        self._random = random
        self._unwanted = unwanted
        self._warned = set[str]()

    async def after(self, row: TrackedRow, wait: Wait) -> Permit | None:
        """A permit, after what the row has to wait for."""
        match wait.until:
            case Until.TURN:
                return await self._permit(row, retry=False)
            case Until.AFTER_THROTTLE:
                row.throttled += 1
                delay = self._waits.throttled.delay(row.throttled, self._random)
            case Until.AFTER_DOUBT:
                delay = self._waits.doubtful.delay(row.doubtful, self._random)
            case Until.AFTER_WITHHELD:
                row.withheld += 1
                delay = self._after_withheld(row, wait.code)
            case Until.UNREACHABLE | Until.FAILING:
                return await self._when_reachable(row, wait.code, left=wait.until is Until.FAILING)
            case _:  # pragma: no cover
                assert_never(wait.until)
        return await self._permit(row, retry=True, after=delay)

    def unused(self, permit: Permit) -> None:
        """No call has left by it."""
        self._pacer.unused(permit)

    def give_up(self, row: TrackedRow, permit: Permit | None) -> None:
        """The row will not call now: neither by its permit, nor as the probe of an outage."""
        if permit is not None:
            self.unused(permit)
        self._breaker.probe_gave_up(row)

    async def _when_reachable(self, row: TrackedRow, code: str, *, left: bool) -> Permit | None:
        """Wait until the endpoint can be asked again: as the probe of the outage, or after it."""
        probing = False
        with self._stop.until_drain() as scope:
            probing = await self._breaker.wait_to_retry(row, code=code, left=left)
        if scope.cancelled_caught:
            return None
        if not probing:
            return await self._permit(row, retry=True)
        with self._stop.until_drain():
            return await self._pacer.permit(retry=True)
        return None

    def _after_withheld(self, row: TrackedRow, code: str) -> float:
        """Seconds to wait: none where it comes once, as after a sleep of the machine."""
        if row.withheld == 1:
            return 0.0
        delay = self._waits.unreachable.delay(row.withheld, self._random)
        if code not in self._warned:
            self._warned.add(code)
            _log.warning("call.withheld", reason=code, next=_CHECK_CHECKPOINT, next_try_s=round(delay, 1))
        return delay

    async def _permit(self, row: TrackedRow, *, retry: bool, after: float = 0.0) -> Permit | None:
        """Wait `after` seconds, for the endpoint and for the pacing."""
        permit: Permit | None = None
        with self._stop.until_drain() as scope:
            if after > 0:
                await anyio.sleep(after)
            permit = await self._paced(row, retry=retry)
            while self._breaker.is_open:
                # Others must not wait for an answer to a call that does not leave.
                if permit is not None:
                    self.unused(permit)
                permit = None
                probing = await self._breaker.wait_to_call(row)
                permit = await self._paced(row, retry=retry)
                if probing:
                    break
        return None if scope.cancelled_caught else permit

    async def _paced(self, row: TrackedRow, *, retry: bool) -> Permit | None:
        return await self._pacer.permit(retry=retry, unless=lambda: self._unwanted(row))
