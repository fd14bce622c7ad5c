"""The way out of doubt where a token may be forgotten: a row is looked up, and what it is gets committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
import structlog

from bulk_invite.delivery.lookup.finder import LookUp
from bulk_invite.delivery.tracking.retry_later import Aside
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.findings import MAY_BE_MISSING, Finding, Found, TooEarly
from bulk_invite.domain.transitions import Next, resolve

_log = structlog.get_logger()


class Resolver:
    """Raises SenderError and CheckpointError. A drain ends every wait and leaves the row as it was.

    turned_up: told of a call that the checkpoint did not know of.
    """

    def __init__(
        self, look_up: LookUp, stop: StopSwitch, turned_up: Callable[[], None] = lambda: None
    ) -> None:
        self._look_up = look_up
        self._stop = stop
        self._turned_up = turned_up
        self._aside = Aside()
        self._has_said = False

    async def resolve(self, life: Life, *, is_last: bool) -> Next | None:
        """What is to be done with a row in doubt now; None when a stop came, or it is put off to the end.

        is_last: the run ends with it, so its absence is waited for.
        """
        finding = await self._find(life, to_the_end=is_last)
        if finding is None:
            return None
        row = life.doubt()
        disposition = resolve(finding, row)
        if disposition.next is Next.LOOK_UP_LATER:
            if not is_last and self.put_off(life):
                return None
            disposition = disposition.left()
        await life.settled(disposition, finding)
        if isinstance(finding, Found) and row.code == MAY_BE_MISSING:
            self._turned_up()
        return disposition.next

    async def find_or_leave(self, life: Life) -> None:
        """For a row that this run has tried often enough: it ends, in doubt unless it is found."""
        finding = await self._find(life, to_the_end=False)
        if isinstance(finding, Found):
            await life.settled(resolve(finding, life.doubt()), finding)
        elif finding is not None:
            life.end()

    def put_off(self, life: Life) -> bool:
        """Look a row up at the end of the run; False where there is no room to keep it until then."""
        life.is_to_be_found = True
        return self._aside.put(life)

    def taken_back(self) -> deque[Life]:
        """The rows that were put off."""
        first, others = self._aside.taken_back()
        return first + others

    async def _find(self, life: Life, *, to_the_end: bool) -> Finding | None:
        """What has become of a row; None when a stop came first. to_the_end: wait until absence is one."""
        finding: Finding | None = None
        with self._stop.until_drain() as scope:
            finding = await self._look_up.find(life.doubt())
            if to_the_end and isinstance(finding, TooEarly):
                self._say_that_it_waits(finding.seconds)
                await anyio.sleep(finding.seconds)
                finding = await self._look_up.find(life.doubt())
        return None if scope.cancelled_caught else finding

    def _say_that_it_waits(self, seconds: float) -> None:
        """Once a run: all the rows that it waits for wait at the same time."""
        if not self._has_said:
            self._has_said = True
            why = "rows in doubt that are not listed after the settling time were not created"
            _log.info("lookup.waiting", seconds=round(seconds, 1), why=why)
