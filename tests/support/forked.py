"""The tests' side of the fork server: the command as our child process, without a wait for imports."""

from __future__ import annotations

import atexit
import ctypes
import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

_PROGRAM: Final = Path(__file__).with_name("fork_server.py")
_TAKE_ORPHANS: Final = 36
"""Of Linux's prctl: whether processes below this one become its children when their parents are gone."""

_READ_LATE: Final = ("AWS_", "BULK_INVITE_", "PG", "POSTGRES_", "PYTEST_", "TERM")
"""Prefixes of variables that are not read while the program starts and imports."""

_READ_AGAIN: Final = {"FAKETIME", "FAKETIME_TIMESTAMP_FILE"}
"""Variables that libfaketime looks for at every call."""

_ONE_AT_A_TIME: Final = Lock()
"""Whose orphans become ours is a matter of the process, not of one server."""


class ForkServer:
    """A fork server that has this environment; it ends with us."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, _PROGRAM, str(theirs.fileno())],
                env=self._env,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def can_start(self, env: Mapping[str, str]) -> bool:
        """Whether a run with that environment is as one whose interpreter was started with it."""
        early = {name for name in env if not name.startswith(_READ_LATE)} - _READ_AGAIN
        return all(self._env.get(name) == env[name] for name in early)

    def start(self, run: Mapping[str, Any], streams: list[int]) -> int:
        """The id of a new child of this process.

        run: its `argv`, `cwd` and `env`; `module`, whose `main` it runs, "" for the command; and `session`,
        whether it leads its own session. streams: its standard input, output and error, and a socket
        that gets the listener of its calls if they are watched (see `faults.under_watch`).
        """
        with _ONE_AT_A_TIME:
            _prctl(_TAKE_ORPHANS, 1)
            try:
                socket.send_fds(self._asks, [json.dumps(run).encode()], streams)
                pid = self._asks.recv(20)
            finally:
                # A daemon that a test starts is meant to have no parent here.
                _prctl(_TAKE_ORPHANS, 0)
        assert pid, "the fork server has ended"
        return int(pid)

    def _end(self) -> None:
        self._asks.close()
        self._process.wait()


class Forked(subprocess.Popen[Any]):
    """`subprocess.Popen` in everything but how the process is made.

    Of its options there are those for streams, `cwd` and `env`, all of which have to be given, and
    `start_new_session`. module, watcher: as of `ForkServer.start`.
    """

    def __init__(
        self,
        server: ForkServer,
        args: Sequence[str | Path],
        *,
        module: str = "",
        watcher: int | None = None,
        **options: Any,
    ) -> None:
        self._server = server
        self._module = module
        self._more = [] if watcher is None else [watcher]
        super().__init__(args, **options)

    # Popen's own, for which there is no public way in.
    def _execute_child(self, args: Sequence[str], *how: Any) -> None:
        _, _, _, _, cwd, env, _, _, _, *ends = how
        stdin, _, _, stdout, _, stderr = ends[:6]
        *_, session, _ = ends
        argv = list(map(str, args))
        run = {"argv": argv, "cwd": str(cwd), "env": env, "module": self._module, "session": session}
        self.pid = self._server.start(run, [stdin, stdout, stderr, *self._more])
        self._child_created = True
        self._close_pipe_fds(*ends[:6])  # type: ignore[attr-defined]  # as above


def _prctl(option: int, value: int) -> None:
    assert ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0
