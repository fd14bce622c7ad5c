"""What is seen to be wrong before anything is tried: keys, proxies and authorities."""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.httpsession import ProxyConfiguration

from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.partner_central.aws_settings import Setup
from bulk_invite.partner_central.credential_sources import WORDS

_FIT: Final = re.compile(r"[!-~]+")
"""What keys and tokens are made of: anything else is no part of a header, or of a signature that is taken."""

_KEYS: Final = {
    "access_key": ("AWS_ACCESS_KEY_ID", "access key"),
    "secret_key": ("AWS_SECRET_ACCESS_KEY", "secret key"),
    "token": ("AWS_SESSION_TOKEN", "session token"),
}


def fault_of_keys(frozen: Any, place: str) -> Fault | None:
    """frozen: credentials as the SDK signs by them. place: its word for where they came from."""
    for member, (variable, called) in _KEYS.items():
        value = getattr(frozen, member)
        if member == "token" and not value:
            continue
        if (odd := _odd_text(value)) is None:
            continue
        if place == "env":
            return Fault(f"{variable} {odd}.", "Set it to what it is, without that.", Recovery.RESTART)
        return Fault(
            f"The {called} of the credentials {odd}.",
            f"Mend it where they come from: {WORDS.get(place, place)}.",
        )
    return None


def _odd_text(value: object) -> str | None:
    match value:
        case str() if _FIT.fullmatch(value):
            return None
        case "":
            return "is empty"
        case str() if "\n" in value or "\r" in value:
            return "has a line end in it"
        case str():
            return "has a space in it, or what else no key has"
        case _:
            return "is no text"


def fault_of_files(setup: Setup) -> Fault | None:
    """Where no credentials were found: the file that was named for them, if it is none."""
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        file = Path(setup.environment.get(variable, os.devnull)).expanduser()
        if file.is_dir() or not file.exists():
            is_what = "is a directory" if file.is_dir() else "does not exist"
            return Fault(
                f"The file that {variable} names {is_what}, and no credentials were found elsewhere.",
                f"Let {variable} name the file with the profiles.",
            )
    return None


def fault_of_proxy(url: str, proxies: Mapping[str, str], setup: Setup) -> Fault | None:
    """proxies: by scheme, for calls to `url`, as the SDK has them."""
    scheme = urlsplit(url).scheme
    proxy = proxies.get(scheme)
    if not proxy:
        return None
    variables = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    variable = next((each for each in variables if each in setup.environment), variables[1])
    kind, separator, _ = proxy.partition("://")
    if separator and kind.lower() not in {"http", "https"}:
        return Fault(
            f"{variable} names a proxy of the kind {kind.lower()}, and the SDK knows only http and https.",
            f"Name one of those, or unset {variable}; NO_PROXY leaves a host out.",
            Recovery.RESTART,
        )
    if (odd := _odd_address(str(ProxyConfiguration(dict(proxies)).proxy_url_for(url)))) is None:
        return None
    return Fault(f"{variable} names no proxy: {odd}.", "It has to be http://HOST:PORT.", Recovery.RESTART)


def _odd_address(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its port is none"
    if not parts.hostname:
        return "it has no host"
    return "its port is none" if port == 0 else None


def require_authorities(session: Any, setup: Setup) -> None:
    """Raises SettingError or SenderError where a file of authorities that was named is of no use."""
    of_proxy = (session.get_config_variable("proxies_config") or {}).get("proxy_ca_bundle")
    files = {"ca_bundle": session.get_config_variable("ca_bundle"), "proxy_ca_bundle": of_proxy}
    for member, file in files.items():
        if not file:
            continue
        try:
            require_no_pipe(file)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except OSError as error:
            raise _fault_of_authorities(error, member, setup).error() from error


def require_no_pipe(file: str) -> None:
    """Raises OSError for what would stop the event loop until somebody writes to it, and can be read once."""
    if Path(file).is_fifo():
        raise OSError(errno.ESPIPE, "it is a pipe", file)


def require(fault: Fault | None) -> None:
    """Raises it as an error, where there is one."""
    if fault is not None:
        raise fault.error()


def _fault_of_authorities(error: OSError, member: str, setup: Setup) -> Fault:
    told, _ = setup.named(f"AWS_{member.upper()}", member)  # whose file may be mended beside us
    is_no_pem = isinstance(error, ssl.SSLError)
    said = "there is no certificate (PEM) in it" if is_no_pem else error.strerror or type(error).__name__
    return Fault(
        f"The file of authorities that {told} names cannot be used: {said}.",
        f"Let {told} name a file of certificates in PEM, or take it out.",
    )
