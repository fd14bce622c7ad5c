"""Who may ask and who may change. Pure: it looks at headers.

A page of another site must neither read (a name that somebody points at this machine) nor change anything
(a form or script that the browser of an operator sends along). So where only this machine is listened to,
the request has to name it; and a change needs a token that a browser never adds by itself.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from ipaddress import ip_address
from math import inf
from typing import Final
from urllib.parse import urlsplit

_OURS: Final = {"same-origin", "none"}
"""Of `Sec-Fetch-Site` (W3C Fetch Metadata): a page of ours, or the operator by hand."""

_WINDOW: Final = 60.0


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Why a request is not heeded: a status of HTTP and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Refused:
    """Counts refused changes of a minute: whoever tries tokens is seen in the log, and does not fill it."""

    def __init__(self) -> None:
        self._since = -inf
        self._times = 0

    def note(self, now: float) -> int | None:
        """One more at `now` (seconds): how many it are, where that is worth a line: 1, 10, 100 ..."""
        if now - self._since >= _WINDOW:
            self._since, self._times = now, 0
        self._times += 1
        return self._times if re.fullmatch("10*", str(self._times)) else None


def check_host(host: str | None, listening_on: str) -> None:
    """Raises Refusal where another name than this machine's has led here.

    host: the header; a browser never leaves it out.
    """
    if host is None or not _is_loopback(listening_on):
        return
    name = _name_of(f"//{host}")
    if not (name and _is_loopback(name)):
        raise Refusal(421, "This address is for this machine only: ask for 127.0.0.1 or localhost.")


def check_change(headers: Mapping[str, str], token: str | None) -> None:
    """Raises Refusal where a change may not be made. token: None where nobody may."""
    check_site(headers)
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "Send JSON, with Content-Type: application/json.")
    if token is None:
        raise Refusal(
            403,
            "This run takes no changes: it was started without --control-token-file or "
            "BULK_INVITE_CONTROL_TOKEN.",
        )
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.encode()
    ):
        raise Refusal(401, "The control token is missing or wrong.")


def check_site(headers: Mapping[str, str]) -> None:
    """Raises Refusal where a browser says that a page of another site has sent this."""
    origin = headers.get("Origin")
    is_other = origin is not None and _place_of(origin) != headers.get("Host", "").lower()
    if is_other or headers.get("Sec-Fetch-Site", "none").lower() not in _OURS:
        raise Refusal(403, "A page of another site has sent this.")


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


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.rstrip(".").lower() == "localhost"
