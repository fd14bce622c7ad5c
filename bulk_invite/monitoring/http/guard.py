"""Decides from the headers which requests are allowed to read and to change a run. Pure.

Another site must neither read from the server (DNS rebinding) nor change anything (cross-site request
forgery). So on a loopback address, the Host header must name a loopback address; and a change needs a token
that browsers never add by themselves.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from math import inf
from typing import Final
from urllib.parse import urlsplit

from bulk_invite.domain.urls import is_loopback

_OURS: Final = {"same-origin", "none"}
"""Allowed values of `Sec-Fetch-Site` (W3C Fetch Metadata): our own page, or a URL entered by the user."""

_WINDOW: Final = 60.0


class Refusal(Exception):  # noqa: N818 - a response, not an error
    """Why a request is refused: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class RefusalCounter:
    """Counts refused changes per minute, so that guessing tokens shows in the log without flooding it."""

    def __init__(self) -> None:
        self._since = -inf
        self._times = 0

    def count(self, now: float) -> int | None:
        """Count one at `now` (seconds); returns the count if it should be logged: 1, 10, 100 ..."""
        if now - self._since >= _WINDOW:
            self._since, self._times = now, 0
        self._times += 1
        return self._times if re.fullmatch("10*", str(self._times)) else None


def check_host(host: str | None, listening_on: str) -> None:
    """Raise Refusal for a request to a loopback address under another name.

    host: the header, which browsers always send.
    """
    if host is None or not is_loopback(listening_on):
        return
    name = _name_of(f"//{host}")
    if not (name and is_loopback(name)):
        raise Refusal(421, "This server is local: use 127.0.0.1 or localhost.")


def check_change(headers: Mapping[str, str], token: str | None) -> None:
    """Raise Refusal where a change is not allowed. token: None where no changes are allowed."""
    check_site(headers)
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "Send JSON, with Content-Type: application/json.")
    if token is None:
        raise Refusal(
            403,
            "This run is read-only: it was started without --control-token-file or "
            "BULK_INVITE_CONTROL_TOKEN.",
        )
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.encode()
    ):
        raise Refusal(401, "The control token is missing or wrong.")


def check_site(headers: Mapping[str, str]) -> None:
    """Raise Refusal where the headers of a browser show a request from another site."""
    origin = headers.get("Origin")
    is_other = origin is not None and _place_of(origin) != headers.get("Host", "").lower()
    if is_other or headers.get("Sec-Fetch-Site", "none").lower() not in _OURS:
        raise Refusal(403, "Cross-site requests are not allowed.")


def _place_of(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
