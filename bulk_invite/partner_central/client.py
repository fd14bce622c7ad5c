"""Partner Central as the flow uses it: the only place that calls AWS, and that knows its exceptions.

Whatever the service or the network does to a call is an answer; nothing of that is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Final, TypeVar

import aiohttp
import anyio
import orjson
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from bulk_invite.domain.classify import CREDENTIALS_REFUSED, PROXY_UNREACHABLE, UNASKED, WITHHELD, classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import SenderError
from bulk_invite.domain.findings import Content, Page
from bulk_invite.domain.records import Owner
from bulk_invite.domain.sender_fault import Fault
from bulk_invite.domain.verdicts import (
    Answer,
    NoAnswer,
    SenderRefused,
    Unreachable,
)
from bulk_invite.partner_central.aws_settings import Setup
from bulk_invite.partner_central.credential_sources import WORDS
from bulk_invite.partner_central.credentials_origin import Provenance, provenance_of
from bulk_invite.partner_central.masking import Vocabulary, censored, without_words
from bulk_invite.partner_central.preflight import fault_of_keys
from bulk_invite.partner_central.proxy import setting_of, unreached_proxy
from bulk_invite.partner_central.responses import (
    content,
    identifier,
    page,
    refusal,
    silence,
    success,
    unreadable,
)
from bulk_invite.partner_central.sender_faults import kept_back, unready
from bulk_invite.partner_central.slow_start import told
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

    deadline: seconds for one call. has_one_endpoint: STS is asked there too. vocabulary: of the service
    model.
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
        setup: Setup,
        vocabulary: Vocabulary,
    ) -> None:
        self._client = client
        self._sts = sts
        self._credentials = credentials
        self._key_hash = key_hash
        self._catalog = catalog
        self._deadline = deadline
        self._has_one_endpoint = has_one_endpoint
        self._setup = setup
        self._waiting = False
        self._taken: object = None
        self._said = ""
        self._unreached = ""
        self._vocabulary = vocabulary

    async def ready(self) -> NoAnswer | None:
        """Renew the credentials where they are about to expire; why that failed, if it did.

        Within a call it would use up the call's time, and its failure could not be told from doubt.
        """
        place = str(self._credentials.method)
        try:
            with (
                nullcontext() if self._waiting else self._told(f"credentials from {WORDS.get(place, place)}")
            ):
                frozen = await self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing has left, and it is told as a fault
            answer = unready(error, self._setup, place)
            self._say(answer.fault)
            return answer
        if frozen is self._taken:
            return None
        if (fault := fault_of_keys(frozen, place)) is not None:
            return NoAnswer((CREDENTIALS_REFUSED,), started=False, fault=fault)
        self._taken, self._said = frozen, ""
        return None

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        """Call CreateEngagementInvitation once with the frozen request `body` (JSON).

        clearance: renewed when the connection stands and asked right before the first byte; where it does
        not hold, or not in time, nothing leaves, and the answer is `WITHHELD`. What else it raises than
        CheckpointError is raised.
        """
        request = orjson.loads(body)
        response = await self._called(
            _CREATE, lambda: self._client.create_engagement_invitation(**request), clearance
        )
        answer = success(response) if isinstance(response, Mapping) else response
        return censored(answer, request, self._vocabulary)

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
        return page(response) if isinstance(response, Mapping) else self._kept(response)

    async def list_one(self) -> Page | Answer:
        """Any one of the invitations that we have sent: to see whether they may be listed."""
        request = {"Catalog": self._catalog, "ParticipantType": "SENDER", "MaxResults": 1}
        response = await self._called(_LIST, lambda: self._client.list_engagement_invitations(**request))
        return page(response) if isinstance(response, Mapping) else self._kept(response)

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        """What an invitation says."""
        request = {"Catalog": self._catalog, "Identifier": invitation_id}
        response = await self._called(_GET, lambda: self._client.get_engagement_invitation(**request))
        return content(response, invitation_id) if isinstance(response, Mapping) else self._kept(response)

    async def identify(self) -> Owner | Unreachable:
        """Ask STS who we are; where it does not answer, the access key's hash stands in for the account.

        Unreachable only where everything goes to one endpoint and that is down. Raises SenderError when the
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
                hint="Renew them (or set the clock right), then run the same command; no row was touched.",
            )
        if isinstance(verdict, Unreachable) and self._has_one_endpoint:
            return verdict
        fallback = "hash of the access key" if self._key_hash else "none: the access key is temporary"
        _log.warning("sender.account_unknown", reason=answer.code, fallback=fallback)
        return self.owner("")

    async def account(self) -> str | Answer:
        """The account by STS, or the answer that does not tell it."""
        if (unready := await self.ready()) is not None:
            return unready
        with told(lambda: "STS, for the account that the credentials are of"):
            # Whether it has left makes no difference: it changes nothing.
            transmission = Transmission(None, started=True)
            identity = await self._tried(_IDENTIFY, self._sts.get_caller_identity, transmission)
        if isinstance(identity, Mapping):
            return identifier(identity.get("Account")) or NoAnswer(("AnswerWithoutAccount",))
        return self._kept(identity)

    def owner(self, account: str) -> Owner:
        """Who we are, where STS says that account ("": it does not tell)."""
        return Owner(account, self._key_hash)

    def _kept(self, answer: Answer) -> Answer:
        """Of an answer that is about no row, or about many."""
        return without_words(answer, self._vocabulary)

    @property
    def provenance(self) -> Provenance:
        return provenance_of(self._credentials)

    def _say(self, fault: Fault | None) -> None:
        """Tell what is waited for, once; what ends a run is told by its end."""
        if fault is not None and fault.is_transient and fault.problem != self._said:
            self._said = fault.problem
            _log.warning("sender.not_ready", reason=fault.problem, next=fault.remedy)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """For the first of all who wait for the same."""
        self._waiting = True
        try:
            with told(lambda: what):
                yield
        finally:
            self._waiting = False

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
        with anyio.CancelScope(deadline=anyio.current_time() + self._deadline):
            # Where credentials have to be renewed for it, that must not be told as the call's own doubt.
            unready = await self.ready()
            answer = await self._tried(operation, call, transmission) if unready is None else unready
        if transmission.defect is not None:
            raise transmission.defect
        if not isinstance(answer, NoAnswer):
            self._unreached = ""
            if transmission.started:
                return answer
            # It lay in the connection already.
            answer = NoAnswer((UNASKED if clearance is None else WITHHELD,))
        if transmission.withheld:
            answer = NoAnswer((WITHHELD,))
        return replace(answer, started=transmission.started)

    async def _tried(
        self, operation: str, call: Callable[[], Awaitable[_Returned]], transmission: Transmission
    ) -> _Returned | Answer:
        """What a call returns, or what became of it. What kept it from leaving is a fault that has a name."""
        try:
            with under_way(transmission):
                return await call()
        except ClientError as error:
            if error.operation_name == operation:
                return refusal(error.response)
            return unready(error, self._setup)  # of another one, for new credentials
        except (BotoCoreError, aiohttp.ClientError, OSError, RuntimeError, *_UNREADABLE) as error:
            if not transmission.started:
                return self._by_proxy(error, kept_back(error, self._setup))
            if isinstance(error, BotoCoreError | aiohttp.ClientError | OSError):
                return self._by_proxy(error, silence(error))
            if isinstance(error, _UNREADABLE):
                return unreadable(error)
            raise

    def _by_proxy(self, error: BaseException, answer: NoAnswer) -> NoAnswer:
        """Where it was the proxy that was not reached, the answer says so; which one is told once."""
        if not (proxy := unreached_proxy(error)):
            return answer
        if proxy != self._unreached:
            self._unreached = proxy
            setting = setting_of(self._client.meta.endpoint_url)
            _log.warning("proxy.unreachable", proxy=proxy, reason=answer.code, next=f"check {setting}")
        return replace(answer, exceptions=(*answer.exceptions, PROXY_UNREACHABLE))
