"""CreateEngagementInvitation without what the SDK does anew for each call although it never changes.

This is the only file that relies on parts of botocore and aiobotocore that are not public. What it relies on
is checked when the client is made; if anything differs, calls go the plain way, and one warning says why.

The SDK makes the first request for each set of credentials itself: endpoint rules, serializer, listeners,
signer, proxy. It is recorded where aiohttp would begin, and becomes a form (`request_form`) only if the form
gives the very same headers, signature included. The calls after it fill in the form, and go through the
client's own aiohttp session and connection pool. Answers other than a plain success, and errors of aiohttp,
are read by the SDK's own parser and translation. This takes 0.1 ms of CPU in place of 0.4.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn
from uuid import uuid4

import aiohttp
import anyio
import orjson
import structlog
from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, HTTPClientError
from botocore.parsers import ResponseParserError

from bulk_invite.partner_central.plain_call import CREATE, CreateCall, PlainCall
from bulk_invite.partner_central.request_form import (
    MOMENT,
    RequestForm,
    UnfamiliarRequestError,
    is_signed_by,
    verified_form,
)
from bulk_invite.partner_central.transport import (
    Failed,
    HttpRequest,
    PartnerCentralSession,
    Recording,
    Transmission,
    under_way,
)

_log = structlog.get_logger()

_EVENTS: Final = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "response-received",
    "before-parse",
    "needs-retry",
    "after-call",
    "after-call-error",
)
"""All events of a call."""

_LISTENERS: Final = frozenset(
    {
        # They change the request, for all calls in the same way: the recording shows how.
        "botocore.handlers._handle_request_validation_mode_member",
        "botocore.handlers.add_recursion_detection_header",
        "botocore.handlers.add_retry_headers",
        "botocore.handlers.inject_api_version_header_if_needed",
        "botocore.handlers.set_operation_specific_signer",
        "botocore.handlers._set_auth_scheme_preference_signer",
        "botocore.useragent.UserAgentString.rebuild_and_replace_user_agent_handler",
        "aiobotocore.signers.AioRequestSigner.handler",
        "bulk_invite.partner_central.plain_call.freeze_body",
        # They have nothing to do: a request has its token, and there are no retries.
        "botocore.handlers.generate_idempotent_uuid",
        "botocore.retries.standard.RetryQuotaChecker.release_retry_quota",
    }
)
"""What may listen to them. Others, such as a plugin's, must be called for each request or answer."""

_PER_REQUEST: Final = (
    "context_parameters",
    "endpoint",
    "http_checksum",
    "operation_context_parameters",
    "request_compression",
)
"""Traits of an operation by which the endpoint, the headers or the body depend on the request."""

_OK: Final = 200
_REFUSED: Final = 300
_REQUEST_ID: Final = "x-amzn-requestid"

_SAMPLE: Final = b'{"Id": "engi-1", "Arn": "arn:aws:any"}'
_REFUSAL: Final = b'{"__type": "ConflictException"}'


async def create_call(client: Any, parsers: Any) -> CreateCall:
    """The cheapest way of a call that the SDK allows. parsers: the session's response_parser_factory."""
    plain = PlainCall(client)
    try:
        prepared = PreparedCall(plain, client, parsers)
        await prepared.verify()
    except UnfamiliarRequestError as error:
        _warn(str(error))
    except (AttributeError, TypeError, LookupError) as error:  # what a part that is missing raises
        _warn(f"it lacks a part: {error}")
    else:
        return prepared
    return plain


def _warn(reason: str) -> None:
    _log.warning(
        "sender.calls_not_prepared",
        reason=f"The AWS SDK is not as expected: {reason}.",
        cost="a call takes 0.3 ms more CPU",
        next="nothing has to be done; install the versions of requirements.lock to be faster",
    )


