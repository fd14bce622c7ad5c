"""Checks whether an address is free, used by another run, or used by another program."""

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
    """What an address is used for now."""

    FREE = auto()
    RUN = auto()
    OTHER = auto()


def examine(host: str, port: int) -> Use:
    """Listen briefly; if the address is in use, find out by what.

    Raises ControlError for an address that is not local, or not permitted.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as listener:
                # Like the server: connections of the previous run may still be closing.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Use.RUN if _is_run(host, port) else Use.OTHER
        raise ControlError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}.",
            hint="Choose a local address and a free port with --listen HOST:PORT; port 0 picks one.",
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
