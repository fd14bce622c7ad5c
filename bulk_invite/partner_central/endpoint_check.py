"""Check the endpoint before anything is signed: name, connection, certificate and clock.

The check uses the same route as calls: endpoints of the configuration, proxies, and trusted authorities.
"""

from __future__ import annotations

import ssl
import time
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import aiohttp
import anyio

from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import EndpointError
from bulk_invite.partner_central.connection import Connection, unsigned
from bulk_invite.partner_central.proxy import NotConnected, is_of, port_of, setting_of
from bulk_invite.partner_central.responses import epoch_of
from bulk_invite.partner_central.transport import PartnerCentralSession, Transmission, under_way


@dataclass(frozen=True, slots=True)
class Reached:
    """The result of one unsigned request to an endpoint.

    url: without path and other possibly secret parts. address: what its name, or the proxy's, resolves to.
    proxy: its host and port, or "". protocol: of TLS, or "". certificate_ends: epoch seconds, None without
    TLS. round_trip: seconds. ahead: seconds by which the service's clock is ahead of ours (negative: behind),
    to half a second; None if unknown.
    """

    url: str
    address: str
    proxy: str
    protocol: str
    certificate_ends: float | None
    round_trip: float
    ahead: float | None


async def reach(connection: Connection, patience: float) -> Reached:
    """Request a page that does not exist. patience: seconds in total.

    Raises EndpointError with the step that failed, SenderError and SettingError for wrong AWS settings.
    """
    async with unsigned(connection) as (line, url):
        way = _way(url, line)
        with _told(way), anyio.fail_after(patience):
            return await _asked(way, line)


@dataclass(frozen=True, slots=True)
class _Route:
    """The route to the endpoint, with or without a proxy."""

    target: SplitResult
    proxy: SplitResult | None

    @property
    def near(self) -> str:
        """The host that we connect to."""
        return _shown(self.target) if self.proxy is None else f"the proxy {_shown(self.proxy)}"

    @property
    def near_setting(self) -> str:
        """The setting that names it."""
        return "--endpoint-url" if self.proxy is None else setting_of(self.target.geturl())

    def of(self, error: NotConnected) -> _Route:
        """The host that an error concerns, as a route of its own."""
        is_near = self.proxy is not None and is_of(self.proxy, error)
        return self if is_near else _Route(self.target, None)


def _way(url: str, line: PartnerCentralSession) -> _Route:
    target, proxy = urlsplit(url), line.proxy_for(url)
    if target.username is not None:
        raise EndpointError(
            "The endpoint URL contains a user, which makes signing impossible.",
            hint="Remove user and password from --endpoint-url: the credentials are those of AWS.",
        )
    return _Route(target, urlsplit(proxy) if proxy else None)


async def _asked(way: _Route, line: PartnerCentralSession) -> Reached:
    seen = list[_Standing]()

    async def look() -> None:
        seen.append(_Standing.of(transmission.transport))

    transmission = Transmission(Clearance(look, objection=lambda: ""))
    with under_way(transmission):
        answer = await line.get(f"{_shown(way.target)}/")
    (standing,) = seen
    took = time.monotonic() - standing.elapsed
    answer.close()
    date = epoch_of(answer.headers.get("Date", ""))
    return Reached(
        url=_shown(way.target),
        address=standing.address,
        proxy="" if way.proxy is None else f"{way.proxy.hostname}:{port_of(way.proxy)}",
        protocol=standing.protocol,
        certificate_ends=standing.certificate_ends,
        round_trip=took,
        # The header has whole seconds: on average the true time is half a second later.
        ahead=None if date is None else date + 0.5 - (standing.at + took / 2),
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """The connection right before the request. at: epoch seconds. elapsed: monotonic seconds."""

    at: float
    elapsed: float
    address: str
    protocol: str
    certificate_ends: float | None

    @classmethod
    def of(cls, transport: Transport | None) -> _Standing:
        if transport is None:
            raise AssertionError("the request has a connection")
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        ends = (transport.get_extra_info("peercert") or {}).get("notAfter")
        return cls(
            time.time(),
            time.monotonic(),
            address=str(transport.get_extra_info("peername")[0]),
            protocol="" if tls is None else tls.version() or "TLS",
            certificate_ends=float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None,
        )


def _shown(parts: SplitResult) -> str:
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


@contextmanager
def _told(way: _Route) -> Iterator[None]:
    """Translate errors; the first hop is at fault."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise _uncertified(way.of(error).near, error) from error
    except aiohttp.ClientConnectorSSLError as error:
        raise EndpointError(
            f"There is no TLS with {way.of(error).near}: {_reason(error)}.",
            hint=(
                f"Check http or https in {way.of(error).near_setting}, and any devices between here and "
                "there."
            ),
        ) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise EndpointError(
            f"The name of {way.of(error).near} cannot be resolved: {_reason(error)}.",
            hint=f"Check that this machine reaches a DNS server, and check {way.of(error).near_setting}.",
        ) from error
    except TimeoutError as error:
        raise EndpointError(
            f"{way.near} did not answer in time.", hint="Check the address, the route and the firewalls."
        ) from error
    except (OSError, aiohttp.ClientHttpProxyError) as error:
        raise EndpointError(
            f"There is no connection to {way.near}: {_reason(error)}.",
            hint="Check the address, and that the server is running and accepts connections.",
        ) from error
    except aiohttp.ClientError as error:
        raise EndpointError(
            f"The server at {way.near} does not speak HTTP: {type(error).__name__}.",
            hint=f"Check {way.near_setting}: host, port, and http or https.",
        ) from error


def _uncertified(whose: str, error: aiohttp.ClientConnectorCertificateError) -> EndpointError:
    cause = error.certificate_error
    reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
    return EndpointError(
        f"The certificate of {whose} is not accepted: {reason.rstrip('.')}.",
        hint=(
            "Check the name and the clock. Add further authorities, such as that of a TLS-inspecting proxy, "
            "with AWS_CA_BUNDLE, and those of an https proxy itself with proxy_ca_bundle in the profile."
        ),
    )


def _reason(error: OSError | aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answers {error.status} to CONNECT"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        return cause.reason or type(cause).__name__
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
