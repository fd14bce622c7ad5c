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

    def __init__(self, backoff: Backoff, random: Callable[[], float]) -> None:
        self._backoff = backoff
        self._random = random
        self._failures = 0
        self._over = anyio.Event()
        self._over.set()

    async def passed(self) -> None:
        """Return as soon as the endpoint answers, as far as anybody knows."""
        if not self._over.is_set():
            await self._over.wait()

    async def wait_to_retry(self, *, probing: bool, code: str) -> bool:
        """Wait after a call that could not leave; True for the one that probes, False once it is over.

        probing: whether the call that just failed was the probe already.
        """
        if not (probing or self._over.is_set()):
            await self._over.wait()
            return False
        if self._over.is_set():
            self._over = anyio.Event()
            self._failures = 0
        self._failures += 1
        delay = self._backoff.delay(self._failures, self._random)
        _log.warning("endpoint.unreachable", reason=code, next_try_s=round(delay, 1))
        await anyio.sleep(delay)
        return True

    def answered(self) -> None:
        """An answer came: whoever waits goes on."""
        if not self._over.is_set():
            self._over.set()
            _log.info("endpoint.reachable")
