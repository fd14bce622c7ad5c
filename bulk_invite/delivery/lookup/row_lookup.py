"""Look up one row; wait, if requested, until its absence is conclusive."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from bulk_invite.delivery.lookup.group_lookup import GroupLookup
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.findings import MAY_BE_MISSING, Finding, Found, TooEarly

_log = structlog.get_logger()


class RowLookup:
    """Looks up rows one by one. Raises SenderError and CheckpointError; a drain ends every wait.

    found_missing_call: called for every call found at the service but missing from the checkpoint.
    """

    def __init__(
        self, lookup: GroupLookup, stop: StopSwitch, found_missing_call: Callable[[], None] = lambda: None
    ) -> None:
        self._lookup = lookup
        self._stop = stop
        self._found_missing_call = found_missing_call
        self._has_logged = False

    async def find(self, row: TrackedRow, *, waits: bool) -> Finding | None:
        """Look up a row in doubt; None if a stop came first.

        waits: if it is too early, wait until the row would be listed if it had arrived, and look again.
        """
        doubt, finding = row.doubt(), None
        with self._stop.until_drain() as scope:
            finding = await self._lookup.find(doubt)
            if waits and isinstance(finding, TooEarly):
                self._log_wait(finding.seconds)
                await anyio.sleep(finding.seconds)
                finding = await self._lookup.find(row.doubt())
        if scope.cancelled_caught:
            return None
        if isinstance(finding, Found) and doubt.code == MAY_BE_MISSING:
            self._found_missing_call()
        return finding

    def _log_wait(self, seconds: float) -> None:
        """Log the first wait of a run; the rows wait concurrently."""
        if not self._has_logged:
            self._has_logged = True
            why = "rows in doubt that are not listed after the settling time were not created"
            _log.info("lookup.waiting", seconds=round(seconds, 1), why=why)
