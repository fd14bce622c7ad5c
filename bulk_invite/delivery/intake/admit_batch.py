"""Admit rows in batches: validate, classify against the checkpoint, count, hand over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.admissions import AlreadySettled, SkippedRow, ToSend
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.matching import engagement_id
from bulk_invite.domain.records import Prefix, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.verdicts import State

BATCH_ROWS: Final = 200
"""Rows per batch; one batch blocks the event loop for a few milliseconds."""

BATCH_BYTES: Final = 1 << 20

HandOver = Callable[[list[ToSend]], Awaitable[None]]
"""Accepts rows to send; waits until there is room for them."""


class Validator(Protocol):
    def validate(self, row: Row) -> Invitation | Rejection: ...


class Admitter:
    """Admits rows. Every method raises BulkInviteError."""

    def __init__(
        self, validator: Validator, committer: Committer, engagements: FullEngagements, tally: Tally
    ) -> None:
        self._validator = validator
        self._committer = committer
        self._engagements = engagements
        self._tally = tally

    async def admit(
        self,
        rows: Sequence[Row],
        hand_over: HandOver,
        reached: Position | SourceCursor | Prefix | None = None,
        *,
        follows: bool = False,
    ) -> int:
        """Admit a batch; return the number of rows to send. reached, follows: see `Committer.admit`."""
        validated = [self._validator.validate(row) for row in rows]
        to_send = []
        for admission in await self._committer.admit(validated, reached, follows=follows):
            self._tally.took_in(admission)
            match admission:
                case ToSend():
                    to_send.append(admission)
                case AlreadySettled(state=State.CREATED, invitation=invitation):
                    self._engagements.note_invitation(engagement_id(invitation.engagement))
                case _:
                    pass
        if to_send:
            await hand_over(to_send)
        return len(to_send)

    def skip(self, rows: Sequence[SkippedRow]) -> None:
        """Count and report rows that already have an invitation and are not read again.

        The invitations of their engagements are counted in the checkpoint when that matters.
        """
        for row in rows:
            self._tally.skipped(row)

    def skip_many(self, *, created: int, failed: int = 0) -> None:
        """Count rows that are settled and not read again."""
        self._tally.skipped_many(created, failed)

    def reads_again(self, lines: int) -> None:
        """Note that these lines of a file, which earlier runs have read, are read again."""
        self._tally.reads_again(lines)

    @property
    def reports_rows(self) -> bool:
        """Whether skipped rows must be reported one by one, with results."""
        return self._tally.reports_rows
