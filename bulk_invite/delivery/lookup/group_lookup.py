"""Looking rows in doubt up: whether the service has their invitation.

Lists are asked for up to ten engagements at a time; whatever may be a row is read and compared. What
follows from that is decided in `matching`.
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
"""The most that one list may be asked for (the service model)."""

Known = Callable[[Sequence[str]], Awaitable[tuple[list[DoubtfulRow], list[SettledRow]]]]
"""What the checkpoint has of some engagements: rows in doubt, and rows with an invitation."""

_MAX_FAILURES: Final = 3
"""Questions in a row that were given up, after which the others are not asked: the service is to blame."""


class GroupLookup:
    """Finds out what has become of rows. Raises SenderError and CheckpointError.

    settling_time: seconds after a row's last attempt until its absence from lists means something.
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
        """Look one row up, together with others that are asked for meanwhile."""
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
        """Look rows of at most ten engagements up; in the order of the rows."""
        try:
            return await self._look_up(rows)
        except QueryFailedError as error:
            groups = _by_engagement(rows)
            if len(groups) == 1:
                return [Unclear(error.code)] * len(rows)
            failures = int(error.code == LOOK_UP_FAILED)
        # It may be one of them that the service does not know, or chokes on.
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
            # Who was cancelled meanwhile does not wait any more.
            if self._waiting.pop(row.client_token, None) is not None:
                self._findings[row.client_token] = finding

    async def _look_up(self, rows: Sequence[DoubtfulRow]) -> list[Finding]:
        engagements = list(_by_engagement(rows))
        now = self._clock()  # what comes after this moment need not be in the lists
        listing = await self._queries.list_all(engagements)
        times = Times(now, 0.0 if listing.date is None else self._clock() - listing.date)
        _, settled = await self._known(engagements)
        contents = await self._contents(rows, listing.invitations, settled, times)
        # Asked again, and last: by now another row may have turned out to be one of them.
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
        """What every invitation says that may be one of the rows."""
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
    """A row, and those that one list can be asked for together with it."""
    groups = {row.engagement: [], **_by_engagement(waiting)}
    return [each for group in list(groups.values())[:ENGAGEMENTS_AT_ONCE] for each in group]
