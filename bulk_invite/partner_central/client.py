"""Partner Central as the flow uses it: the only place that calls AWS, and that knows its exceptions.

Whatever the service or the network does to a call is an answer; nothing of that is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import aiohttp
import anyio
import orjson
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from bulk_invite.classify import CREDENTIALS_NOT_RENEWED, CREDENTIALS_REFUSED, WITHHELD, classify
from bulk_invite.clearance import Clearance
from bulk_invite.doubt import Content, Page
from bulk_invite.errors import SenderError
from bulk_invite.journal import Owner
from bulk_invite.outcome import (
    Answer,
    Doubtful,
    NoAnswer,
    SenderRefused,
    Throttled,
    Unknown,
    Unreachable,
)
from bulk_invite.partner_central.answers import content, page, refusal, silence, success, text, unreadable
from bulk_invite.partner_central.provenance import Provenance, provenance_of
from bulk_invite.partner_central.transport import Transmission, under_way

_log = structlog.get_logger()

_CREATE: Final = "CreateEngagementInvitation"
_LIST: Final = "ListEngagementInvitations"
_GET: Final = "GetEngagementInvitation"
_IDENTIFY: Final = "GetCallerIdentity"

_PAGE_SIZE: Final = 100
"""The most that a page may have."""

_UNREADABLE: Final = (
    ResponseParserError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
"""What the SDK's parsers raise on a body that they did not expect, such as a page of a proxy."""

_Returned = TypeVar("_Returned")


class PartnerCentral:
    """Use `connect`.

    deadline: seconds for one call. has_one_endpoint: STS is asked there too.
    """

    def __init__(
        self,
        client: Any,
        sts: Any,
        credentials: Any,
        key_hash: str,
        *,
        catalog: str,
        deadline: float,
        has_one_endpoint: bool,
    ) -> None:
        self._client = client
        self._sts = sts
        self._credentials = credentials
        self._key_hash = key_hash
        self._catalog = catalog
        self._deadline = deadline
        self._has_one_endpoint = has_one_endpoint

    async def ready(self) -> NoAnswer | None:
        """Renew the credentials where they are about to expire; why that failed, if it did.

        Within a call it would use up the call's time, and its failure could not be told from doubt.
        """
        renewed = await self._tried("", self._credentials.get_frozen_credentials)
        if not isinstance(renewed, NoAnswer):
            return None
        if isinstance(classify(renewed), Unknown):  # whatever it is: no invitation has left
            return NoAnswer((CREDENTIALS_REFUSED, *renewed.exceptions))
        return renewed

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        """Call CreateEngagementInvitation once with the frozen request `body` (JSON).

        clearance: renewed when the connection stands and asked right before the first byte; where it does
        not hold, nothing leaves, and the answer is `WITHHELD`.
        """
        request = orjson.loads(body)
        response = await self._called(
            _CREATE, lambda: self._client.create_engagement_invitation(**request), clearance
        )
        return success(response) if isinstance(response, Mapping) else response

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
        """One page of the invitations that we have sent for up to ten engagements, oldest first."""
        request = {
            "Catalog": self._catalog,
            "ParticipantType": "SENDER",
            "EngagementIdentifier": list(engagements),
            # Whatever comes while the pages are read stands on a later one.
            "Sort": {"SortBy": "InvitationDate", "SortOrder": "ASCENDING"},
            "MaxResults": _PAGE_SIZE,
            **({"NextToken": next_token} if next_token else {}),
        }
        response = await self._called(_LIST, lambda: self._client.list_engagement_invitations(**request))
        return page(response) if isinstance(response, Mapping) else response

    async def list_one(self) -> Page | Answer:
        """Any one of the invitations that we have sent: to see whether they may be listed."""
        request = {"Catalog": self._catalog, "ParticipantType": "SENDER", "MaxResults": 1}
        response = await self._called(_LIST, lambda: self._client.list_engagement_invitations(**request))
        return page(response) if isinstance(response, Mapping) else response

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        """What an invitation says."""
        request = {"Catalog": self._catalog, "Identifier": invitation_id}
        response = await self._called(_GET, lambda: self._client.get_engagement_invitation(**request))
        return content(response, invitation_id) if isinstance(response, Mapping) else response

    async def identify(self) -> Owner | Unreachable:
        """Ask STS who we are; where it does not answer, the access key's hash stands in for the account.

        Unreachable only where everything goes to one endpoint and that is down. Raises SenderError when the
        credentials are refused.
        """
        answer = await self.account()
        if isinstance(answer, str):
            return self.owner(answer)
        verdict = classify(answer)
        if isinstance(verdict, SenderRefused):
            raise SenderError(
                f"The credentials are not accepted: {verdict.code}.",
                hint="Renew them (or set the clock right), then run the same command; no row was touched.",
            )
        if isinstance(verdict, Unreachable) and self._has_one_endpoint:
            return verdict
        stand_in = "hash of the access key" if self._key_hash else "none, the key is a temporary one"
        _log.warning("sender.account_unknown", reason=answer.code, stand_in=stand_in)
        return self.owner("")

    async def account(self) -> str | Answer:
        """The account by STS, or the answer that does not tell it."""
        identity = await self._tried(_IDENTIFY, self._sts.get_caller_identity)
        if isinstance(identity, Mapping):
            return text(identity.get("Account")) or NoAnswer(("AnswerWithoutAccount",))
        return identity

    def owner(self, account: str) -> Owner:
        """Who we are, where STS says that account ("": it does not tell)."""
        return Owner(account, self._key_hash)

    @property
    def provenance(self) -> Provenance:
        return provenance_of(self._credentials)

    async def _called(
        self,
        operation: str,
        call: Callable[[], Awaitable[Mapping[str, Any]]],
        clearance: Clearance | None = None,
    ) -> Mapping[str, Any] | Answer:
        """A call of the service, in the time that it has."""
        transmission = Transmission(clearance)
        # The scope swallows the cancellation that its own deadline brings about.
        answer: Mapping[str, Any] | Answer = NoAnswer((TimeoutError.__name__,))
        with anyio.CancelScope(deadline=anyio.current_time() + self._deadline), under_way(transmission):
            answer = await self._tried(operation, call)
        if not isinstance(answer, NoAnswer):
            return answer
        if transmission.withheld:
            answer = NoAnswer((WITHHELD,))
        return replace(answer, started=transmission.started)

    async def _tried(self, operation: str, call: Callable[[], Awaitable[_Returned]]) -> _Returned | Answer:
        """What a call returns, or what became of it."""
        try:
            return await call()
        except ClientError as error:
            return _answer(error, operation)
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            return silence(error)
        except _UNREADABLE as error:
            return unreadable(error)
        except RuntimeError as error:  # what the SDK raises where new credentials have expired already
            if operation == _CREATE:  # which were made sure of before: this is something else
                raise
            return NoAnswer((type(error).__name__, CREDENTIALS_REFUSED))


def _answer(error: ClientError, operation: str) -> Answer:
    """What an error answer says; that of another operation comes from renewing the credentials in between."""
    answer = refusal(error.response)
    if error.operation_name == operation:
        return answer
    if isinstance(classify(answer), Throttled | Doubtful):
        return NoAnswer((type(error).__name__, CREDENTIALS_NOT_RENEWED))
    return NoAnswer((type(error).__name__, CREDENTIALS_REFUSED))
