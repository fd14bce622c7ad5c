"""Look up rows in doubt, to learn whether the service has their invitations.

One list covers up to ten engagements. Every listed invitation that may match a row is read and compared;
`matching` draws the conclusion.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import anyio

from bulk_invite.delivery.lookup.queries import LOOK_UP_FAILED, Queries, QueryFailedError
from bulk_invite.domain.findings import Content, DoubtfulRow, Finding, Listed, SettledRow, Unclear
from bulk_invite.domain.matching import (
    Times,
    candidates,
    conclude,
    engagement_id,
    similarity,
    without_shared_matches,
)

ENGAGEMENTS_AT_ONCE: Final = 10
"""Maximum engagements per list call (from the service model)."""

Known = Callable[[Sequence[str]], Awaitable[tuple[list[DoubtfulRow], list[SettledRow]]]]
"""Gets the checkpoint's rows of some engagements: those in doubt, and those with an invitation."""

_MAX_FAILURES: Final = 3
"""Consecutive failed queries after which the rest are skipped: the service is at fault."""


class GroupLookup:
    """Looks up rows of up to ten engagements together. Raises SenderError and CheckpointError.

    settling_time: seconds after a row's last attempt until its absence from the lists is conclusive.
    clock: epoch seconds.
    """

    def __init__(
        self, queries: Queries, known: Known, *, settling_time: float, clock: Callable[[], float]
    ) -> None:
        self._queries = queries
        self._known = known
        self._settling_time = settling_time
        self._clock = clock
        self._one_at_a_time = anyio.Lock()
        self._waiting: dict[str, DoubtfulRow] = {}
        self._findings: dict[str, Finding] = {}

    async def find(self, row: DoubtfulRow) -> Finding:
        """Look up one row, together with other rows that are waiting."""
        self._waiting[row.client_token] = row
        try:
            async with self._one_at_a_time:
                if row.client_token in self._waiting:
                    await self._look_up_for_waiters(_with_other_waiters(row, self._waiting.values()))
                return self._findings.pop(row.client_token)
        finally:
            self._waiting.pop(row.client_token, None)
            self._findings.pop(row.client_token, None)

    async def find_all(self, rows: Sequence[DoubtfulRow]) -> list[Finding]:
        """Look up rows of at most ten engagements; findings come in the order of the rows."""
        try:
            return await self._look_up(rows)
        except QueryFailedError as error:
            groups = _by_engagement(rows)
            if len(groups) == 1:
                return [Unclear(error.code)] * len(rows)
            failures = int(error.code == LOOK_UP_FAILED)
        # One engagement may be unknown to the service, or make it fail.
        findings: dict[str, Finding] = {}
        for group in groups.values():
            if failures >= _MAX_FAILURES:
                found: list[Finding] = [Unclear(LOOK_UP_FAILED)] * len(group)
            else:
                found = await self.find_all(group)
                failures = failures + 1 if found[0] == Unclear(LOOK_UP_FAILED) else 0
            findings |= {row.client_token: finding for row, finding in zip(group, found, strict=True)}
        return [findings[row.client_token] for row in rows]

    async def _look_up_for_waiters(self, rows: Sequence[DoubtfulRow]) -> None:
        for row, finding in zip(rows, await self.find_all(rows), strict=True):
            # A caller that was cancelled in the meantime no longer waits.
            if self._waiting.pop(row.client_token, None) is not None:
                self._findings[row.client_token] = finding

    async def _look_up(self, rows: Sequence[DoubtfulRow]) -> list[Finding]:
        engagements = list(_by_engagement(rows))
        now = self._clock()  # the lists may lack later invitations
        listing = await self._queries.list_all(engagements)
        times = Times(now, 0.0 if listing.date is None else self._clock() - listing.date)
        _, settled = await self._known(engagements)
        contents = await self._contents(rows, listing.invitations, settled, times)
        # Read again, last: another row may have been matched with one of the invitations by now.
        doubtful, settled = await self._known(engagements)
        return without_shared_matches(
            rows,
            [self._conclusion(row, listing.invitations, contents, doubtful, settled, times) for row in rows],
        )

    async def _contents(
        self,
        rows: Sequence[DoubtfulRow],
        listed: Sequence[Listed],
        settled: Sequence[SettledRow],
        times: Times,
    ) -> dict[str, Content]:
        """The content of every invitation that may match a row."""
        taken = _ids(settled)
        wanted = {each.invitation_id for row in rows for each in candidates(row, listed, taken, times)}
        return {each: await self._queries.get_content(each) for each in sorted(wanted)}

    def _conclusion(
        self,
        row: DoubtfulRow,
        listed: Sequence[Listed],
        contents: dict[str, Content],
        doubtful: Sequence[DoubtfulRow],
        settled: Sequence[SettledRow],
        times: Times,
    ) -> Finding:
        compared = []
        for each in candidates(row, listed, _ids(settled), times):
            content = contents[each.invitation_id]
            compared.append((each, content, similarity(row, content)))
        engagement = engagement_id(row.engagement)
        return conclude(
            row,
            compared,
            [each for each in doubtful if each.engagement == row.engagement],
            listed=sum(each.engagement == engagement for each in listed),
            times=times,
            settling_time=self._settling_time,
        )


def _ids(settled: Iterable[SettledRow]) -> frozenset[str]:
    return frozenset(each.invitation_id for each in settled)


def _by_engagement(rows: Iterable[DoubtfulRow]) -> dict[str, list[DoubtfulRow]]:
    groups: dict[str, list[DoubtfulRow]] = {}
    for row in rows:
        groups.setdefault(row.engagement, []).append(row)
    return groups


def _with_other_waiters(row: DoubtfulRow, waiting: Iterable[DoubtfulRow]) -> list[DoubtfulRow]:
    """The row and the waiting rows that fit into the same list call."""
    groups = {row.engagement: [], **_by_engagement(waiting)}
    return [each for group in list(groups.values())[:ENGAGEMENTS_AT_ONCE] for each in group]
