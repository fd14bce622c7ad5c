"""Webhook notifications: a JSON POST when a run is done, parked or aborted.

The URL often contains a secret that authorizes its use, so it never appears in logs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import aiohttp
import anyio
import orjson
import structlog

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import StoppedError
from bulk_invite.domain.texts import escaped
from bulk_invite.monitoring.status import RunState, RunStatus

_log = structlog.get_logger()

Occasion = Literal["done", "parked", "aborted"]

_DEADLINE: Final = 5.0
"""Timeout of one POST, in seconds."""

_TRIES: Final = 6
_WAITS: Final = Backoff(base=1.0, cap=60.0)

_PARKED_FOR: Final = 10.0
"""Seconds for which a run must be parked before a notification is sent; short parks are not reported."""

_PATIENCE: Final = 5.0
"""Seconds to wait for delivery at the end of a run; `docker stop` allows no more."""

_MAX_QUEUED: Final = 20
"""Maximum queued notifications, so that a receiver that is down for days does not fill the memory."""


class Notifications:
    """Delivers notifications in order; each is retried until it is accepted or dropped.

    random: uniform in [0, 1); elapsed: monotonic seconds.
    """

    def __init__(self, url: str, random: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._url = url
        self._random = random
        self._elapsed = elapsed
        self._send, self._receive = anyio.create_memory_object_stream[bytes](_MAX_QUEUED)
        self._delivered = anyio.Event()
        self._parked_since: float | None = None
        self._park_reported = False

    def receive(self, status: RunStatus) -> None:
        """Take the current status, about once a second; queue a notification once the run stays parked."""
        if status.state is not RunState.PARKED:
            self._parked_since, self._park_reported = None, False
            return
        now = self._elapsed()
        if self._parked_since is None:
            self._parked_since = now
        if not self._park_reported and now - self._parked_since >= _PARKED_FOR:
            self._park_reported = True
            self._queue("parked", status)

    async def run(self) -> None:
        """Deliver queued notifications until `finish`."""
        timeout = aiohttp.ClientTimeout(total=_DEADLINE)
        async with self._receive, aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            async for body in self._receive:
                await self._deliver(session, body)
        self._delivered.set()

    async def finish(self, status: RunStatus) -> None:
        """Queue the notification of the end of the run, and wait briefly for its delivery."""
        self._queue("done" if status.exit_code in {0, 1} else "aborted", status)
        self._send.close()
        with anyio.move_on_after(_PATIENCE) as scope:
            await self._delivered.wait()
        if scope.cancelled_caught:
            _log.warning("notify.dropped", reason="the run ended before it was delivered")

    def _queue(self, occasion: Occasion, status: RunStatus) -> None:
        body = {"event": occasion, "text": _sentence(occasion, status), "status": status}
        try:
            self._send.send_nowait(orjson.dumps(body))
        except anyio.WouldBlock:
            _log.warning("notify.dropped", occasion=occasion, reason="the queue is full")

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> None:
        for tries in range(1, _TRIES + 1):
            if (reason := await self._post(session, body)) is None:
                return
            if tries == _TRIES:
                break
            _log.info("notify.retrying", reason=reason, tries=tries)
            await anyio.sleep(_WAITS.delay(tries, self._random))
        _log.warning("notify.dropped", reason=reason, tries=_TRIES)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> str | None:
        """The reason for a failed delivery; None on success."""
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
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
            until = "an unknown time" if status.parked_until is None else status.parked_until
            head = f"parked ({str(status.parked).replace('_', ' ')}) until {until}"
        case "done":
            head = _done(status)
        case "aborted" if status.exit_code == StoppedError.exit_code:
            head = "stopped with rows still open; run the same command to continue"
        case "aborted":
            head = f"ended early, exit code {status.exit_code}"
    return escaped(f"bulk-invite {status.command}, {_which(status)}: {head}; {rows}")


def _done(status: RunStatus) -> str:
    """A service has ended because it was stopped, perhaps with rows that it had not read."""
    open_rows = status.in_doubt + status.deferred + status.pending
    head = "stopped" if status.command == "serve" else "done"
    if status.parked is not None:
        head += f" while parked ({status.parked.replace('_', ' ')}): there may be rows that were not read"
    if open_rows:
        head += f", but {open_rows:,} {'row is' if open_rows == 1 else 'rows are'} still open"
    return head


def _which(status: RunStatus) -> str:
    """Which of the runs that report to the same channel this is."""
    first, *others = status.sources or ("no source",)
    parts = [
        f"catalog {status.catalog}",
        f"account {status.account or 'not yet known'}",
        f"campaign {status.campaign}" if status.campaign else "no campaign",
        f"source {first}" + (f" and {len(others):,} more" if others else ""),
        f"checkpoint {status.checkpoint}",
    ]
    return ", ".join(parts) + (f" on {status.host}" if status.host else "")
