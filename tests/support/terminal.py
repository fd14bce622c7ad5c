"""A shell as a new user has it: bash on a terminal, in an empty home, with `bulk-invite` on the path.

The command there passes its arguments, directory, environment and streams to a thread of the tests, which
starts it by the fork server: without a wait for imports, a script of many commands takes moments. Signals and
exit codes pass through.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Final

from certificates import CERTIFICATES
from command import COMMAND, PATIENCE, Ran, fork_server
from faults.needs import need

_COMMAND: Final = """\
#!{python} -ISE
import json, os, signal, socket, sys
tests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
tests.connect({address!r})
run = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(tests, [run], [0, 1, 2])
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, lambda number, _: tests.send(bytes([number])))
sys.exit(int(tests.recv(9)))
"""

_LARGEST: Final = 1 << 17

_OFFLINE: Final = {**CERTIFICATES, "AWS_EC2_METADATA_DISABLED": "true"}
"""What a machine without a network needs, so that nothing waits for one."""

_SIZE: Final = struct.pack("HHHH", 50, 160, 0, 0)


@contextmanager
def command_on_path(folder: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a new user, with the folder as home."""
    need("Linux", there=sys.platform == "linux")
    (programs := folder / ".programs").mkdir()
    address = str(programs / "tests")
    (command := programs / COMMAND.name).write_text(
        _COMMAND.format(python=sys.executable, address=address), encoding="utf-8"
    )
    command.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        thread = Thread(target=_accept, args=[listener])
        thread.start()
        try:
            yield {"PATH": f"{programs}:{os.defpath}", "HOME": str(folder), "TERM": "dumb", **_OFFLINE}
        finally:
            # Closing alone would not wake the thread.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket) -> None:
    runs = []
    with suppress(OSError):  # the end of the block
        while True:
            caller, _ = listener.accept()
            runs.append(Thread(target=_run, args=[caller]))
            runs[-1].start()
    for each in runs:
        each.join()


def _run(caller: socket.socket) -> None:
    with caller:
        message, streams, _, _ = socket.recv_fds(caller, _LARGEST, 3)
        arguments, cwd, env = json.loads(message)
        run = {"argv": [str(COMMAND), *arguments], "cwd": cwd, "env": env, "module": "", "session": False}
        # Of what is read while an interpreter starts, such a user has nothing.
        pid = fork_server().start(run, streams)
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(pid)
        while ended not in select.select([caller.fileno(), ended], [], [])[0]:
            number = caller.recv(1)
            os.kill(pid, number[0] if number else signal.SIGKILL)
            if not number:  # the command of the shell was killed
                break
        os.close(ended)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):
            caller.send(str(code if code >= 0 else 128 - code).encode())


def run_script(script: str, *, env: Mapping[str, str], within: float = PATIENCE) -> Ran:
    """Run a script in bash, in the home of the environment, to its end; what it left running is killed."""
    began = time.monotonic()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE)
    shown: list[bytes] = []
    reader = Thread(target=_read, args=[ours, shown])
    reader.start()
    with tempfile.TemporaryFile() as stderr:
        shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=env["HOME"],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=stderr,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            code = shell.wait(within)
        finally:
            with suppress(ProcessLookupError):  # nothing is left
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            reader.join()
        stderr.seek(0)
        errors = stderr.read().decode()
    return Ran(code, b"".join(shown).decode().replace("\r\n", "\n"), errors, time.monotonic() - began)


def _read(terminal: int, shown: list[bytes]) -> None:
    with suppress(OSError):  # how Linux reports that the last writer has gone
        while received := os.read(terminal, 65536):
            shown.append(received)
    os.close(terminal)
