"""Addresses as they may be told: whatever stands behind the host, or before it, may be a secret."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_URL: Final = re.compile(
    r"(?P<scheme>\bhttps?://)(?:[^\s/?#\"'<>]*@)?(?P<place>[^\s/?#\"'<>]*)[^\s\"'<>]*", re.IGNORECASE
)
_PATH: Final = re.compile(r"(?<=\burl: )\S+")


def origin(url: str) -> str:
    """`scheme://host:port` of an address, without user, path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def origins_only(text: str) -> str:
    """What a library says, with every address in it cut to its origin."""
    return _PATH.sub("...", _URL.sub(r"\g<scheme>\g<place>", text))
