"""While the service is down, all rows wait and one call at a time probes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import structlog

from bulk_invite.domain.backoff import Backoff

_log = structlog.get_logger()

STREAK: Final = 10
"""Doubtful endings in a row that cannot be chance: where one call in five ends so, one in ten million."""


class CircuitBreaker:
    """Opens, so that no call passes, when a call cannot leave or when one call after the other ends in doubt.

    The first answer with any meaning closes it again. Rows that were called in vain queue up to probe: one
    call at a time, each by another row, for the service may choke on that one row. So rows that have not been
    called yet take their turns too, where calls leave at all. A probe carries the row's own token and body,
    so it creates no invitation that is not wanted.

    rows: returns how many different rows a streak of doubt needs.
    """

    def __init__(
        self,
        endpoint: str,
        backoff: Backoff,
        random: Callable[[], float],
        *,
        rows: Callable[[], int] = lambda: STREAK,
    ) -> None:
        self._endpoint = endpoint
        self._backoff = backoff
        self._random = random
        self._least_rows = rows
        self._streak = 0
        self._rows: set[object] = set()
        self._failures = 0
        self._next_probe = 0.0
        self._probe: object = None
        self._queue: deque[object] = deque()
        self._moved = anyio.Event()
        self._over = anyio.Event()
        self._over.set()

    @property
    def is_open(self) -> bool:
        return not self._over.is_set()

    async def passed(self, who: object) -> bool:
        """Wait before a call of `who`. True: it is its turn to probe; False: the service answers."""
        while self.is_open and self._streak < STREAK:
            await self._moved.wait()
        return await self._turn(who)

    def doubtful(self, who: object) -> None:
        """A call of `who` has ended in doubt; one too many in a row opens the breaker."""
        self._streak += 1
        if len(self._rows) < STREAK:
            self._rows.add(who)
        if self._streak >= STREAK and len(self._rows) >= self._least_rows() and not self.is_open:
            self._open(who)

    async def wait_to_retry(self, who: object, *, code: str, left: bool) -> bool:
        """Wait after a call of `who` that got no answer. True: it is its turn to probe; False: it is over.

        left: whether the call has left at all.
        """
        if not self.is_open:
            self._open(who)
        if self._probe is who:
            self._failed("endpoint.failing" if left else "endpoint.unreachable", code)
        return await self._turn(who)

    def probe_gave_up(self, who: object) -> None:
        """`who` will not call again: if it was to probe, another one does."""
        if self._probe is not who:
            return
        self._probe = None
        if not self._queue:
            self._over.set()
        self._move()

    def answered(self) -> None:
        """An answer with a meaning came: all that wait go on."""
        self._streak = 0
        self._rows.clear()
        if self.is_open:
            self._over.set()
            self._move()
            _log.info("endpoint.reachable", endpoint=self._endpoint)

    def _open(self, who: object) -> None:
        self._probe = who
        self._failures = 0
        self._over = anyio.Event()

    def _failed(self, event: str, code: str) -> None:
        self._failures += 1
        self._probe = None
        delay = self._backoff.delay(self._failures, self._random)
        self._next_probe = anyio.current_time() + delay
        _log.warning(event, endpoint=self._endpoint, reason=code, next_try_s=round(delay, 1))
        self._move()

    async def _turn(self, who: object) -> bool:
        """Queue up to probe; False when it is over before."""
        self._queue.append(who)
        try:
            while self.is_open:
                if self._queue[0] is not who or self._probe is not None:
                    await self._moved.wait()
                elif await self._waited_out():
                    self._probe = who
                    return True
            return False
        finally:
            self._queue.remove(who)
            self._move()

    async def _waited_out(self) -> bool:
        """Wait until the next probe may leave; False when this outage is over before that."""
        with anyio.move_on_after(self._next_probe - anyio.current_time()) as scope:
            await self._over.wait()
        return scope.cancelled_caught

    def _move(self) -> None:
        """Let the whole queue check again."""
        self._moved.set()
        self._moved = anyio.Event()
