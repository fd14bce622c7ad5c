"""What a run does while the endpoint is down: everybody waits, one call probes."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from bulk_invite.backoff import Backoff

_log = structlog.get_logger()


class Outage:
    """A gate that the first unreachable call shuts and the first answer opens again.

    The row whose call found the endpoint down becomes the probe: nothing was sent, so its next attempt is a
    question that costs nobody anything.
    """

    def __init__(self, endpoint: str, backoff: Backoff, random: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._backoff = backoff
        self._random = random
        self._failures = 0
        self._probe: object = None
        self._over = anyio.Event()
        self._over.set()

    @property
    def is_on(self) -> bool:
        return not self._over.is_set()

    async def passed(self) -> None:
        """Return as soon as the endpoint answers, as far as anybody knows."""
        await self._over.wait()

    async def wait_to_retry(self, who: object, *, code: str) -> bool:
        """Wait after a call of `who` could not leave. True: `who` is the probe; False: the outage is over."""
        over = self._over
        if not over.is_set() and self._probe is not who:
            await over.wait()
            return False
        if over.is_set():
            over = self._over = anyio.Event()
            self._probe = who
            self._failures = 0
        self._failures += 1
        delay = self._backoff.delay(self._failures, self._random)
        _log.warning("endpoint.unreachable", endpoint=self._endpoint, reason=code, next_try_s=round(delay, 1))
        with anyio.move_on_after(delay):
            await over.wait()
        return not over.is_set()

    def probe_gave_up(self) -> None:
        """The probe will not call again: the others find out for themselves."""
        self._over.set()

    def answered(self) -> None:
        """An answer came: whoever waits goes on."""
        if not self._over.is_set():
            self._over.set()
            _log.info("endpoint.reachable")
