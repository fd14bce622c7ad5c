"""What a run tells of itself: the port of its pages, and its health file."""

from __future__ import annotations

import time
from pathlib import Path

from bulk_invite.cli.doctor.check import Found, failed, ok, warning
from bulk_invite.cli.doctor.filesystem import is_writable
from bulk_invite.monitoring.health_file import is_live, read
from bulk_invite.monitoring.http.port_check import Use, examine
from bulk_invite.runs.live_status.control_token import control_token
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import host_and_port


def look_at_port(address: str) -> Found:
    host, port = host_and_port(address)
    match examine(host, port):
        case Use.FREE:
            return ok(f"{address} is free")
        case Use.RUN:
            return warning(
                f"A run is there already: it answers at {address}", "Leave it at work, or take another port."
            )
        case Use.OTHER:
            return failed(
                f"{address} is in use by another program", "Name a port that is free with --listen."
            )


def look_at_token(settings: Settings) -> Found:
    if control_token(settings) is None:
        return ok("There is none: nobody may change the run over HTTP")
    return ok("There is one: whoever has it may change the run over HTTP")


def look_at_log_file(path: Path) -> Found:
    if not is_writable(path if path.exists() else path.absolute().parent):
        return failed(
            f"{path} cannot be written to, or its folder is not there",
            "Name a file in a folder that exists and can be written to with --log-file.",
        )
    return ok(f"{path} is gone on with" if path.exists() else f"{path} will be made")


def look_at_health_file(path: Path) -> Found:
    folder = path.absolute().parent
    if not is_writable(folder):
        return failed(
            f"The folder of {path} is not there, or cannot be written to",
            "Name a file in a folder that exists and can be written to with --health-file.",
        )
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return ok(f"{path} will be made")
    if is_live(read(path), time.time()):
        return warning(f"A run keeps {path} at this moment", "Leave it at work, or name another file.")
    return ok(f"{path} is there, of a run that has ended or was killed")
