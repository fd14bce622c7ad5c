"""Asking the service what it has: List and Get calls, paced for the quota that they have for themselves."""

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

_TRIES: Final = 6
"""Doubtful answers to one question after which it is given up."""

_DENIALS: Final = 3
"""Denials in a row after which it is not the engagements: nobody asks any more."""

_MOST_PAGES: Final = 1000
"""Pages of one list, after which it is not believed to end."""

_Shown = TypeVar("_Shown", Page, Content)


class Finder(Protocol):
    """Asks the service what it has. Never raises for what service or network do."""

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer: ...

    async def get_invitation(self, invitation_id: str) -> Content | Answer: ...


class NotToldError(Exception):
    """The service does not say what was asked; `code` is why. Never leaves the flow."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Reads:
    """One call after the other. retry: seconds before a question is asked again; random: uniform in [0, 1).

    Everything here raises NotToldError, and SenderError for the credentials.
    """

    def __init__(self, finder: Finder, retry: Backoff, random: Callable[[], float]) -> None:
        self._finder = finder
        self._retry = retry
        self._random = random
        self._limiter = AsyncLimiter(1.0, 1.0 / PER_SECOND)
        self._denials = 0

    async def listed(self, engagements: Sequence[str]) -> Listing:
        """All that was sent for up to ten engagements."""
        found: dict[str, Listed] = {}
        token = ""
        for _ in range(_MOST_PAGES):
            page = await self._asked(partial(self._finder.list_invitations, engagements, token))
            # Pages may overlap while invitations come in.
            found |= {each.invitation_id: each for each in page.invitations}
            token = page.next_token
            if not token:
                return Listing(tuple(found.values()), page.date)
        raise NotToldError(LOOK_UP_FAILED)

    async def content(self, invitation_id: str) -> Content:
        return await self._asked(partial(self._finder.get_invitation, invitation_id))

    async def _asked(self, ask: Callable[[], Awaitable[_Shown | Answer]]) -> _Shown:
        """Ask until the service answers: as long as it throttles or cannot be reached, else a few times."""
        tries = doubtful = 0
        while True:
            if self._denials >= _DENIALS:
                raise NotToldError(LOOK_UP_DENIED)
            await self._limiter.acquire()
            shown = await ask()
            if not isinstance(shown, HttpAnswer | NoAnswer):
                self._denials = 0
                return shown
            verdict = classify(shown)
            self._heed(verdict)
            tries += 1
            doubtful += isinstance(verdict, Doubtful)
            if doubtful >= _TRIES:
                _log.warning("lookup.failed", reason=shown.code)
                raise NotToldError(LOOK_UP_FAILED)
            least = (verdict.retry_after if isinstance(verdict, Throttled) else None) or 0.0
            delay = max(min(least, LONGEST_RETRY_AFTER), self._retry.delay(tries, self._random))
            await anyio.sleep(delay)

    def _heed(self, verdict: Verdict) -> None:
        """Return where asking again may help."""
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
                raise NotToldError(LOOK_UP_DENIED)
            case Refused(code):
                _log.warning("lookup.refused", reason=code)
                raise NotToldError(LOOK_UP_REFUSED)
            case SenderRefused():
                raise reason_to_stop(after_answer(verdict, doubt_since=None, sent_at=0.0))
            case _:
                # No row is at stake: it stays what it is, and the run goes on with the others.
                _log.warning("lookup.failed", reason=str(verdict))
                raise NotToldError(LOOK_UP_FAILED)
