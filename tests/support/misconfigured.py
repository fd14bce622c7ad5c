"""Ways in which credentials and AWS settings are wrong before a byte leaves, and the sentence about each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from command import CREDENTIALS, http

from bulk_invite.domain.sender_fault import Recovery

SECRET: Final = "s3cr3t"
"""A marker in all texts that must not be repeated."""

Environment = Mapping[str, str]

ROLE: Final = "arn:aws:iam::111122223333:role/sender"
_WEB: Final = {"AWS_ROLE_ARN": ROLE}
_FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_ROLE: Final = f"role_arn = {ROLE}\nsource_profile = base\n"
_BASE: Final = f"\n[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {SECRET}"
_WEB_BASE: Final = f"[profile base]\nrole_arn = {ROLE}\nweb_identity_token_file = {{file}}"
_KEYS: Final = {"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": SECRET, "SessionToken": SECRET}


@dataclass(frozen=True)
class Wrong:
    """said: part of the sentence. answer: of the credentials server at `{url}`, where that matters."""

    environment: Callable[[Path], Environment]
    said: str
    recovery: Recovery = Recovery.RESTART
    answer: bytes = b""


def profile(folder: Path, text: str) -> Environment:
    """The default profile in a separate file."""
    file = folder / "config"
    file.write_text(f"[default]\n{text}\n")
    return {"AWS_CONFIG_FILE": str(file)}


def process(folder: Path, script: str) -> Environment:
    """A profile whose credential_process is a shell script."""
    tool = folder / "tool.sh"
    tool.write_text(script)
    return profile(folder, f"credential_process = sh {tool} {SECRET}")


def _prints(text: str) -> Callable[[Path], Environment]:
    return lambda folder: process(folder, f"cat <<'END'\n{text}\nEND\n")


def _profile(text: str) -> Callable[[Path], Environment]:
    return lambda folder: profile(folder, text)


def _file(variable: str, data: bytes, **more: str) -> Callable[[Path], Environment]:
    def environment(folder: Path) -> Environment:
        (folder / "file").write_bytes(data)
        return {variable: str(folder / "file"), **more}

    return environment


def _pipe(variable: str, folder: Path) -> Environment:
    os.mkfifo(folder / "pipe")
    return {variable: f"{folder}/pipe"}


def _set(**variables: str) -> Callable[[Path], Environment]:
    return lambda _: variables


def _odd(variable: str, value: str = "abc") -> Wrong:
    return Wrong(_set(**{**CREDENTIALS, variable: value}), f"does not accept the value of {variable}")


_TOOL: Final = "The credential_process of the profile default "
_TOKEN_FILE: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
_ITSELF, _HAND = Recovery.TRANSIENT, Recovery.MANUAL

PLACES: Final = {
    "process missing": Wrong(
        _profile(f"credential_process = /no/such/tool {SECRET}"),
        _TOOL + "cannot be run: No such file or directory",
        _ITSELF,
    ),
    "process not executable": Wrong(
        lambda folder: profile(folder, f"credential_process = {folder / 'config'}"),
        _TOOL + "cannot be run: Permission denied",
        _ITSELF,
    ),
    "process empty": Wrong(_profile("credential_process ="), "cannot be run", _ITSELF),
    "process fails": Wrong(
        lambda folder: process(folder, f"echo {SECRET} >&2; exit 3"), _TOOL + "exited with code 3", _ITSELF
    ),
    "process killed": Wrong(
        lambda folder: process(folder, "kill -9 $$"), _TOOL + "was killed by signal 9", _ITSELF
    ),
    "process no JSON": Wrong(_prints(SECRET), _TOOL + "does not print a JSON object", _ITSELF),
    "process JSON of another kind": Wrong(_prints(f'["{SECRET}"]'), "does not print a JSON object", _ITSELF),
    "process binary": Wrong(
        _profile("credential_process = cat /bin/sh"), "does not print a JSON object", _ITSELF
    ),
    "process no version": Wrong(
        _prints(json.dumps({"AccessKeyId": SECRET})), _TOOL + "returns unexpected output", _ITSELF
    ),
    "process number for a key": Wrong(
        _prints(json.dumps(_KEYS | {"AccessKeyId": 7})),
        "The access key of the credentials is not text",
        _HAND,
    ),
    "process bad expiration": Wrong(
        _prints(json.dumps(_KEYS | {"Expiration": "soon"})), "returns an invalid Expiration", _HAND
    ),
    "process expired": Wrong(
        _prints(json.dumps(_KEYS | {"Expiration": "2001-01-01T00:00:00Z"})),
        _TOOL + "returns credentials that have expired",
        _ITSELF,
    ),
    "process unbalanced quotes": Wrong(
        _profile(f"credential_process = tool '{SECRET}"), _TOOL + "has an unbalanced quote", _HAND
    ),
    "token file missing": Wrong(
        lambda folder: {**_WEB, _TOKEN_FILE: str(folder / "none")},
        "none cannot be read: No such file or directory. Check AWS_WEB_IDENTITY_TOKEN_FILE",
        _ITSELF,
    ),
    "token file a directory": Wrong(
        lambda folder: {**_WEB, _TOKEN_FILE: str(folder)}, "cannot be read: Is a directory", _ITSELF
    ),
    "token file a pipe": Wrong(
        lambda folder: {**_WEB, **_pipe(_TOKEN_FILE, folder)}, "cannot be read: it is a pipe", _ITSELF
    ),
    "token file of a source profile a pipe": Wrong(
        lambda folder: profile(folder, _ROLE + _WEB_BASE.format(**_pipe("file", folder))),
        *("cannot be read: it is a pipe", _ITSELF),
    ),
    "token file binary": Wrong(
        _file(_TOKEN_FILE, b"\xff\xfe\0" + SECRET.encode(), **_WEB),
        "AWS_WEB_IDENTITY_TOKEN_FILE names",
        _ITSELF,
    ),
    "token file empty": Wrong(
        _file(_TOKEN_FILE, b"", **_WEB),
        "The file that AWS_WEB_IDENTITY_TOKEN_FILE names contains no token",
        _ITSELF,
    ),
    "token file without a role": Wrong(
        _file(_TOKEN_FILE, b"token"), "AWS_WEB_IDENTITY_TOKEN_FILE is set, but there is no role", _HAND
    ),
    "container null": Wrong(
        _set(**{_FULL_URI: "{url}"}), f"{_FULL_URI} returns no credentials", _ITSELF, http(200, b"null")
    ),
    "container members null": Wrong(
        _set(**{_FULL_URI: "{url}"}),
        f"{_FULL_URI} returns no credentials",
        _ITSELF,
        http(200, dict.fromkeys(("AccessKeyId", "SecretAccessKey", "Token", "Expiration"))),
    ),
    "container without Expiration": Wrong(
        _set(**{_FULL_URI: "{url}"}),
        f"{_FULL_URI} returns no credentials",
        _ITSELF,
        http(200, {"AccessKeyId": "A", "SecretAccessKey": SECRET, "Token": SECRET}),
    ),
    "container 500": Wrong(
        _set(**{_FULL_URI: "{url}"}), "returns no credentials: 500", _ITSELF, http(500, SECRET.encode())
    ),
    "container 403": Wrong(
        _set(**{_FULL_URI: "{url}"}), "returns no credentials: 403", _HAND, http(403, SECRET.encode())
    ),
    "container host": Wrong(
        _set(**{_FULL_URI: f"http://example.com/{SECRET}"}), f"{_FULL_URI} is not a valid address"
    ),
    "container port": Wrong(
        _set(**{_FULL_URI: "http://127.0.0.1:99999"}), f"{_FULL_URI} is not a valid address"
    ),
    "container no address": Wrong(_set(**{_FULL_URI: "null"}), f"{_FULL_URI} is not a valid address"),
    "container token file missing": Wrong(
        _set(**{_FULL_URI: "http://127.0.0.1:1", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/such"}),
        "Check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        _ITSELF,
    ),
    "container token with a line end": Wrong(
        _set(**{_FULL_URI: "http://127.0.0.1:1", "AWS_CONTAINER_AUTHORIZATION_TOKEN": f"{SECRET}\n\n"}),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN (or its _FILE) contains a line break",
    ),
    "MFA": Wrong(
        _profile(f"{_ROLE}mfa_serial = arn:aws:iam::111122223333:mfa/x{_BASE}"),
        "MFA code (mfa_serial)",
        _HAND,
    ),
    "source profile missing": Wrong(_profile(_ROLE), 'source_profile "base"', _HAND),
    "source profiles in a circle": Wrong(
        _profile(f"{_ROLE}\n[profile base]\n{_ROLE.replace('base', 'default')}"), "form a loop", _HAND
    ),
    "process of a source profile fails": Wrong(
        _profile(f"{_ROLE}\n[profile base]\ncredential_process = false"), "exited with code 1", _ITSELF
    ),
    "not logged in": Wrong(
        lambda folder: {
            "HOME": str(folder),
            **profile(
                folder,
                "sso_session = s\nsso_account_id = 111122223333\nsso_role_name = x\n[sso-session s]\n"
                "sso_start_url = https://example.com\nsso_region = us-east-1",
            ),
        },
        "There is no login (SSO) for the profile default. Log in again",
        _HAND,
    ),
}
"""The origin of credentials."""

SETTINGS: Final = {
    "profile missing": Wrong(
        _set(**CREDENTIALS, AWS_PROFILE="none"), "The profile none does not exist", _HAND
    ),
    "configuration no INI": Wrong(
        _file("AWS_CONFIG_FILE", SECRET.encode(), **CREDENTIALS), "file cannot be parsed", _HAND
    ),
    "configuration a directory": Wrong(
        lambda folder: {"AWS_CONFIG_FILE": str(folder)}, "AWS_CONFIG_FILE names is a directory", _HAND
    ),
    "credentials file missing": Wrong(
        _set(AWS_SHARED_CREDENTIALS_FILE="/no/such"),
        "AWS_SHARED_CREDENTIALS_FILE names does not exist",
        _HAND,
    ),
    "secret key missing": Wrong(_set(AWS_ACCESS_KEY_ID="A"), "AWS_SECRET_ACCESS_KEY is not"),
    "expiration": Wrong(
        _set(**CREDENTIALS, AWS_SESSION_TOKEN=SECRET, AWS_CREDENTIAL_EXPIRATION="soon"),
        "AWS_CREDENTIAL_EXPIRATION is not a valid time",
    ),
    "expired": Wrong(
        _set(**CREDENTIALS, AWS_SESSION_TOKEN=SECRET, AWS_CREDENTIAL_EXPIRATION="2001-01-01T00:00:00Z"),
        "have expired (AWS_CREDENTIAL_EXPIRATION)",
    ),
    "metadata timeout": _odd("AWS_METADATA_SERVICE_TIMEOUT"),
    "metadata attempts": _odd("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1.5"),
    "metadata timeout of a profile": Wrong(
        lambda folder: {**CREDENTIALS, **profile(folder, "metadata_service_timeout = abc")},
        "does not accept the value of metadata_service_timeout of the profile default",
        _HAND,
    ),
    "metadata mode": _odd("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
    "STS endpoints": _odd("AWS_STS_REGIONAL_ENDPOINTS"),
    "checksums": _odd("AWS_REQUEST_CHECKSUM_CALCULATION"),
    "compression": _odd("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES"),
    "account endpoints": _odd("AWS_ACCOUNT_ID_ENDPOINT_MODE"),
    "access key with a line end": Wrong(
        _set(AWS_ACCESS_KEY_ID=f"{SECRET}\n", AWS_SECRET_ACCESS_KEY="x"),
        "AWS_ACCESS_KEY_ID contains a line break",
    ),
    "secret key with a line end": Wrong(
        _set(AWS_ACCESS_KEY_ID="A", AWS_SECRET_ACCESS_KEY=f"{SECRET}\r"),
        "AWS_SECRET_ACCESS_KEY contains a line break",
    ),
    "session token with a space": Wrong(
        _set(**CREDENTIALS, AWS_SESSION_TOKEN=f"{SECRET} "), "AWS_SESSION_TOKEN contains a space"
    ),
}
"""Settings that the SDK cannot be configured with."""

WAYS: Final = {
    "authorities missing": Wrong(
        _set(**CREDENTIALS, AWS_CA_BUNDLE="/no/such.pem"),
        "AWS_CA_BUNDLE names cannot be used: No such file",
        _HAND,
    ),
    "authorities a directory": Wrong(
        lambda folder: {**CREDENTIALS, "AWS_CA_BUNDLE": str(folder)}, "cannot be used: Is a directory", _HAND
    ),
    "authorities a pipe": Wrong(
        lambda folder: {**CREDENTIALS, **_pipe("AWS_CA_BUNDLE", folder)},
        "cannot be used: it is a pipe",
        _HAND,
    ),
    "authorities no PEM": Wrong(
        _file("AWS_CA_BUNDLE", SECRET.encode(), **CREDENTIALS), "it contains no certificate (PEM)", _HAND
    ),
    "authorities of a profile": Wrong(
        lambda folder: {**CREDENTIALS, "AWS_CA_BUNDLE": "", **profile(folder, "ca_bundle = /no/such.pem")},
        "ca_bundle of the profile default names cannot be used",
        _HAND,
    ),
    "proxy with an impossible port": Wrong(
        _set(**CREDENTIALS, HTTP_PROXY=f"http://user:{SECRET}@127.0.0.1:99999"),
        "HTTP_PROXY is not a valid proxy URL: its port",
    ),
    "proxy with a word for a port": Wrong(
        _set(**CREDENTIALS, http_proxy="127.0.0.1:port"), "http_proxy is not a valid proxy URL: its port"
    ),
    "proxy without a host": Wrong(_set(**CREDENTIALS, HTTP_PROXY="http://:3128"), "it has no host"),
    "proxy of another kind": Wrong(
        _set(**CREDENTIALS, HTTP_PROXY=f"socks5://user:{SECRET}@127.0.0.1:1080"),
        "HTTP_PROXY names a proxy of type socks5",
    ),
}
"""Faults on the connection to the endpoint."""

ALL: Final = PLACES | SETTINGS | WAYS
