"""The HTTP of every AWS call: TLS is verified, redirects are not followed, and clearance comes first.

A call is signed and waits for a connection, for TLS, for a proxy's tunnel; only then are its bytes written.
At that point its clearance is renewed and then checked: between the check and the system call that takes the
first bytes, nothing else in this program runs. aiohttp holds the headers back until the body is written, so
withholding the body withholds the whole request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_writer import StreamWriter
from yarl import URL

from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.partner_central.bounded_body import BoundedResponse
from bulk_invite.partner_central.tls import checked


@dataclass(slots=True)
class Transmission:
    """One call in progress. started: its bytes may have left. withheld: clearance was not given.

    clearance: None for a call that changes nothing. transport: the connection, once it is ready. defect: an
    exception of its clearance.
    """

    clearance: Clearance | None
    started: bool = False
    withheld: bool = False
    transport: asyncio.Transport | None = None
    defect: Exception | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What the SDK passes to aiohttp for a call. session: to be used for it. options: the proxy."""

    session: aiohttp.ClientSession
    method: str
    url: URL
    headers: Mapping[str, str] = field(repr=False)
    data: bytes = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)

    async def sent(
        self, transmission: Transmission | None, headers: Mapping[str, str], data: bytes
    ) -> BoundedResponse:
        """Send it with these headers and this body.

        aiohttp follows redirects, with the body, anywhere; the SDK has no option against it.
        """
        body = data if transmission is None else _Body(data, transmission)
        return BoundedResponse(
            await self.session.request(
                self.method, self.url, headers=headers, data=body, allow_redirects=False, **self.options
            )
        )


@dataclass(slots=True)
class Recording:
    """A call that ends where aiohttp would begin: nothing is connected or sent."""

    request: HttpRequest | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that ends with an error of aiohttp before it has begun, for the SDK to translate that."""

    error: Exception


class RecordedError(Exception):
    """Ends a recording."""


_under_way: ContextVar[Transmission | Recording | Failed] = ContextVar("transmission")


@contextmanager
def under_way(call: Transmission | Recording | Failed) -> Iterator[None]:
    """The Partner Central call made in this block; calls to other services are exempt."""
    token = _under_way.set(call)
    try:
        yield
    finally:
        _under_way.reset(token)


class CheckedSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """The SDK's connections, with TLS always verified."""

    def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
        certificate = (self._cert_file, self._key_file) if self._key_file else self._cert_file
        service, proxy = checked(self._verify, certificate=certificate), None
        if proxy_url is not None and proxy_url.startswith("https:"):
            settings = self._proxy_config.settings
            proxy = checked(
                self._verify,
                settings.get("proxy_ca_bundle"),
                certificate=settings.get("proxy_client_cert"),
            )
        return _Connector(service, proxy, limit=self._max_pool_connections, **self._connector_args)

    async def _get_session(self, proxy_url: str | None) -> _Requests:
        return _Requests(await super()._get_session(proxy_url))


class PartnerCentralSession(CheckedSession):
    """For calls that are `under_way`."""

    async def _get_session(self, proxy_url: str | None) -> _Requests:
        call = _under_way.get()
        if isinstance(call, Failed):
            raise call.error
        return _Requests((await super()._get_session(proxy_url)).session, call)

    def proxy_for(self, url: str) -> str | None:
        proxy: str | None = self._proxy_config.proxy_url_for(url)
        return proxy

    async def get(self, url: str) -> aiohttp.ClientResponse:
        """Request a page, unsigned, over the route of calls. Raises aiohttp's errors and OSError."""
        proxy, headers = self.proxy_for(url), self._proxy_config.proxy_headers_for(url)
        requests = await self._get_session(proxy)
        answer = await requests.request("GET", URL(url), data=b"", proxy=proxy, proxy_headers=headers)
        return answer.response


@dataclass(frozen=True, slots=True)
class _Requests:
    """What the SDK uses of aiohttp's session."""

    session: aiohttp.ClientSession
    call: Transmission | Recording | None = None

    async def request(self, method: str, url: URL, *, data: bytes, **options: Any) -> BoundedResponse:
        headers = options.pop("headers", {})
        request = HttpRequest(self.session, method, url, headers, data, options)
        if isinstance(self.call, Recording):
            self.call.request = request
            raise RecordedError
        return await request.sent(self.call, headers, data)


class _Connector(aiohttp.TCPConnector):
    """An https proxy has its own authorities: they must not vouch for the service."""

    def __init__(self, service: SSLContext, proxy: SSLContext | None, **options: Any) -> None:
        super().__init__(ssl=service, **options)
        self._of_proxy = proxy

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> SSLContext | None:
        # The request for a tunnel goes to the proxy directly.
        if self._of_proxy is not None and req.proxy is None:
            return self._of_proxy
        return super()._get_ssl_context(req)


class _Withheld(Exception):  # noqa: N818 - not an error: the result of the check
    """Makes aiohttp close the connection, with nothing written."""


class _Body(aiohttp.BytesPayload):
    """The body of a request, which decides whether any of it leaves."""

    def __init__(self, body: bytes, transmission: Transmission) -> None:
        super().__init__(body)
        self._transmission = transmission

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self._start(writer)
        await super().write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self._start(writer)
        await super().write_with_length(writer, content_length)

    async def _start(self, writer: AbstractStreamWriter) -> None:
        """Raise if nothing may or can be written any more. Nothing waits after the final check."""
        transmission = self._transmission
        transmission.transport = _standing(writer)
        if transmission.clearance is not None:
            # Clear it once renewed: if the call's time ends before that, the service was not the slow one.
            transmission.withheld = True
            transmission.withheld = not await self._is_cleared(transmission.clearance)
        if transmission.withheld:
            raise _Withheld
        _standing(writer)
        transmission.started = True

    async def _is_cleared(self, clearance: Clearance) -> bool:
        try:
            await clearance.renew()
            return clearance.holds()
        except CheckpointError:  # the caller meets it at the next commit
            return False
        except Exception as error:
            # aiohttp would turn it into a connection error.
            self._transmission.defect = error
            raise


def _standing(writer: AbstractStreamWriter) -> asyncio.Transport:
    """The open connection. Raises ClientConnectionResetError if it is closed, or has received something.

    What it has received before the request is no answer to it. On Python 3.12 and newer aiohttp writes the
    request before it reads, and would take that for the answer.
    """
    protocol = writer.protocol if isinstance(writer, StreamWriter) else None
    transport = None if protocol is None else protocol.transport
    if transport is None or transport.is_closing() or not isinstance(protocol, ResponseHandler):
        raise aiohttp.ClientConnectionResetError("The connection is closed.")
    if protocol.should_close:
        raise aiohttp.ClientConnectionResetError("The connection has received bytes.")
    return transport
