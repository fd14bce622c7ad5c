"""Look up all rows in doubt of a checkpoint, one group of engagements at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol, assert_never

import anyio
import structlog
from anyio import to_thread

from bulk_invite.delivery.lookup.group_lookup import ENGAGEMENTS_AT_ONCE, GroupLookup
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import Absent, DoubtfulRow, Finding, Found, TooEarly, Unclear
from bulk_invite.domain.transitions import after_look_up
from bulk_invite.domain.verdicts import State

_log = structlog.get_logger()

_MAX_LATER: Final = 10_000
"""Maximum rows kept for a second look-up; the next reconcile command looks up the others."""


class Journal(Protocol):
    def record(self, events: Sequence[Event]) -> frozenset[str]: ...


class BulkLookup:
    """Settles rows in doubt; every finding is durable before it is logged.

    clock: epoch seconds. states: incremented for every committed row.
    """

    def __init__(
        self,
        lookup: GroupLookup,
        journal: Journal,
        stop: StopSwitch,
        clock: Callable[[], float],
        states: Counter[State],
    ) -> None:
        self._states = states
        self._lookup = lookup
        self._journal = journal
        self._stop = stop
        self._clock = clock
        self._later: list[DoubtfulRow] = []
        self._wait = 0.0

    async def settle(self, rows: Sequence[DoubtfulRow]) -> None:
        """Look up rows, sorted by engagement. Rows that may be listed later wait for `settle_later`.

        Raises SenderError and CheckpointError. A drain ends it early.
        """
        for group in _groups(rows):
            if (findings := await self._findings(group)) is None:
                return
            settled = []
            for row, finding in zip(group, findings, strict=True):
                if isinstance(finding, TooEarly) and len(self._later) < _MAX_LATER:
                    self._later.append(row)
                    self._wait = max(self._wait, finding.seconds)
                else:
                    settled.append((row, finding))
            await self._commit(settled)

    async def settle_later(self) -> None:
        """Wait until absence is conclusive, then look those rows up again. Raises as `settle`."""
        later, self._later = self._later, []
        if not later or self._stop.draining:
            return
        _log.info("reconcile.waiting", rows=len(later), seconds=round(self._wait, 1))
        with self._stop.until_drain():
            await anyio.sleep(self._wait)
        for group in _groups(later):
            if (findings := await self._findings(group)) is None:
                return
            await self._commit(list(zip(group, findings, strict=True)))

    async def _findings(self, rows: Sequence[DoubtfulRow]) -> list[Finding] | None:
        with self._stop.until_drain():
            return await self._lookup.find_all(rows)
        return None

    async def _commit(self, found: Sequence[tuple[DoubtfulRow, Finding]]) -> None:
        if not found:
            return
        transitions = [(row, finding, after_look_up(finding, row)) for row, finding in found]
        now = self._clock()
        with anyio.CancelScope(shield=True):
            events = [
                each.event(row.client_token, now, since=row.doubt_since, finding=finding)
                for row, finding, each in transitions
            ]
            substituted = await to_thread.run_sync(self._journal.record, events)
        for (row, _, _), event in zip(transitions, events, strict=True):
            written = event.instead or event if event.client_token in substituted else event
            assert written.finding is not None  # noqa: S101 - every event here has a finding
            self._states[written.state] += 1
            self._log_finding(row, written.finding, written.state)

    def _log_finding(self, row: DoubtfulRow, finding: Finding, state: State) -> None:
        fields = {"engagement": row.engagement, "client_token": row.client_token, "state": state}
        match finding:
            case Found(invitation):
                _log.info("row.found", **fields, invitation_id=invitation.invitation_id)
            case Absent():
                _log.info("row.absent", **fields)
            case TooEarly():
                _log.warning("row.too_early", **fields)
            case Unclear(code, invitations, rows):
                _log.warning("row.unclear", **fields, why=code, invitations=invitations, rows=rows)
            case _:  # pragma: no cover
                assert_never(finding)


def _groups(rows: Sequence[DoubtfulRow]) -> Iterator[list[DoubtfulRow]]:
    """Split rows into groups of ten engagements."""
    group: list[DoubtfulRow] = []
    engagements = 0
    for _, of_one in groupby(rows, lambda row: row.engagement):
        group += of_one
        engagements += 1
        if engagements == ENGAGEMENTS_AT_ONCE:
            yield group
            group, engagements = [], 0
    if group:
        yield group
