"""The endpoint before anything is signed: its name, its door, its certificate and its clock.

What the SDK goes by is gone by here too: endpoints of its configuration, proxies of the environment, and the
authorities that it trusts.
"""

from __future__ import annotations

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from botocore.exceptions import BotoCoreError
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies

from bulk_invite.errors import EndpointError
from bulk_invite.partner_central.answers import epoch_of
from bulk_invite.partner_central.connection import SERVICE, Connection

_PORTS: Final = {"http": 80, "https": 443}

_NOBODY: Final = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody"}
"""Without any, the SDK would look for credentials in all places, only to say where the service is."""


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


def reach(connection: Connection, patience: float) -> Reached:
    """Ask the endpoint for a page that it does not have. patience: seconds for each step.

    Raises EndpointError with the step that failed.
    """
    url, authorities = _located(connection)
    way = _way(url)
    address = _resolved(way.near)
    with _told(way), closing(_line(way, authorities, patience)) as line:
        line.connect()
        protocol, ends = _certificate(line.sock)
        answer, asked, took = _asked(line, way)
    date = epoch_of(answer.getheader("Date", ""))
    return Reached(
        url=_shown(way.target),
        address=address,
        proxy="" if way.proxy is None else f"{way.proxy.hostname}:{_port(way.proxy)}",
        protocol=protocol,
        certificate_ends=ends,
        round_trip=took,
        # The header has whole seconds: on average it was half a second later than it says.
        ahead=None if date is None else date + 0.5 - (asked + took / 2),
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """To the endpoint, by a proxy or without one."""

    target: SplitResult
    proxy: SplitResult | None

    @property
    def near(self) -> SplitResult:
        """Whom we connect to."""
        return self.proxy or self.target


def _way(url: str) -> _Way:
    target = urlsplit(url)
    if target.username is not None:
        raise EndpointError(
            "The address of the endpoint has a user in it, and no call can be signed with that.",
            hint="Take user and password out of --endpoint-url: the credentials are AWS's.",
        )
    proxy = ProxyConfiguration(get_environ_proxies(url)).proxy_url_for(url)
    return _Way(target, urlsplit(proxy) if proxy else None)


def _located(connection: Connection) -> tuple[str, str]:
    """The URL that calls go to, and the file with the authorities that are trusted."""
    try:
        session: Any = Session(profile=connection.profile)
        authorities = str(get_cert_path(session.get_config_variable("ca_bundle") or True))
        if connection.endpoint_url is not None:
            return connection.endpoint_url, authorities
        client = session.create_client(SERVICE, connection.region, **_NOBODY)
    except BotoCoreError as error:
        raise EndpointError(
            f"There is no telling where the endpoint is: {error}.",
            hint="Check --region, --profile and the AWS configuration.",
        ) from error
    # What the client itself says of its endpoint is not what the rules of the service make of it.
    members = {"Catalog": connection.catalog, "ParticipantType": "SENDER"}
    return str(client.generate_presigned_url("list_engagement_invitations", Params=members)), authorities


def _resolved(near: SplitResult) -> str:
    name = near.hostname or ""
    try:
        found = socket.getaddrinfo(name, _port(near), type=socket.SOCK_STREAM)
    except OSError as error:
        raise EndpointError(
            f"The name {name} is not known here: {error.strerror or error}.",
            hint="Check that this machine reaches a DNS server, and what stands in --endpoint-url.",
        ) from error
    return str(found[0][4][0])


def _line(way: _Way, authorities: str, patience: float) -> HTTPConnection:
    host, port = way.near.hostname or "", _port(way.near)
    if way.target.scheme == "http":
        return HTTPConnection(host, port, timeout=patience)
    context = ssl.create_default_context(cafile=authorities)
    line = HTTPSConnection(host, port, timeout=patience, context=context)
    if way.proxy is not None:
        line.set_tunnel(way.target.hostname or "", _port(way.target), headers=_authorization(way.proxy))
    return line


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _certificate(line: socket.socket | ssl.SSLSocket) -> tuple[str, float | None]:
    """The protocol, and when the certificate ends."""
    if not isinstance(line, ssl.SSLSocket):
        return "", None
    ends = (line.getpeercert() or {}).get("notAfter")
    return line.version() or "TLS", float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None


def _asked(line: HTTPConnection, way: _Way) -> tuple[HTTPResponse, float, float]:
    """The answer, when it was asked for in epoch seconds, and the seconds that it took."""
    path, headers = "/", {"Connection": "close"}
    if way.proxy is not None and way.target.scheme == "http":
        # With TLS it passes on what it cannot read; here it reads what is asked.
        path, headers = f"{_shown(way.target)}/", headers | _authorization(way.proxy)
    asked, began = time.time(), time.monotonic()
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    return answer, asked, time.monotonic() - began


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS.get(parts.scheme, 80)


def _shown(parts: SplitResult) -> str:
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


@contextmanager
def _told(way: _Way) -> Iterator[None]:
    """Errors as sentences; whoever is asked first is to blame."""
    shown = _shown(way.target)
    near = shown if way.proxy is None else f"the proxy {_shown(way.proxy)}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise EndpointError(
            f"The certificate of {shown} is not accepted: {error.verify_message}.",
            hint="Check the name and the clock; name further authorities, such as a proxy's that opens TLS, "
            "with AWS_CA_BUNDLE.",
        ) from error
    except ssl.SSLError as error:
        raise EndpointError(
            f"There is no TLS with {shown}: {error.reason or error}.",
            hint="Check http or https in --endpoint-url, and what stands between here and there.",
        ) from error
    except TimeoutError as error:
        raise EndpointError(
            f"No answer of {near} in time.", hint="Check the address, the route and the firewalls."
        ) from error
    except OSError as error:
        raise EndpointError(
            f"There is no connection to {near}: {error.strerror or error}.",
            hint="Check the address, and that it runs and lets you in.",
        ) from error
    except HTTPException as error:
        raise EndpointError(
            f"What answers at {near} does not speak HTTP: {type(error).__name__}.",
            hint="Check --endpoint-url: host, port, and http or https.",
        ) from error
