"""Circuit breaker: while the service is down, all rows wait and one call at a time probes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import structlog

from bulk_invite.domain.backoff import Backoff

_log = structlog.get_logger()

STREAK: Final = 10
"""Doubtful calls in succession that open the breaker. At one in five, that happens once in ten million."""


class CircuitBreaker:
    """Opens, and lets no call pass, when a call cannot leave or after a streak of doubtful calls.

    The first conclusive answer closes it. Rows whose calls failed queue up to probe, one call at a time, each
    by a different row, since a single row may be what makes the service fail. For the same reason, rows not
    yet called join the queue if calls leave at all. A probe carries the row's own token and body, so it never
    creates an unwanted invitation.

    rows: returns the number of different rows that a streak must contain.
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
        self._doubtful_rows: set[object] = set()
        self._failures = 0
        self._next_probe = 0.0
        self._probe: object = None
        self._queue: deque[object] = deque()
        self._changed = anyio.Event()
        self._closed = anyio.Event()
        self._closed.set()

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    async def wait_to_call(self, row: object) -> bool:
        """Wait before a call of `row`. True: the row must probe; False: the breaker has closed."""
        while self.is_open and self._streak < STREAK:
            await self._changed.wait()
        return await self._wait_to_probe(row)

    def doubtful(self, row: object) -> None:
        """Count a call of `row` that ended in doubt; a full streak opens the breaker."""
        self._streak += 1
        if len(self._doubtful_rows) < STREAK:
            self._doubtful_rows.add(row)
        if self._streak >= STREAK and len(self._doubtful_rows) >= self._least_rows() and not self.is_open:
            self._open(row)

    async def wait_to_retry(self, row: object, *, code: str, left: bool) -> bool:
        """Wait after an unanswered call of `row`. True: the row must probe; False: the breaker has closed.

        left: whether the call may have left at all.
        """
        if not self.is_open:
            self._open(row)
        if self._probe is row:
            self._failed("endpoint.failing" if left else "endpoint.unreachable", code)
        return await self._wait_to_probe(row)

    def probe_gave_up(self, row: object) -> None:
        """`row` will not call now; if it held the probe, another row takes it over."""
        if self._probe is not row:
            return
        self._probe = None
        if not self._queue:
            self._closed.set()
        self._notify()

    def answered(self) -> None:
        """Close the breaker after a conclusive answer; all waiting rows proceed."""
        self._streak = 0
        self._doubtful_rows.clear()
        if self.is_open:
            self._closed.set()
            self._notify()
            _log.info("endpoint.reachable", endpoint=self._endpoint)

    def _open(self, row: object) -> None:
        self._probe = row
        self._failures = 0
        self._closed = anyio.Event()

    def _failed(self, event: str, code: str) -> None:
        self._failures += 1
        self._probe = None
        delay = self._backoff.delay(self._failures, self._random)
        self._next_probe = anyio.current_time() + delay
        _log.warning(event, endpoint=self._endpoint, reason=code, next_try_s=round(delay, 1))
        self._notify()

    async def _wait_to_probe(self, row: object) -> bool:
        """Queue up to probe; False if the breaker closes first."""
        self._queue.append(row)
        try:
            while self.is_open:
                if self._queue[0] is not row or self._probe is not None:
                    await self._changed.wait()
                elif await self._wait_for_next_probe():
                    self._probe = row
                    return True
            return False
        finally:
            self._queue.remove(row)
            self._notify()

    async def _wait_for_next_probe(self) -> bool:
        """Wait until the next probe may leave; False if the breaker closes first."""
        with anyio.move_on_after(self._next_probe - anyio.current_time()) as scope:
            await self._closed.wait()
        return scope.cancelled_caught

    def _notify(self) -> None:
        """Wake the whole queue."""
        self._changed.set()
        self._changed = anyio.Event()
