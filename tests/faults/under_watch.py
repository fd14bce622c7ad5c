"""A process whose calls that change files wait for a supervisor.

Why not strace: it counts the calls of each thread by itself, and the checkpoint is written from several.
The kernel hands such a call to the process that holds the listener (seccomp's user notification).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path
from typing import Final

_NAMES: Final = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "openat", "mmap")
NUMBERS: Final = {
    "x86_64": dict(zip((18, 75, 74, 77, 87, 257, 9), _NAMES, strict=True)),
    "aarch64": dict(zip((68, 83, 82, 46, 35, 56, 222), _NAMES, strict=True)),
}.get(platform.machine(), {})
"""Numbers of the calls; on aarch64 `unlink` is unlinkat, whose path comes second."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), -1)
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SHARED: Final = 1


def _filter() -> bytes:
    """Watch those calls; of openat and mmap only those that can write or are shared."""
    code: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]
    for number, name in NUMBERS.items():
        match name:
            case "openat":
                mask, argument = _WRITING, 2
            case "mmap":
                mask, argument = _SHARED, 3
            case _:
                code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ASK)]
                continue
        code += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * argument),
            (_ANY_BIT, 0, 1, mask),
            (_RETURN, 0, 0, _ASK),
            (_RETURN, 0, 0, _ALLOW),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *each) for each in code)


def is_possible() -> bool:
    """Whether this kernel can do that."""
    known = Path("/proc/sys/kernel/seccomp/actions_avail")
    return bool(NUMBERS) and known.exists() and "user_notif" in known.read_text().split()


def listen() -> int:
    """Install the filter on this process and its successor; the listener's descriptor, or OSError."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    text = _filter()
    code = ctypes.create_string_buffer(text, len(text))
    program = Program(len(text) // 8, ctypes.cast(code, ctypes.c_void_p))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, without which only root may
    # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
    listener: int = libc.syscall(_SECCOMP, 1, 8, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel has no seccomp user notification")
    return listener
