"""Standard output, which carries results only: text, or with --json exactly one object."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from threading import Event
from typing import Any, Final

import orjson

from bulk_invite.domain.errors import BulkInviteError, InterruptedRunError, OutputError
from bulk_invite.domain.texts import escaped_json

wants_object: Final = Event()
"""Set if the command was asked for JSON."""

has_object: Final = Event()
"""Set once an object has been written: the end of the program adds no second one."""


class ReaderGoneError(Exception):
    """The reader of standard output has gone, as that of `bulk-invite export | head` has."""


class _Checked(FileIO):
    """The descriptor of standard output. A write raises ReaderGoneError or OutputError.

    After that, everything goes to the null device: else the interpreter would report the same error again
    when it ends.
    """

    def write(self, data: Any, /) -> int:
        if not data:  # typer tries a stream with nothing, and ignores the error that a full disk gives
            return 0
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise ReaderGoneError from None
            raise OutputError(
                f"Standard output cannot be written: {error.strerror or type(error).__name__}.",
                hint="Make room, or send it elsewhere. What is recorded is not lost: bulk-invite status.",
            ) from error


def check() -> None:
    """Replace `sys.stdout` by one whose errors tell a reader that has gone from a disk that is full."""
    before = sys.stdout
    raw = _Checked(before.fileno(), "w", closefd=False)
    is_unbuffered = getattr(before, "write_through", False)
    sys.stdout = TextIOWrapper(
        raw if is_unbuffered else BufferedWriter(raw),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.isatty(),
        write_through=is_unbuffered,
    )


def end_with(error: BulkInviteError, members: Mapping[str, object] | None = None) -> None:
    """Write the object of a command that ends without a result, if it is wanted and there is none yet.

    At once, and from any thread: what is buffered is not waited for. members: what its result would have.
    """
    if not wants_object.is_set() or has_object.is_set():
        return
    has_object.set()
    with suppress(OSError):
        os.write(1, f"{_object(members or {}, error, complete=False)}\n".encode())


def end_interrupted() -> None:
    """`end_with` of a command that does not end by itself after the second signal."""
    end_with(InterruptedRunError())


def write(text: str) -> None:
    """Write a whole result. Raises ReaderGoneError and OutputError."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_object(
    members: Mapping[str, object], error: BulkInviteError | None = None, *, complete: bool
) -> None:
    """Write the result as one JSON object, with how the command ended. Raises as `write` does.

    error: what ended it with an exit code other than 0 and 1. complete: nothing is left to do for the same
    command.
    """
    has_object.set()
    write(f"{_object(members, error, complete=complete)}\n")


def _object(members: Mapping[str, object], error: BulkInviteError | None, *, complete: bool) -> str:
    ending = {"error": None if error is None else error.members(), "complete": complete}
    return escaped_json(orjson.dumps({**members, **ending}).decode())
