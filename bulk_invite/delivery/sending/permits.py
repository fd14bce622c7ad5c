"""Permits: a call waits for its backoff, the endpoint and the pacing. A drain ends every wait."""

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
    """Seconds before a retry: after doubt, after a throttle, while the endpoint is unreachable."""

    doubtful: Backoff
    throttled: Backoff
    unreachable: Backoff


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits on retries of a row. Times in seconds.

    tries: doubtful attempts after which a run leaves the row in doubt. token_lifetime: how long the service
    is trusted to remember a client token. call_timeout: maximum duration of a call. streak: returns the
    number of different rows whose consecutive calls must end in doubt before the service counts as down.
    """

    tries: int
    token_lifetime: float
    call_timeout: float
    waits: Waits
    streak: Callable[[], int] = lambda: 10

    @property
    def repeatable_for(self) -> float:
        """Seconds of doubt within which a row may be called again.

        The call must arrive while the service remembers the token, and may take until its timeout. If tokens
        live hardly longer than that, half of their lifetime is reserved for the call.
        """
        return max(self.token_lifetime - self.call_timeout, self.token_lifetime / 2)


class Permits:
    """Issues permits for calls.

    unwanted: checked when it is a row's turn; True if the row must not be sent now. Every permit is used for
    a call or returned by `unused` or `give_up`. None instead of a permit: the row is unwanted, or the run
    drains.
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
        """Wait as requested, then return a permit."""
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
        """Return a permit that no call has used."""
        self._pacer.unused(permit)

    def give_up(self, row: TrackedRow, permit: Permit | None) -> None:
        """The row will not call now: return its permit, and pass on the probe if it holds it."""
        if permit is not None:
            self.unused(permit)
        self._breaker.probe_gave_up(row)

    async def _when_reachable(self, row: TrackedRow, code: str, *, left: bool) -> Permit | None:
        """Wait to call again: as a probe during the outage, or after it."""
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
        """Seconds to wait; none the first time, as after system sleep."""
        if row.withheld == 1:
            return 0.0
        delay = self._waits.unreachable.delay(row.withheld, self._random)
        if code not in self._warned:
            self._warned.add(code)
            _log.warning("call.withheld", reason=code, next=_CHECK_CHECKPOINT, next_try_s=round(delay, 1))
        return delay

    async def _permit(self, row: TrackedRow, *, retry: bool, after: float = 0.0) -> Permit | None:
        """Wait `after` seconds, then for the pacing and the endpoint."""
        if not after and (permit := self._at_once(row)) is not None:
            return permit
        permit = None
        with self._stop.until_drain() as scope:
            if after > 0:
                await anyio.sleep(after)
            permit = await self._paced(row, retry=retry)
            while self._breaker.is_open:
                # A permit kept here would make other rows wait for a call that does not leave.
                if permit is not None:
                    self.unused(permit)
                permit = None
                probing = await self._breaker.wait_to_call(row)
                permit = await self._paced(row, retry=retry)
                if probing:
                    break
        return None if scope.cancelled_caught else permit

    def _at_once(self, row: TrackedRow) -> Permit | None:
        """A permit if nothing has to be waited for: no scope, no queue, some 15 us less for a call."""
        if self._stop.draining or self._breaker.is_open or self._unwanted(row):
            return None
        return self._pacer.permit_at_once()

    async def _paced(self, row: TrackedRow, *, retry: bool) -> Permit | None:
        return await self._pacer.permit(retry=retry, unless=lambda: self._unwanted(row))
