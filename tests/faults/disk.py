"""A disk that can fail: every call of a sender that changes its checkpoint passes here, and is counted.

Calls are counted over all threads. A `Fault` is the answer to a call that is not made; and what would be
left by a power failure (only synced data) can be restored in place of the files.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from command import PATIENCE, Ran, under_watch

from faults.under_watch import NUMBERS

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE: Final = 1


class Effect(Enum):
    """The fate of the call, by its kind."""

    FULL = "no room"
    BROKEN = "I/O error"
    TORN = "half written, then no room"
    KILLED = "killed before it"
    KILLED_HALF = "killed half way through it"
    POWER = "power failure: what is not synced is gone"


@dataclass(frozen=True)
class Fault:
    """The n-th call (from 0) fails; where it `stays`, so do all that come after it."""

    nth: int
    effect: Effect
    stays: bool = False


@dataclass(frozen=True)
class Call:
    """A call that changes a file. file: what its name has more than the checkpoint's, such as "-wal"."""

    name: str
    file: str


class Disk:
    """Supervises one run. calls: as they came. hit: the first call that was not let through."""

    def __init__(self, checkpoint: Path, fault: Fault | None = None) -> None:
        self._checkpoint = str(checkpoint)
        self._fault = fault
        self._synced: dict[str, bytes] = {}
        self.calls: list[Call] = []
        self.hit: Call | None = None

    def run(self, *arguments: str | Path, cwd: Path) -> Ran:
        """The command to its end, over this disk."""
        began = time.monotonic()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = under_watch(*arguments, cwd=cwd, watcher=theirs.fileno())
            theirs.close()
            _, (listener,), *_ = socket.recv_fds(ours, 1, 1)
        supervisor = threading.Thread(target=self._supervise, args=(listener, process.pid))
        supervisor.start()
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
            supervisor.join()
        return Ran(process.returncode, stdout.decode(), stderr.decode(), time.monotonic() - began)

    def cut_power(self) -> None:
        """Reduce the checkpoint's files to synced data; a file that was never synced is empty."""
        for path in Path(self._checkpoint).parent.glob(f"{Path(self._checkpoint).name}*"):
            if path.suffix != ".lock":
                path.write_bytes(self._synced.get(str(path), b""))

    def _supervise(self, listener: int, process: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while not any(event & select.POLLHUP for _, event in poll.poll()):
                notice = bytearray(80)
                try:
                    fcntl.ioctl(listener, _RECEIVE, notice)
                    identity, thread, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", notice)
                    value, error = self._decide(NUMBERS[number], thread, process, arguments)
                    flags = _CONTINUE if value is None else 0
                    answer = struct.pack("QqiI", identity, value or 0, -error, flags)
                    fcntl.ioctl(listener, _SEND, answer)
                except OSError as gone:
                    if gone.errno not in {errno.ENOENT, errno.EINTR}:
                        raise
        finally:
            os.close(listener)

    def _decide(self, name: str, thread: int, process: int, arguments: list[int]) -> tuple[int | None, int]:
        """The value and error number of a call, or None to let it through."""
        path = _path(name, thread, arguments)
        if path is None or not path.startswith(self._checkpoint):
            return None, 0
        call, nth = Call(name, path.removeprefix(self._checkpoint)), len(self.calls)
        self.calls.append(call)
        fault = self._fault
        if fault is not None and (nth == fault.nth or (nth > fault.nth and fault.stays)):
            is_later = nth > fault.nth
            effect = Effect.FULL if is_later and fault.effect is Effect.TORN else fault.effect
            value, error = self._fail(effect, call, thread, process, arguments)
            if value is not None:
                self.hit = self.hit or call
                return value, error
        if name in {"fdatasync", "fsync"}:
            self._synced[path] = Path(path).read_bytes()
        elif name == "unlink":
            self._synced.pop(path, None)
        return None, 0

    def _fail(
        self, effect: Effect, call: Call, thread: int, process: int, arguments: list[int]
    ) -> tuple[int | None, int]:
        is_half = call.name == "pwrite64" and effect in {Effect.TORN, Effect.KILLED_HALF}
        written = _write_half(thread, arguments) if is_half else 0
        match effect:
            case Effect.KILLED | Effect.KILLED_HALF | Effect.POWER:
                os.kill(process, signal.SIGKILL)
                return 0, errno.EIO
            case Effect.TORN if written:
                return written, 0
            case Effect.FULL | Effect.TORN if call.name in {"pwrite64", "openat", "ftruncate"}:
                return 0, errno.ENOSPC
            case Effect.BROKEN:
                return 0, errno.ENOMEM if call.name == "mmap" else errno.EIO
            case _:  # a full disk has room for this
                return None, 0


def _path(name: str, thread: int, arguments: list[int]) -> str | None:
    """The file that a call is about."""
    if name in {"openat", "unlink"}:
        address = arguments[1] if name == "openat" or os.uname().machine == "aarch64" else arguments[0]
        return _memory(thread, address, 4096).partition(b"\0")[0].decode(errors="replace")
    descriptor = ctypes.c_int(arguments[4 if name == "mmap" else 0] & 0xFFFFFFFF).value
    try:
        return str(Path(f"/proc/{thread}/fd/{descriptor}").readlink())
    except OSError:  # no file: private memory
        return None


def _memory(thread: int, address: int, most: int) -> bytes:
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        # Not beyond the page, after which there may be nothing.
        return memory.read(min(most, 4096 - address % 4096) if most == 4096 else most)


def _write_half(thread: int, arguments: list[int]) -> int:
    descriptor, address, size, offset = arguments[:4]
    file = os.open(f"/proc/{thread}/fd/{descriptor}", os.O_WRONLY)
    try:
        return os.pwrite(file, _memory(thread, address, size // 2), offset)
    finally:
        os.close(file)