class PreparedCall:
    """Implements `CreateCall`."""

    def __init__(self, plain: PlainCall, client: Any, parsers: Any) -> None:
        self._plain = plain
        self._events = client.meta.events
        self._service = client.meta.service_model
        self._operation = self._service.operation_model(CREATE)
        self._parser = parsers.create_parser(self._service.resolved_protocol)
        self._http = client._endpoint.http_session  # noqa: SLF001 - there is no public access
        self._second = 0
        self._moment = ""
        self._form: RequestForm | None = None
        self._is_unfamiliar = False
        self._lock = anyio.Lock()

    async def __call__(self, body: bytes, transmission: Transmission, credentials: Any) -> Mapping[str, Any]:
        form = self._form
        if form is None or form.credentials != credentials:
            form = await self._formed(body, credentials)
        if form is None:
            return await self._plain(body, transmission, credentials)
        if (second := int(time.time())) != self._second:
            self._second, self._moment = second, time.strftime(MOMENT, time.gmtime(second))
        headers = form.headers(body, self._moment, str(uuid4()))
        try:
            response = await form.request.sent(transmission, headers, body)
            answer = await response.read()
        except Exception as error:  # noqa: BLE001 - raised as the SDK raises it
            await self._raise_translated(error, str(form.request.url))
        if response.status == _OK:
            created = _created(answer, response.response.headers.get(_REQUEST_ID))
            if created is not None:
                return created
        received = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
        return await self._parsed(response.status, received, answer)

    async def _formed(self, body: bytes, credentials: Any) -> RequestForm | None:
        """A form for these credentials; None if the call has to go the plain way.

        Raises what the plain call raises before it begins.
        """
        async with self._lock:
            if self._is_unfamiliar or (self._form is not None and self._form.credentials == credentials):
                return self._form
            try:
                request = await self._recorded(body)
                if is_signed_by(credentials, request):  # else they were renewed in between
                    self._form = verified_form(request, body, credentials)
                    return self._form
            except UnfamiliarRequestError as error:
                self._is_unfamiliar, self._form = True, None
                _warn(str(error))
            return None

    async def _recorded(self, body: bytes) -> HttpRequest:
        """What the SDK would pass to aiohttp for a call."""
        recording = Recording()
        try:
            await self._plain(body, recording, None)
        except HTTPClientError:
            if recording.request is None:
                raise
        if recording.request is None:
            raise UnfamiliarRequestError("it does not send")
        return recording.request

    async def _raise_translated(self, error: Exception, url: str) -> NoReturn:
        """Raise the SDK's exception for one of aiohttp."""
        with under_way(Failed(error)):
            await self._http.send(AWSPreparedRequest("POST", url, {}, b"", stream_output=False))
        raise error

    async def _parsed(self, status: int, headers: Mapping[str, str], answer: bytes) -> Mapping[str, Any]:
        """Read an answer with the SDK's parser. Raises ClientError for refusals."""
        context = {"operation_name": CREATE}
        response = {"status_code": status, "headers": headers, "body": answer, "context": context}
        parsed = await self._parser.parse(response, self._operation.output_shape)
        if not isinstance(parsed, dict):
            raise ResponseParserError
        if status < _REFUSED:
            return parsed
        code = parsed.get("Error", {}).get("Code")
        shape = None if code is None else self._service.shape_for_error_code(code)
        if shape is not None:
            parsed |= await self._parser.parse(response, shape)
        raise ClientError(parsed, CREATE)

    async def verify(self) -> None:
        """Check what this relies on.

        Raises UnfamiliarRequestError; AttributeError, TypeError or LookupError for a part that is missing.
        """
        search = self._events._emitter._handlers.prefix_search  # noqa: SLF001 - there is no public access
        for event in _EVENTS:
            for listener in search(f"{event}.{self._service.service_id.hyphenize()}.{CREATE}"):
                name = _name_of(listener)
                if name not in _LISTENERS:
                    raise UnfamiliarRequestError(f"{name} listens to {event}")
        for trait in _PER_REQUEST:
            if getattr(self._operation, trait):
                raise UnfamiliarRequestError(f"{CREATE} has the trait {trait}")
        # Otherwise a recording would be sent.
        is_ours = isinstance(self._http, PartnerCentralSession)
        if not is_ours or "_get_session" not in AIOHTTPSession.send.__code__.co_names:
            raise UnfamiliarRequestError("it makes connections otherwise")
        await self._verify_translation()
        await self._verify_parser()

    async def _verify_translation(self) -> None:
        try:
            await self._raise_translated(aiohttp.ServerDisconnectedError(), "http://localhost/")
        except ConnectionClosedError:
            return
        except (aiohttp.ClientError, BotoCoreError):
            raise UnfamiliarRequestError("it translates errors otherwise") from None

    async def _verify_parser(self) -> None:
        created: dict[str, Any] = {}
        code = ""
        with suppress(ResponseParserError):
            created = dict(await self._parsed(_OK, {_REQUEST_ID: "0a1b"}, _SAMPLE))
            created["ResponseMetadata"].pop("HTTPHeaders", None)
            try:
                await self._parsed(_REFUSED + 100, {}, _REFUSAL)
            except ClientError as error:
                code = error.response["Error"]["Code"]
        if code != "ConflictException" or created != _created(_SAMPLE, "0a1b"):
            raise UnfamiliarRequestError("it reads answers otherwise")


def _name_of(listener: object) -> str:
    """Of a function or a method, with its module; of the class of another object."""
    named = listener if hasattr(listener, "__qualname__") else type(listener)
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"


def _created(answer: bytes, request_id: str | None) -> Mapping[str, Any] | None:
    """What the SDK's parser makes of a plain success; None for anything else."""
    try:
        content = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict):
        return None
    metadata = {"HTTPStatusCode": _OK, "RequestId": request_id}
    return {"Id": content.get("Id"), "Arn": content.get("Arn"), "ResponseMetadata": metadata}
