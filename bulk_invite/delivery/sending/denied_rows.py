"""Rows that were denied, held until it is known whether the denial was theirs."""

from __future__ import annotations

from collections import deque

from bulk_invite.delivery.lookup.resolver import Resolver
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.transitions import Disposition


class Held:
    """In the order in which they were denied. Times in epoch seconds."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._held: deque[tuple[Life, Disposition, float]] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def first(self) -> Disposition:
        """What was made of the first of them."""
        return self._held[0][1]

    def hold(self, life: Life, disposition: Disposition, at: float) -> None:
        self._held.append((life, disposition, at))

    async def settle(self, *, denied_by: float, is_last: bool = False) -> int:
        """Fail those that were denied by then; says how many came to their end.

        Those in doubt are looked up: at the end of the run, or now where this is it (`is_last`); a stop
        leaves them as they are. Raises CheckpointError and SenderError.
        """
        in_doubt: list[Life] = []
        ended = 0
        while self._held and self._held[0][2] <= denied_by:
            life, disposition, _ = self._held.popleft()
            life.is_denied = True
            if life.doubt_since is not None:
                in_doubt.append(life)  # after the others, which must not wait for that
                continue
            await life.settled(disposition.failed())
            ended += 1
        for life in in_doubt:
            if is_last:
                await self._resolver.resolve(life, is_last=True)
            elif not self._resolver.put_off(life):
                life.end()
            ended += life.ended
        return ended
