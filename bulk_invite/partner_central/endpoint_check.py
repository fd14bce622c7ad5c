"""The endpoint before anything is signed: its name, its door, its certificate and its clock.

It is asked over the very line that calls go by: endpoints of the configuration, proxies, and the authorities
that are trusted are the sender's.
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
    """What one unsigned question to an endpoint has shown.

    url: without a path and whatever else of an address may be secret. address: what its name, or that of the
    proxy, stands for. proxy: its host and port, "" where there is none. protocol: of TLS, "" without it.
    certificate_ends: epoch seconds, None without TLS. round_trip: seconds. ahead: seconds by which the clock
    of the service is ahead of ours (less than 0: behind), to half a second; None where it does not tell.
    """

    url: str
    address: str
    proxy: str
    protocol: str
    certificate_ends: float | None
    round_trip: float
    ahead: float | None


async def reach(connection: Connection, patience: float) -> Reached:
    """Ask the endpoint for a page that it does not have. patience: seconds for all.

    Raises EndpointError with the step that failed, SenderError and SettingError for what is wrong
    with AWS settings.
    """
    async with unsigned(connection) as (line, url):
        way = _way(url, line)
        with _told(way), anyio.fail_after(patience):
            return await _asked(way, line)


@dataclass(frozen=True, slots=True)
class _Way:
    """To the endpoint, by a proxy or without one."""

    target: SplitResult
    proxy: SplitResult | None

    @property
    def near(self) -> str:
        """Whom we connect to."""
        return _shown(self.target) if self.proxy is None else f"the proxy {_shown(self.proxy)}"

    @property
    def near_setting(self) -> str:
        """What names it."""
        return "--endpoint-url" if self.proxy is None else setting_of(self.target.geturl())

    def of(self, error: NotConnected) -> _Way:
        """Of the two, the one that an error is about: as if there were no other."""
        is_near = self.proxy is not None and is_of(self.proxy, error)
        return self if is_near else _Way(self.target, None)


def _way(url: str, line: PartnerCentralSession) -> _Way:
    target, proxy = urlsplit(url), line.proxy_for(url)
    if target.username is not None:
        raise EndpointError(
            "The address of the endpoint has a user in it, and no call can be signed with that.",
            hint="Take user and password out of --endpoint-url: the credentials are AWS's.",
        )
    return _Way(target, urlsplit(proxy) if proxy else None)


async def _asked(way: _Way, line: PartnerCentralSession) -> Reached:
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
        # The header has whole seconds: on average it was half a second later than it says.
        ahead=None if date is None else date + 0.5 - (standing.at + took / 2),
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """A connection right before the question. at: epoch seconds, elapsed: seconds that nobody can set."""

    at: float
    elapsed: float
    address: str
    protocol: str
    certificate_ends: float | None

    @classmethod
    def of(cls, transport: Transport | None) -> _Standing:
        if transport is None:
            raise AssertionError("the question is asked over a connection")
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
def _told(way: _Way) -> Iterator[None]:
    """Errors as sentences; whoever is asked first is to blame."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise _uncertified(way.of(error).near, error) from error
    except aiohttp.ClientConnectorSSLError as error:
        raise EndpointError(
            f"There is no TLS with {way.of(error).near}: {_reason(error)}.",
            hint=f"Check http or https in {way.of(error).near_setting}, and what stands between here and "
            "there.",
        ) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise EndpointError(
            f"The name of {way.of(error).near} is not known here: {_reason(error)}.",
            hint="Check that this machine reaches a DNS server, and what stands in "
            f"{way.of(error).near_setting}.",
        ) from error
    except TimeoutError as error:
        raise EndpointError(
            f"No answer of {way.near} in time.", hint="Check the address, the route and the firewalls."
        ) from error
    except (OSError, aiohttp.ClientHttpProxyError) as error:
        raise EndpointError(
            f"There is no connection to {way.near}: {_reason(error)}.",
            hint="Check the address, and that it runs and lets you in.",
        ) from error
    except aiohttp.ClientError as error:
        raise EndpointError(
            f"What answers at {way.near} does not speak HTTP: {type(error).__name__}.",
            hint=f"Check {way.near_setting}: host, port, and http or https.",
        ) from error


def _uncertified(whose: str, error: aiohttp.ClientConnectorCertificateError) -> EndpointError:
    cause = error.certificate_error
    reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
    return EndpointError(
        f"The certificate of {whose} is not accepted: {reason.rstrip('.')}.",
        hint="Check the name and the clock; name further authorities, such as a proxy's that opens TLS, with "
        "AWS_CA_BUNDLE, and those of an https proxy itself with proxy_ca_bundle in the profile.",
    )


def _reason(error: OSError | aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answers {error.status} to CONNECT"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        return cause.reason or type(cause).__name__
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
