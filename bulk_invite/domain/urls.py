"""What a URL names, and what of it is safe to show: user, path and query may be secret."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_URL: Final = re.compile(
    r"(?P<scheme>\bhttps?://)(?:[^\s/?#\"'<>]*@)?(?P<place>[^\s/?#\"'<>]*)[^\s\"'<>]*", re.IGNORECASE
)
_PATH: Final = re.compile(r"(?<=\burl: )\S+")


def origin(url: str) -> str:
    """Return `scheme://host:port` of a URL, without user, path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def origins_only(text: str) -> str:
    """Reduce every URL in a library's message to its origin."""
    return _PATH.sub("...", _URL.sub(r"\g<scheme>\g<place>", text))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
