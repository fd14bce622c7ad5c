"""List and Get calls to the service, paced by their own quota."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import anyio
import structlog
from aiolimiter import AsyncLimiter

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.classify import classify
from bulk_invite.domain.findings import Content, Listed, Listing, Page
from bulk_invite.domain.transitions import after_answer, reason_to_stop
from bulk_invite.domain.verdicts import (
    Answer,
    Denied,
    Doubtful,
    HttpAnswer,
    NoAnswer,
    Refused,
    SenderRefused,
    Throttled,
    Unreachable,
    Verdict,
)
from bulk_invite.pacing.rate_controller import LONGEST_RETRY_AFTER

_log = structlog.get_logger()

LOOK_UP_DENIED: Final = "LookUpDenied"
LOOK_UP_FAILED: Final = "LookUpFailed"
LOOK_UP_REFUSED: Final = "LookUpRefused"

PER_SECOND: Final = 10.0
"""Published quota of read calls per account (List and Get together)."""

_MAX_DOUBTFUL: Final = 6
"""Doubtful answers after which a query fails."""

_MAX_DENIALS: Final = 3
"""Consecutive denials that rule out the engagements as the cause; no more queries are sent."""

_MAX_PAGES: Final = 1000
"""Pages after which a list is considered endless."""

_Reply = TypeVar("_Reply", Page, Content)


class InvitationReader(Protocol):
    """Reads invitations from the service. Never raises for a failure of the service or the network."""

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer: ...

    async def get_invitation(self, invitation_id: str) -> Content | Answer: ...


class QueryFailedError(Exception):
    """The service did not answer a query; `code` says why. Handled within look-ups."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Queries:
    """Queries, one call at a time. retry: seconds before a retry. random: uniform in [0, 1).

    Every method raises QueryFailedError, and SenderError if the credentials are refused.
    """

    def __init__(self, reader: InvitationReader, retry: Backoff, random: Callable[[], float]) -> None:
        self._reader = reader
        self._retry = retry
        self._random = random
        self._limiter = AsyncLimiter(1.0, 1.0 / PER_SECOND)
        self._denials = 0

    async def list_all(self, engagements: Sequence[str]) -> Listing:
        """List all invitations sent for up to ten engagements."""
        found: dict[str, Listed] = {}
        token = ""
        for _ in range(_MAX_PAGES):
            page = await self._ask(partial(self._reader.list_invitations, engagements, token))
            # Pages may overlap while invitations come in.
            found |= {each.invitation_id: each for each in page.invitations}
            token = page.next_token
            if not token:
                return Listing(tuple(found.values()), page.date)
        raise QueryFailedError(LOOK_UP_FAILED)

    async def get_content(self, invitation_id: str) -> Content:
        return await self._ask(partial(self._reader.get_invitation, invitation_id))

    async def _ask(self, query: Callable[[], Awaitable[_Reply | Answer]]) -> _Reply:
        """Retry until the service answers: without limit after throttles and when it is unreachable."""
        tries = doubtful = 0
        while True:
            if self._denials >= _MAX_DENIALS:
                raise QueryFailedError(LOOK_UP_DENIED)
            await self._limiter.acquire()
            reply = await query()
            if not isinstance(reply, HttpAnswer | NoAnswer):
                self._denials = 0
                return reply
            verdict = classify(reply)
            self._raise_unless_retryable(verdict)
            tries += 1
            doubtful += isinstance(verdict, Doubtful)
            if doubtful >= _MAX_DOUBTFUL:
                _log.warning("lookup.failed", reason=reply.code)
                raise QueryFailedError(LOOK_UP_FAILED)
            least = (verdict.retry_after if isinstance(verdict, Throttled) else None) or 0.0
            delay = max(min(least, LONGEST_RETRY_AFTER), self._retry.delay(tries, self._random))
            await anyio.sleep(delay)

    def _raise_unless_retryable(self, verdict: Verdict) -> None:
        """Return if a retry may help."""
        match verdict:
            case Throttled() | Doubtful():
                return
            case Unreachable(code):
                _log.warning("lookup.unreachable", reason=code)
            case Denied(code):
                self._denials += 1
                if self._denials == 1:
                    _log.warning(
                        "lookup.denied",
                        reason=code,
                        now="rows in doubt stay in doubt",
                        next="allow partnercentral:ListEngagementInvitations and GetEngagementInvitation",
                    )
                raise QueryFailedError(LOOK_UP_DENIED)
            case Refused(code):
                _log.warning("lookup.refused", reason=code)
                raise QueryFailedError(LOOK_UP_REFUSED)
            case SenderRefused():
                raise reason_to_stop(after_answer(verdict, doubt_since=None, sent_at=0.0))
            case _:
                # No row is at risk: it keeps its state, and the run continues with the others.
                _log.warning("lookup.failed", reason=str(verdict))
                raise QueryFailedError(LOOK_UP_FAILED)
