"""The Partner Central client: the only place that calls AWS and knows its exceptions.

Whatever the service or the network does to a call becomes an answer; none of it is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import aiohttp
import anyio
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from bulk_invite.domain.classify import PROXY_UNREACHABLE, UNASKED, WITHHELD, classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import SenderError
from bulk_invite.domain.findings import Content, Page
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import (
    Answer,
    NoAnswer,
    SenderRefused,
    Unreachable,
)
from bulk_invite.partner_central.aws_settings import AwsSettings
from bulk_invite.partner_central.credentials_origin import Provenance, provenance_of
from bulk_invite.partner_central.masking import Vocabulary, sanitized, without_words
from bulk_invite.partner_central.plain_call import CREATE, CreateCall
from bulk_invite.partner_central.proxy import setting_of, unreached_proxy
from bulk_invite.partner_central.renewal import Renewal
from bulk_invite.partner_central.request_form import Credentials
from bulk_invite.partner_central.responses import (
    content,
    identifier,
    page,
    refusal,
    silence,
    success,
    unreadable,
)
from bulk_invite.partner_central.sdk_errors import unready, unsent_answer
from bulk_invite.partner_central.slow_waits import reported
from bulk_invite.partner_central.transport import Transmission, under_way

_log = structlog.get_logger()

_LIST: Final = "ListEngagementInvitations"
_GET: Final = "GetEngagementInvitation"
_IDENTIFY: Final = "GetCallerIdentity"

_PAGE_SIZE: Final = 100
"""The maximum size of a page."""

_UNREADABLE: Final = (
    ResponseParserError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
"""Exceptions of the SDK's parsers for unexpected bodies, such as a proxy's page."""

_Returned = TypeVar("_Returned")


class PartnerCentral:
    """Create it with `connect`.

    deadline: seconds for one call. has_one_endpoint: STS calls go to the same endpoint. vocabulary: the words
    of the service model.
    """

    def __init__(
        self,
        client: Any,
        create_call: CreateCall,
        sts: Any,
        credentials: Any,
        key_hash: str,
        *,
        catalog: str,
        deadline: float,
        has_one_endpoint: bool,
        setup: AwsSettings,
        vocabulary: Vocabulary,
    ) -> None:
        self._client = client
        self._create_call = create_call
        self._sts = sts
        self._credentials = credentials
        self._renewal = Renewal(credentials, setup)
        self._key_hash = key_hash
        self._catalog = catalog
        self._deadline = deadline
        self._has_one_endpoint = has_one_endpoint
        self._setup = setup
        self._unreached = ""
        self._vocabulary = vocabulary

    @property
    def is_ready(self) -> bool:
        """Whether `ready` has nothing to do: the credentials are checked, and not about to expire."""
        return self._renewal.is_idle

    async def ready(self) -> NoAnswer | None:
        """Renew credentials that are about to expire; return the fault if that failed.

        Within a call, this would use up the call's time, and its failure would look like a row in doubt.
        """
        renewed = await self._renewal.renewed()
        return renewed if isinstance(renewed, NoAnswer) else None

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        """Call CreateEngagementInvitation once with the frozen request `body` (JSON).

        clearance: renewed when the connection is ready, and checked immediately before the first byte. If it
        does not hold, or not in time, nothing leaves and the answer is `WITHHELD`. Exceptions of the
        clearance are raised.
        """
        response = await self._called(CREATE, partial(self._create_call, body), clearance)
        answer = success(response) if isinstance(response, Mapping) else response
        return sanitized(answer, body, self._vocabulary)

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
        """Return a page of the invitations sent for up to ten engagements, oldest first."""
        request = {
            "Catalog": self._catalog,
            "ParticipantType": "SENDER",
            "EngagementIdentifier": list(engagements),
            # New invitations appear on later pages while earlier ones are read.
            "Sort": {"SortBy": "InvitationDate", "SortOrder": "ASCENDING"},
            "MaxResults": _PAGE_SIZE,
            **({"NextToken": next_token} if next_token else {}),
        }
        response = await self._asked(_LIST, self._client.list_engagement_invitations, request)
        return page(response) if isinstance(response, Mapping) else self._kept(response)

    async def list_one(self) -> Page | Answer:
        """Return any one of the invitations sent: to check the permission to list them."""
        request = {"Catalog": self._catalog, "ParticipantType": "SENDER", "MaxResults": 1}
        response = await self._asked(_LIST, self._client.list_engagement_invitations, request)
        return page(response) if isinstance(response, Mapping) else self._kept(response)

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        """Return the content of an invitation."""
        request = {"Catalog": self._catalog, "Identifier": invitation_id}
        response = await self._asked(_GET, self._client.get_engagement_invitation, request)
        return content(response, invitation_id) if isinstance(response, Mapping) else self._kept(response)

    async def identify(self) -> Owner | Unreachable:
        """Ask STS for the account; if STS does not answer, the access key's hash identifies the owner.

        Returns Unreachable only if all calls go to one endpoint and that is down. Raises SenderError if the
        credentials are refused.
        """
        answer = await self.account()
        if isinstance(answer, str):
            return self.owner(answer)
        if isinstance(answer, NoAnswer) and answer.fault is not None:
            raise answer.fault.error()
        verdict = classify(answer)
        if isinstance(verdict, SenderRefused):
            raise SenderError(
                f"The credentials are not accepted: {verdict.code}.",
                hint="Renew them (or correct the clock), then run the same command; no row was touched.",
            )
        if isinstance(verdict, Unreachable) and self._has_one_endpoint:
            return verdict
        fallback = "hash of the access key" if self._key_hash else "none: the access key is temporary"
        _log.warning("sender.account_unknown", reason=answer.code, fallback=fallback)
        return self.owner("")

    async def account(self) -> str | Answer:
        """Return the account as reported by STS, or the answer that lacks it."""
        if (unready := await self.ready()) is not None:
            return unready
        with reported(lambda: "STS, to identify the account of the credentials"):
            # Whether it has left makes no difference: it changes nothing.
            transmission = Transmission(None, started=True)
            identity = await self._tried(_IDENTIFY, self._sts.get_caller_identity(), transmission)
        if isinstance(identity, Mapping):
            return identifier(identity.get("Account")) or NoAnswer(("AnswerWithoutAccount",))
        return self._kept(identity)

    def owner(self, account: str) -> Owner:
        """The owner for an account reported by STS, or "" if unknown."""
        return Owner(account, self._key_hash)

    def _kept(self, answer: Answer) -> Answer:
        """Remove texts from an answer that concerns no single row."""
        return without_words(answer, self._vocabulary)

    @property
    def provenance(self) -> Provenance:
        return provenance_of(self._credentials)

    async def _asked(
        self,
        operation: str,
        method: Callable[..., Awaitable[Mapping[str, Any]]],
        request: Mapping[str, Any],
    ) -> Mapping[str, Any] | Answer:
        """Call a method of the SDK's client."""

        async def call(transmission: Transmission, _: Credentials) -> Mapping[str, Any]:
            with under_way(transmission):
                return await method(**request)

        return await self._called(operation, call)

    async def _called(
        self,
        operation: str,
        call: Callable[[Transmission, Credentials], Awaitable[Mapping[str, Any]]],
        clearance: Clearance | None = None,
    ) -> Mapping[str, Any] | Answer:
        """Make a call to the service, within its deadline."""
        transmission = Transmission(clearance)
        # The scope swallows the cancellation by its own deadline.
        answer: Mapping[str, Any] | Answer = NoAnswer((TimeoutError.__name__,))
        with anyio.CancelScope(deadline=anyio.current_time() + self._deadline):
            # If credentials must be renewed first, a failure of that must not put the row in doubt.
            credentials = await self._renewal.renewed()
            answer = (
                credentials
                if isinstance(credentials, NoAnswer)
                else await self._tried(operation, call(transmission, credentials), transmission)
            )
        if transmission.defect is not None:
            raise transmission.defect
        if not isinstance(answer, NoAnswer):
            self._unreached = ""
            if transmission.started:
                return answer
            # It was already in the connection before the request.
            answer = NoAnswer((UNASKED if clearance is None else WITHHELD,))
        if transmission.withheld:
            answer = NoAnswer((WITHHELD,))
        return replace(answer, started=transmission.started)

    async def _tried(
        self, operation: str, call: Awaitable[_Returned], transmission: Transmission
    ) -> _Returned | Answer:
        """Return the result of a call, or its failure as an answer.

        Failures before it left are named faults.
        """
        try:
            return await call
        except ClientError as error:
            if error.operation_name == operation:
                return refusal(error.response)
            return unready(error, self._setup)  # from another operation, for new credentials
        except (BotoCoreError, aiohttp.ClientError, OSError, RuntimeError, *_UNREADABLE) as error:
            if not transmission.started:
                return self._by_proxy(error, unsent_answer(error, self._setup))
            if isinstance(error, BotoCoreError | aiohttp.ClientError | OSError):
                return self._by_proxy(error, silence(error))
            if isinstance(error, _UNREADABLE):
                return unreadable(error)
            raise

    def _by_proxy(self, error: BaseException, answer: NoAnswer) -> NoAnswer:
        """If the proxy was unreachable, say so in the answer, and log once which one."""
        if not (proxy := unreached_proxy(error)):
            return answer
        if proxy != self._unreached:
            self._unreached = proxy
            setting = setting_of(self._client.meta.endpoint_url)
            _log.warning("proxy.unreachable", proxy=proxy, reason=answer.code, next=f"check {setting}")
        return replace(answer, exceptions=(*answer.exceptions, PROXY_UNREACHABLE))
