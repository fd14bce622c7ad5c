"""Determine what was unreachable: the proxy itself, or the host behind it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
from botocore import exceptions as sdk
from botocore.httpsession import ProxyConfiguration
from botocore.utils import get_environ_proxies

_PORTS: Final = {"http": 80, "https": 443}

NotConnected = aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError


def port_of(parts: SplitResult) -> int:
    return parts.port or _PORTS.get(parts.scheme, 80)


def is_of(proxy: SplitResult, error: NotConnected) -> bool:
    """Whether the connection to the proxy failed."""
    return (error.host, error.port) == (proxy.hostname, port_of(proxy))


def setting_of(url: str) -> str:
    """The variable that names the proxy of calls to `url`."""
    return f"{urlsplit(url).scheme.upper()}_PROXY"


def unreached_proxy(error: BaseException) -> str:
    """Host and port, without its user, of the proxy that a call could not reach.

    "" if there is no proxy, or the connection to it was established.
    """
    known: dict[str, Any] = getattr(error, "kwargs", {})
    match error:
        case sdk.ProxyConnectionError():
            proxy = str(known["proxy_url"])
        case sdk.EndpointConnectionError() | sdk.SSLError() | sdk.ConnectTimeoutError():
            url = str(known["endpoint_url"])
            proxy = str(ProxyConfiguration(get_environ_proxies(url)).proxy_url_for(url) or "")
        case _:
            return ""
    parts, inner = urlsplit(proxy), known.get("error")
    is_its = isinstance(error, sdk.ProxyConnectionError | sdk.ConnectTimeoutError) or (
        isinstance(inner, NotConnected) and is_of(parts, inner)
    )
    return f"{parts.hostname}:{port_of(parts)}" if proxy and is_its else ""
