"""Why an address cannot be used, in the words of the system."""

from __future__ import annotations

import os
import socket


def listen_failure(error: OSError) -> str:
    """The reason without the address, which asyncio puts into `strerror`: `Address already in use`."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error)
