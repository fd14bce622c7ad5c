"""Words to whoever is not looking: a POST in JSON when a run is done, parked or broken off.

The address is a secret more often than not (whoever has it can write there): it is never told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import aiohttp
import anyio
import orjson
import structlog

from bulk_invite.domain.backoff import Backoff
from bulk_invite.monitoring.status import RunState, RunStatus

_log = structlog.get_logger()

Occasion = Literal["done", "parked", "aborted"]

_DEADLINE: Final = 5.0
"""Seconds of one POST."""

_TRIES: Final = 6
_WAITS: Final = Backoff(base=1.0, cap=60.0)

_SETTLED: Final = 10.0
"""Seconds that a park has lasted when it is told: short ones come and go."""

_PATIENCE: Final = 5.0
"""Seconds that the end of a run waits for its last words to arrive; `docker stop` leaves it no more."""

_WAITING: Final = 20
"""Words that wait to be sent: an address that is dead for days must not fill the memory."""


class Notifications:
    """Words are told in their order, each again and again until it arrives or is given up.

    random: numbers uniform in [0, 1); elapsed: seconds that only move forward.
    """

    def __init__(self, url: str, random: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._url = url
        self._random = random
        self._elapsed = elapsed
        self._send, self._receive = anyio.create_memory_object_stream[bytes](_WAITING)
        self._gone = anyio.Event()
        self._parked_since: float | None = None
        self._told_park = False

    def heed(self, status: RunStatus) -> None:
        """Look at a run, every second or so; tell of a park once it has lasted."""
        if status.state is not RunState.PARKED:
            self._parked_since, self._told_park = None, False
            return
        now = self._elapsed()
        if self._parked_since is None:
            self._parked_since = now
        if not self._told_park and now - self._parked_since >= _SETTLED:
            self._told_park = True
            self._tell("parked", status)

    async def run(self) -> None:
        """Send what there is to tell until `finish`."""
        timeout = aiohttp.ClientTimeout(total=_DEADLINE)
        async with self._receive, aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            async for words in self._receive:
                await self._arrive(session, words)
        self._gone.set()

    async def finish(self, status: RunStatus) -> None:
        """Tell how the run has ended, and wait a while for that to arrive."""
        self._tell("done" if status.exit_code in {0, 1} else "aborted", status)
        self._send.close()
        with anyio.move_on_after(_PATIENCE) as scope:
            await self._gone.wait()
        if scope.cancelled_caught:
            _log.warning("notify.dropped", reason="the run ended before it was delivered")

    def _tell(self, occasion: Occasion, status: RunStatus) -> None:
        words = {"event": occasion, "text": _sentence(occasion, status), "status": status}
        try:
            self._send.send_nowait(orjson.dumps(words))
        except anyio.WouldBlock:
            _log.warning("notify.dropped", occasion=occasion, reason="the queue is full")

    async def _arrive(self, session: aiohttp.ClientSession, words: bytes) -> None:
        for tries in range(1, _TRIES + 1):
            if (reason := await self._post(session, words)) is None:
                return
            if tries == _TRIES:
                break
            _log.info("notify.retrying", reason=reason, tries=tries)
            await anyio.sleep(_WAITS.delay(tries, self._random))
        _log.warning("notify.dropped", reason=reason, tries=_TRIES)

    async def _post(self, session: aiohttp.ClientSession, words: bytes) -> str | None:
        """Why it has not arrived; None where it has."""
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(
                self._url, data=words, headers=headers, allow_redirects=False
            ) as response:
                return None if response.ok and response.status < 300 else f"HTTP {response.status}"  # noqa: PLR2004
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__


def _sentence(occasion: Occasion, status: RunStatus) -> str:
    """One line for people."""
    rows = f"{status.created:,} created, {status.already_created:,} already created"
    bad = {
        "failed": status.failed,
        "rejected": status.rejected,
        "in doubt": status.in_doubt,
        "deferred": status.deferred,
        "pending": status.pending,
    }
    rows += "".join(f", {count:,} {name}" for name, count in bad.items() if count)
    match occasion:
        case "parked":
            until = "nobody knows when" if status.parked_until is None else status.parked_until
            head = f"parked ({str(status.parked).replace('_', ' ')}) until {until}"
        case "done":
            head = "done"
        case "aborted":
            head = f"ended early, exit code {status.exit_code}"
    return f"bulk-invite {status.command}, {status.catalog}, {status.checkpoint}: {head}; {rows}"
