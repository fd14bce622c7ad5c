"""Monitoring of a run: its port, control token, health file and log file."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio

from bulk_invite.cli.doctor.check import Found, failed, ok, warning
from bulk_invite.cli.doctor.filesystem import is_writable
from bulk_invite.domain.urls import origin
from bulk_invite.monitoring.health_view import is_live, read
from bulk_invite.monitoring.http.port_check import Use, examine
from bulk_invite.runs.live_status.control_token import examine_token
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import host_and_port


def check_port(address: str) -> Found:
    host, port = host_and_port(address)
    match examine(host, port):
        case Use.FREE:
            return ok(f"{address} is free")
        case Use.RUN:
            return warning(
                f"Another run is already listening on {address}", "Let it run, or choose another port."
            )
        case Use.OTHER:
            return failed(f"{address} is in use by another program", "Choose a free port with --listen.")


async def check_webhook(url: str, seconds: float) -> Found:
    """Whether its server, or the proxy in front of it, accepts connections; nothing is posted.

    seconds: for the connection.
    """
    place = urlsplit(url)
    name = proxy = origin(url)
    if not proxy_bypass(place.hostname or ""):
        proxy = getproxies().get(place.scheme, name)
    target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    text = name if proxy == name else f"The proxy {origin(target.geturl())} in front of {name}"
    context = ssl.create_default_context() if target.scheme == "https" else None
    try:
        port = target.port or (443 if context else 80)
        with anyio.fail_after(seconds):
            _, writer = await asyncio.open_connection(target.hostname, port, ssl=context)
            writer.transport.abort()
    except (OSError, ValueError) as error:
        return warning(
            f"{text} cannot be reached ({_reason(error)}): notifications would be dropped",
            "Check --notify-url and the network in between.",
        )
    return ok(f"{text} accepts connections; nothing was posted")


def _reason(error: OSError | ValueError) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case OSError():
            return error.strerror or "no answer"
        case _:  # a host or a port that there cannot be
            return "no valid address"


def check_token(settings: Settings) -> Found:
    token, mend = examine_token(settings)
    if token is None:
        return ok("None: the run cannot be changed over HTTP")
    if mend:
        file = settings.control_token_file
        return warning(f"Set, but all users of this machine can read {file}", f"{mend[0].upper()}{mend[1:]}.")
    return ok("Set: clients with this token may change the run over HTTP")


def check_log_file(path: Path) -> Found:
    may_rename = is_writable(path.absolute().parent)
    if not path.exists():
        found = ok(f"{path} will be created") if may_rename else None
    elif path.is_dir() or not os.access(path, os.W_OK, effective_ids=True):
        found = None
    elif may_rename or not path.is_file():
        found = ok(f"{path} exists; the log is appended")
    else:
        found = warning(
            f"{path} is writable, but its directory is not: the file cannot be rotated",
            "Make the directory writable, or choose another file with --log-file.",
        )
    return found or failed(
        f"{path} is not writable, or its directory does not exist",
        "Choose a file in an existing, writable directory with --log-file.",
    )


def check_health_file(path: Path) -> Found:
    folder = path.absolute().parent
    if not is_writable(folder):
        return failed(
            f"The directory of {path} does not exist or is not writable",
            "Choose a file in an existing, writable directory with --health-file.",
        )
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return ok(f"{path} will be created")
    if is_live(read(path), time.time()):
        return warning(f"Another run is updating {path} now", "Let it run, or choose another file.")
    return ok(f"{path} exists, left by a run that has ended or was killed")
