"""The results directory: one NDJSON file per outcome.

A file is written as `NAME.partial`; `close` syncs and renames it. Readers see either the old or the new file,
and a corrected `rejected.ndjson` can be a source of the very run that replaces it. A run that has not read
its sources to the end calls `abandon` instead: it must not replace rows that it never reached.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from bulk_invite.domain.errors import ResultsError
from bulk_invite.domain.rows import METADATA, Position, Row, RowError

_CREATED: Final = "created.ndjson"
_FAILED: Final = "failed.ndjson"
_REJECTED: Final = "rejected.ndjson"
_NAMES: Final = (_CREATED, _FAILED, _REJECTED)
_BUFFER_BYTES: Final = 64 * 1024
_TERMINAL_CONTROLS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control and bidirectional characters that affect terminals but need no escape in JSON."""
_LINE_ENDS_TO_SPACES: Final = {ord("\n"): " ", ord("\r"): " "}


class Results:
    """Writes created.ndjson, failed.ndjson and rejected.ndjson (0600) of one run; for one thread at a time.

    created: `{"token", "position": {"source", "line"}, "Id", "Arn"}`, with "key" where rows have keys.
    failed, rejected: the row as it was, and in place of an earlier one
    `"_bulk_invite": {"position", "errors": [{"path", "code", "message"}]}`.
    A row that is not a strict JSON object is text in `_bulk_invite.raw`; an oversized row has only position
    and errors.

    Every method raises ResultsError where a write fails.
    """

    def __init__(self, directory: Path, lock: int, files: dict[str, BinaryIO]) -> None:
        """Use `open` instead. lock: descriptor of the directory; files: open partial files by name."""
        self._directory = directory
        self._lock = lock
        self._files = files

    @classmethod
    def open(cls, directory: Path, *, only_rejected: bool = False) -> Results:
        """Create the partial files of a run, and the directory (0700) if it is missing.

        only_rejected: for a run that sends nothing and must leave the other files alone.
        Raises ResultsError where the directory cannot be written, or another run is writing to it.
        """
        with _translated_errors(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        files: dict[str, BinaryIO] = {}
        results = cls(directory, lock, files)
        with ExitStack() as undo:
            undo.callback(results.abandon)
            results._take_lock()
            with _translated_errors(directory):
                for name in [_REJECTED] if only_rejected else _NAMES:
                    files[name] = _created_file(results._partial(name))
            undo.pop_all()
        return results

    def created(self, position: Position, client_token: str, invitation_id: str, arn: str) -> None:
        line = {
            "token": client_token,
            "position": _position(position),
            "Id": invitation_id,
            "Arn": arn,
        }
        self._write(_CREATED, _json(line))

    def failed(self, row: Row, errors: Iterable[RowError]) -> None:
        self._write(_FAILED, _line_for(row, errors))

    def rejected(self, row: Row, errors: Iterable[RowError]) -> None:
        self._write(_REJECTED, _line_for(row, errors))

    def close(self, *, keep_previous: bool = False) -> None:
        """Sync the files and rename them over those of an earlier run. Later calls do nothing.

        keep_previous: keep a replaced file as `NAME.previous`, unless it is empty.
        """
        if not self._files:
            return
        try:
            with _translated_errors(self._directory):
                for file in self._files.values():
                    file.flush()
                    os.fsync(file.fileno())
                for name in self._files:
                    final = self._directory / name
                    if keep_previous and final.exists() and final.stat().st_size:
                        final.replace(self._directory / f"{name}.previous")
                    self._partial(name).replace(final)
                os.fsync(self._lock)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without renaming: the files of an earlier run stay, and these stay `.partial`."""
        while self._files:
            _, file = self._files.popitem()
            with suppress(OSError):  # it is closed anyway, and the run ends with its own error
                file.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _partial(self, name: str) -> Path:
        return self._directory / f"{name}.partial"

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            hint = "Wait for that run to end, or choose another directory with --results."
            raise ResultsError(
                f"Another run is writing its results to {self._directory}.", hint=hint
            ) from exc
        except OSError:
            pass  # file systems without locks, such as some network ones, are accepted

    def _write(self, name: str, line: str) -> None:
        # A lone surrogate occurs only within a JSON string, where its backslash form is its JSON escape.
        data = line.encode(errors="backslashreplace") + b"\n"
        with _translated_errors(self._directory):
            self._files[name].write(data)


def _created_file(path: Path) -> BinaryIO:
    """Create the file anew: one left by a killed run may have another mode, or be a link."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(fd, "wb", buffering=_BUFFER_BYTES)


@contextmanager
def _translated_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        message = f"Results cannot be written to {directory}: {exc.strerror or exc}."
        raise ResultsError(message, hint="Check the path, its permissions and the free space.") from exc


def _position(position: Position) -> dict[str, object]:
    return position.members()


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _line_for(row: Row, errors: Iterable[RowError]) -> str:
    """The output line for a row: its own text unchanged, with metadata appended."""
    metadata: dict[str, object] = {
        "position": _position(row.position),
        "errors": [{"path": error.path, "code": error.code, "message": error.message} for error in errors],
    }
    members, earlier = ([], None) if row.oversized else _members(row.data)
    match earlier:
        case {"raw": str(text)} if not members:
            metadata["raw"] = text  # not corrected yet, and kept nowhere else
        case _ if members is None:
            metadata["raw"] = row.data.decode(errors="backslashreplace")
    return "{" + ",".join([*(members or []), f'"{METADATA}":{_json(metadata)}']) + "}"


def _unique_keys(members: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(members)
    if len(value) < len(members):
        raise ValueError("a key is given twice")
    return value


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Numbers are skipped, not converted: conversion is slow, and Python refuses very long ones.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=len, parse_float=len, parse_constant=_refused
)


def _members(text: bytes) -> tuple[list[str] | None, object]:
    """Members as written, and the metadata; (None, None) where the text is not a strict JSON object."""
    try:
        row = text.decode("utf-8-sig")
        if isinstance(_DECODER.decode(row), dict):
            return _split(row)
    except (ValueError, RecursionError):
        pass
    return None, None


def _split(text: str) -> tuple[list[str], object]:
    members: list[str] = []
    metadata: object = None
    at = _past_space(text, text.index("{") + 1)
    while text[at] != "}":
        key, colon = _DECODER.raw_decode(text, at)
        value, end = _DECODER.raw_decode(text, _past_space(text, _past_space(text, colon) + 1))
        if key == METADATA:
            metadata = value
        else:
            # Between tokens, a space replaces a line end; within strings, there are no line ends.
            members.append(text[at:end].translate(_LINE_ENDS_TO_SPACES))
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)
    return members, metadata


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
