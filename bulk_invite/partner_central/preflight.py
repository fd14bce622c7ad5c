"""Detect faults before anything is tried: keys, proxies and authorities."""

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
from bulk_invite.partner_central.aws_settings import AwsSettings
from bulk_invite.partner_central.credential_sources import PROVIDER_NAMES

_FIT: Final = re.compile(r"[!-~]+")
"""The characters of keys and tokens: any other breaks a header or a signature."""

_KEYS: Final = {
    "access_key": ("AWS_ACCESS_KEY_ID", "access key"),
    "secret_key": ("AWS_SECRET_ACCESS_KEY", "secret key"),
    "token": ("AWS_SESSION_TOKEN", "session token"),
}


def fault_of_keys(frozen: Any, place: str) -> Fault | None:
    """frozen: credentials as the SDK uses them for signing. place: the SDK's name of their provider."""
    for member, (variable, called) in _KEYS.items():
        value = getattr(frozen, member)
        if member == "token" and not value:
            continue
        if (odd := _odd_text(value)) is None:
            continue
        if place == "env":
            return Fault(f"{variable} {odd}.", "Set it to the exact value.", Recovery.RESTART)
        return Fault(
            f"The {called} of the credentials {odd}.",
            f"Correct it where they come from: {PROVIDER_NAMES.get(place, place)}.",
        )
    return None


def _odd_text(value: object) -> str | None:
    match value:
        case str() if _FIT.fullmatch(value):
            return None
        case "":
            return "is empty"
        case str() if "\n" in value or "\r" in value:
            return "contains a line break"
        case str():
            return "contains a space or another invalid character"
        case _:
            return "is not text"


def fault_of_files(setup: AwsSettings) -> Fault | None:
    """If no credentials were found: the credentials file that is set but does not exist."""
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        file = Path(setup.environment.get(variable, os.devnull)).expanduser()
        if file.is_dir() or not file.exists():
            is_what = "is a directory" if file.is_dir() else "does not exist"
            return Fault(
                f"The file that {variable} names {is_what}, and no credentials were found elsewhere.",
                f"Set {variable} to the file with the profiles.",
            )
    return None


def fault_of_proxy(url: str, proxies: Mapping[str, str], setup: AwsSettings) -> Fault | None:
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
            f"{variable} names a proxy of type {kind.lower()}, but the SDK supports only http and https.",
            f"Use one of those, or unset {variable}; NO_PROXY exempts a host.",
            Recovery.RESTART,
        )
    if (odd := _odd_address(str(ProxyConfiguration(dict(proxies)).proxy_url_for(url)))) is None:
        return None
    return Fault(
        f"{variable} is not a valid proxy URL: {odd}.",
        "It must have the form http://HOST:PORT.",
        Recovery.RESTART,
    )


def _odd_address(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its port is invalid"
    if not parts.hostname:
        return "it has no host"
    return "its port is invalid" if port == 0 else None


def require_authorities(session: Any, setup: AwsSettings) -> None:
    """Raise SettingError or SenderError if a file of authorities cannot be used."""
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
    """Raise OSError for a pipe: it would block the event loop, and can be read only once."""
    if Path(file).is_fifo():
        raise OSError(errno.ESPIPE, "it is a pipe", file)


def require(fault: Fault | None) -> None:
    """Raise the fault as an error, if there is one."""
    if fault is not None:
        raise fault.error()


def _fault_of_authorities(error: OSError, member: str, setup: AwsSettings) -> Fault:
    setting_name, _ = setup.described(
        f"AWS_{member.upper()}", member
    )  # the file may be corrected while we run
    is_no_pem = isinstance(error, ssl.SSLError)
    said = "it contains no certificate (PEM)" if is_no_pem else error.strerror or type(error).__name__
    return Fault(
        f"The CA file that {setting_name} names cannot be used: {said}.",
        f"Set {setting_name} to a file of certificates in PEM, or unset it.",
    )
