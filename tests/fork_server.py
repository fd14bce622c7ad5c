"""Starts the command again and again, by fork: what its imports cost is spent once.

A program of its own, with a single thread. A message on its socket is a run to start and comes with the three
streams of that run; the answer is the process id. A run is started as an orphan, so that it becomes the child
of who asked (see `forked`). When the socket ends, so does this, but none of the runs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
from typing import Any, Final

from bulk_invite.__main__ import main

IMPORTED: Final = (
    "aioboto3",
    "anyio._backends._asyncio",
    "bulk_invite.cli",
    "bulk_invite.commands.run",
    "botocore.retryhandler",
    "email.parser",
    "encodings.idna",
    "typer._adapters",
    "uvloop",
)
"""What a run imports sooner or later."""

_LARGEST: Final = 1 << 17


def import_all(*more: str) -> None:
    for name in (*IMPORTED, *more):
        importlib.import_module(name)
    gc.freeze()


def _started() -> int | None:
    """The id of a new orphan; None in the orphan itself."""
    told, tells = os.pipe()
    if parent := os.fork():
        os.close(tells)
        with os.fdopen(told) as answer:
            os.waitpid(parent, 0)
            return int(answer.read())
    if pid := os.fork():
        os.write(tells, str(pid).encode())
        os._exit(0)
    os.close(told)
    os.close(tells)
    return None


def _become(run: dict[str, Any], streams: list[int]) -> None:
    os.chdir(run["cwd"])
    os.environ.clear()
    os.environ.update(run["env"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.argv = run["argv"]


def _serve(asks: socket.socket) -> None:
    """Start what is asked for; returns in the runs only."""
    while True:
        message, streams, _, _ = socket.recv_fds(asks, _LARGEST, 3)
        if not message:
            sys.exit(0)
        pid = _started()
        if pid is None:
            asks.close()
            _become(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        if pid is None:
            return
        asks.send(str(pid).encode())


if __name__ == "__main__":
    import_all("bulk_invite.commands.supervisor", "bulk_invite.commands.settle", "psycopg")
    with socket.socket(fileno=int(sys.argv[1])) as _asks:
        _serve(_asks)
    # Outside of everything: the run ends as the installed command does, by leaving the interpreter.
    main()
