"""Room for invitations in the account: carry out what `FullEngagements` decides.

Parks the run when the account is full, and lets it continue as soon as a fresh engagement is found that may
show room. The invitations of an engagement are counted in the checkpoint only when that matters: after its
refusal, and before its call while the account is suspected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Why

_log = structlog.get_logger()

_ROWS_WAIT: Final = "ask AWS to raise the quota; all rows continue as soon as a call creates an invitation"
_NOTHING_WAITS: Final = (
    "every engagement of the run was refused; if they are full themselves, stop the run: no other row waits"
)


class AccountRoom:
    """Rows in doubt are none of its business: an invitation of theirs may exist already."""

    def __init__(self, engagements: FullEngagements, committer: Committer, pacer: Pacer) -> None:
        self._engagements = engagements
        self._committer = committer
        self._pacer = pacer

    def is_full(self, row: TrackedRow) -> bool:
        """Whether the row must wait for room in its engagement; a row in doubt need not."""
        was_full = row.to_send.deferred
        return row.doubt_since is None and self._engagements.is_full(row.engagement, was_full=was_full)

    def is_unwanted(self, row: TrackedRow) -> bool:
        """Whether the row must not be called now, or `prepare` must come first."""
        return self.is_full(row) or self._is_unclear(row)

    async def prepare(self, row: TrackedRow) -> None:
        """Prepare for the turn of a row. Raises CheckpointError."""
        if row.to_send.deferred:
            self._engagements.note_full_before(row.engagement)
        if self._is_unclear(row):
            await self._count_invitations(row)
            if row.to_send.deferred:
                self._engagements.note_deferred(row.engagement)
        if row.doubt_since is None and self._engagements.may_show_room(
            row.engagement, was_full=row.to_send.deferred
        ):
            self._pacer.reopen(Why.ACCOUNT_FULL)

    async def refused(self, row: TrackedRow) -> None:
        """Park the run if a row's refusal means that the account is full. Raises CheckpointError."""
        if self._engagements.is_uncounted(row.engagement):
            await self._count_invitations(row)
        self._engagements.note_refused(row.engagement, was_full=row.to_send.deferred)
        if self._engagements.is_account_full:
            self._park(_ROWS_WAIT)

    def probes(self, rows: deque[TrackedRow]) -> Iterator[deque[TrackedRow]]:
        """After the last row was read: if the account is full, probe until it has room.

        rows: one of each engagement on hold. Takes those out of it that it yields, one at a time.
        """
        if not self._engagements.begin_probing():
            self._pacer.reopen(Why.ACCOUNT_FULL)
            return
        self._park(_NOTHING_WAITS)
        for row in [row for row in rows if self._engagements.is_evidence(row.engagement)]:
            if not self._engagements.is_account_full:
                return
            rows.remove(row)
            yield deque([row])
        if self._engagements.is_account_full:
            self._engagements.give_up()

    def last_round(self, rows: Iterable[TrackedRow]) -> Iterator[deque[TrackedRow]]:
        """One row of each engagement, to be asked once more; a suspected account is asked only once."""
        if not self._engagements.has_given_up:
            self._engagements.begin_last_round()
        first = deque(sorted(rows, key=lambda row: not self._engagements.is_evidence(row.engagement)))
        if first and self._engagements.is_account_suspected and not self._engagements.has_given_up:
            self._pacer.reopen(Why.ACCOUNT_FULL)
            yield deque([first.popleft()])
        yield first

    def retries(self, rows: Iterable[TrackedRow]) -> Iterator[deque[TrackedRow]]:
        """The last round of a service: some rows at a time, of the engagements that are asked again now.

        rows: one of each engagement. A suspected account is asked for one, and no other until it has room.
        """
        retries, of = self._engagements.retries, {row.engagement: row for row in rows}
        if retries is None:
            return
        self._engagements.begin_last_round()
        while not self._engagements.has_given_up:
            is_suspected = self._engagements.is_account_suspected
            names = retries.take(of, limit=1 if is_suspected else len(of))
            if not names:
                break
            if is_suspected:
                self._pacer.reopen(Why.ACCOUNT_FULL)
            yield deque(of.pop(name) for name in names)
        yield deque(of.values())  # they end deferred, without a call

    def _park(self, advice: str) -> None:
        if self._pacer.view().parked is not Why.ACCOUNT_FULL:
            _log.warning("run.account_full", refused=self._engagements.refused_in_succession, next=advice)
        self._pacer.close(Why.ACCOUNT_FULL)

    def _is_unclear(self, row: TrackedRow) -> bool:
        was_full = row.to_send.deferred
        return row.doubt_since is None and self._engagements.is_unclear(row.engagement, was_full=was_full)

    async def _count_invitations(self, row: TrackedRow) -> None:
        names = {row.engagement, row.to_send.invitation.engagement}
        _, created = await self._committer.rows_of(sorted(names))
        self._engagements.count_invitations(row.engagement, len(created))
