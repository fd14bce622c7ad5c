"""Whether an address is free for the pages of a run, or one is there already."""

from __future__ import annotations

import errno
import socket
from enum import Enum, auto
from http.client import HTTPConnection, HTTPException
from typing import Final

from bulk_invite.domain.errors import ControlError

_PATIENCE: Final = 2.0

_LIVE: Final = b'{"live":true}'


class Use(Enum):
    """What becomes of who wants to listen on an address."""

    FREE = auto()
    RUN = auto()
    OTHER = auto()


def examine(host: str, port: int) -> Use:
    """Listen there for a moment; where that is not possible, see who does.

    Raises ControlError for an address that is not of this machine, or may not be had.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as listener:
                # As the server itself does: connections of the last run may not have ended.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Use.RUN if _is_run(host, port) else Use.OTHER
        raise ControlError(
            f"Nobody can listen on {host} port {port}: {error.strerror or error}.",
            hint="Name an address of this machine and a port that is free with --listen HOST:PORT; "
            "port 0 takes any.",
        ) from error
    return Use.FREE


def _is_run(host: str, port: int) -> bool:
    asked = HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        asked.request("GET", "/livez")
        return asked.getresponse().read(len(_LIVE) + 1) == _LIVE
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()
