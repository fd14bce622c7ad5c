"""Partner Central through aioboto3: the only place that talks to AWS, and that knows its exceptions.

One session and one client for the life of the process. The SDK's own retries are off, because one permit has
to be one call; the shipped service model stands before botocore's, which does not know LeadInvitation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aioboto3
import aiohttp
import anyio
import orjson
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from bulk_invite import service_model
from bulk_invite.classify import CREDENTIALS_NOT_RENEWED, CREDENTIALS_REFUSED, classify
from bulk_invite.errors import SenderError
from bulk_invite.journal import Owner
from bulk_invite.outcome import Answer, Doubtful, NoAnswer, SenderRefused, Throttled, Unreachable
from bulk_invite.partner_central.answers import refusal, silence, success, text, unreadable

_log = structlog.get_logger()

_SERVICE: Final = "partnercentral-selling"

_CREATE: Final = "CreateEngagementInvitation"
_IDENTIFY: Final = "GetCallerIdentity"

_CONNECT_TIMEOUT: Final = 5.0
"""Seconds to reach the endpoint; less than a call's deadline, so that a dead endpoint is told from doubt."""

_SPARE_CONNECTIONS: Final = 2
"""Connections over the calls in flight: a call that has to wait for one is signed already and grows old."""

_USER_AGENT: Final = f"bulk-invite/{version('bulk-invite')} aiobotocore/{version('aiobotocore')}"

_TEMPORARY_KEY: Final = "ASIA"
"""How the ids of temporary access keys begin (AWS: "Unique identifiers" in the IAM user guide)."""

_STS: Final = AioConfig(
    connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"}
)

_UNREADABLE: Final = (
    ResponseParserError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
"""What the SDK's parsers raise on a body that they did not expect, such as a page of a proxy."""


class _WithoutRedirects(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
    """aiohttp follows redirects, with the body, to wherever they lead; the SDK gives no way to say no."""

    async def _get_session(self, proxy_url: str | None) -> _NoRedirects:
        return _NoRedirects(await super()._get_session(proxy_url))


@dataclass(frozen=True, slots=True)
class _NoRedirects:
    session: aiohttp.ClientSession

    async def request(self, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
        return await self.session.request(*arguments, allow_redirects=False, **options)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the service. model: another service-2.json, deadline: seconds for one call, all in all."""

    region: str
    profile: str | None
    endpoint_url: str | None
    model: Path | None
    in_flight: int
    deadline: float


class PartnerCentral:
    """Use `connect`."""

    def __init__(self, client: Any, sts: Any, key_hash: str, connection: Connection) -> None:
        self._client = client
        self._sts = sts
        self._key_hash = key_hash
        self._connection = connection

    async def create(self, body: bytes) -> Answer:
        """Call CreateEngagementInvitation once with the frozen request `body` (JSON).

        Whatever the service or the network does is an answer; nothing of that is raised.
        """
        response: Mapping[str, Any] | None = None
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._connection.deadline):
                response = await self._client.create_engagement_invitation(**orjson.loads(body))
        except ClientError as error:
            return _answer(error, _CREATE)
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            return silence(error)
        except _UNREADABLE as error:
            return unreadable(error)
        # The scope swallows the cancellation that its own deadline brought about.
        return NoAnswer((TimeoutError.__name__,)) if response is None else success(response)

    async def identify(self) -> Owner | Unreachable:
        """Ask STS who we are; where it does not answer, the access key's hash stands in for the account.

        Unreachable only where everything goes to one endpoint and that is down. Raises SenderError when the
        credentials are refused.
        """
        try:
            identity = await self._sts.get_caller_identity()
        except ClientError as error:
            answer: Answer = _answer(error, _IDENTIFY)
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            answer = silence(error)
        except _UNREADABLE as error:
            answer = unreadable(error)
        else:
            if account := text(identity.get("Account")):
                return Owner(account, self._key_hash)
            answer = NoAnswer(("AnswerWithoutAccount",))
        verdict = classify(answer)
        if isinstance(verdict, SenderRefused):
            raise SenderError(
                f"The credentials are not accepted: {verdict.code}.",
                hint="Renew them (or set the clock right), then run the same command; no row was touched.",
            )
        if isinstance(verdict, Unreachable) and self._connection.endpoint_url:
            return verdict
        stand_in = "hash of the access key" if self._key_hash else "none, the key is a temporary one"
        _log.warning("sender.account_unknown", reason=answer.code, stand_in=stand_in)
        return Owner("", self._key_hash)


@asynccontextmanager
async def connect(connection: Connection) -> AsyncIterator[PartnerCentral]:
    """Open the session and its clients; nothing is sent to the service yet.

    Raises SenderError when there are no credentials or the profile does not exist.
    """
    async with AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(profile_name=connection.profile, region_name=connection.region)
            folder = stack.enter_context(_loader_folder(connection.model))
            loader = session._session.get_component("data_loader")  # noqa: SLF001 - there is no public way in
            loader.search_paths.insert(0, str(folder))
            credentials: Any = await session.get_credentials()
            if credentials is None:
                raise _no_credentials("none were found")
            key = (await credentials.get_frozen_credentials()).access_key
            # A temporary key is another one tomorrow: as a mark of who we are it would lock us out.
            key_hash = "" if key.startswith(_TEMPORARY_KEY) else sha256(key.encode()).hexdigest()
            client = await stack.enter_async_context(
                session.client(_SERVICE, endpoint_url=connection.endpoint_url, config=_config(connection))
            )
            _take_retries_away(client)
            sts = await stack.enter_async_context(
                session.client("sts", endpoint_url=connection.endpoint_url, config=_STS)
            )
        except (BotoCoreError, ClientError) as error:
            raise _no_credentials(str(error)) from error
        yield PartnerCentral(client, sts, key_hash, connection)


@contextmanager
def _loader_folder(model: Path | None) -> Iterator[Path]:
    """The folder in botocore's layout that holds the service model to send by."""
    if model is None:
        yield service_model.FOLDER
        return
    with TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / service_model.SHIPPED.relative_to(service_model.FOLDER)
        copy.parent.mkdir(parents=True)
        copy.write_bytes(model.read_bytes())
        yield Path(folder)


def _take_retries_away(client: Any) -> None:
    """With a single attempt allowed the SDK still weighs every answer for a retry: that is for nothing."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")


def _config(connection: Connection) -> AioConfig:
    return AioConfig(
        # Both are pinned: the SDK's defaults are five attempts, and a mode that the environment can change.
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connection.in_flight + _SPARE_CONNECTIONS,
        connect_timeout=min(_CONNECT_TIMEOUT, connection.deadline / 2),
        read_timeout=connection.deadline,
        # Rows were validated against the same model, more strictly.
        parameter_validation=False,
        tcp_keepalive=True,
        http_session_cls=_WithoutRedirects,
        # The SDK builds its own anew twice for every call, a tenth of what a call costs.
        user_agent=_USER_AGENT,
    )


def _answer(error: ClientError, operation: str) -> Answer:
    """What an error answer says; that of another operation comes from renewing the credentials in between."""
    answer = refusal(error.response)
    if error.operation_name == operation:
        return answer
    if isinstance(classify(answer), Throttled | Doubtful):
        return NoAnswer((type(error).__name__, CREDENTIALS_NOT_RENEWED))
    return NoAnswer((type(error).__name__, CREDENTIALS_REFUSED))


def _no_credentials(reason: str) -> SenderError:
    return SenderError(
        f"There are no AWS credentials to send with: {reason}.",
        hint="Set AWS_PROFILE or --profile, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role "
        "is attached; no row was touched.",
    )
