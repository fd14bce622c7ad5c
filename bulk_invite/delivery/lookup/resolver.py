"""Looks one row up, and waits until its absence means something where that is worth the time."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from bulk_invite.delivery.lookup.finder import LookUp
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.findings import MAY_BE_MISSING, Finding, Found, TooEarly

_log = structlog.get_logger()


class Resolver:
    """Raises SenderError and CheckpointError. A drain ends every wait.

    turned_up: called for every call that the checkpoint did not know of.
    """

    def __init__(
        self, look_up: LookUp, stop: StopSwitch, turned_up: Callable[[], None] = lambda: None
    ) -> None:
        self._look_up = look_up
        self._stop = stop
        self._turned_up = turned_up
        self._has_said = False

    async def find(self, row: TrackedRow, *, waits: bool) -> Finding | None:
        """What a look-up finds of a row in doubt; None when a stop came first.

        waits: until the row would be listed if it had arrived.
        """
        doubt, finding = row.doubt(), None
        with self._stop.until_drain() as scope:
            finding = await self._look_up.find(doubt)
            if waits and isinstance(finding, TooEarly):
                self._say_that_it_waits(finding.seconds)
                await anyio.sleep(finding.seconds)
                finding = await self._look_up.find(row.doubt())
        if scope.cancelled_caught:
            return None
        if isinstance(finding, Found) and doubt.code == MAY_BE_MISSING:
            self._turned_up()
        return finding

    def _say_that_it_waits(self, seconds: float) -> None:
        """Once a run: all the rows that it waits for wait at the same time."""
        if not self._has_said:
            self._has_said = True
            why = "rows in doubt that are not listed after the settling time were not created"
            _log.info("lookup.waiting", seconds=round(seconds, 1), why=why)
