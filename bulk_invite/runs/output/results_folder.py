"""The results directory: what became of the rows, one NDJSON file for each ending.

A file is written as `NAME.partial` and takes its name in `close`, on disk first: a reader sees a whole file
or the one before it, and a mended `rejected.ndjson` can be a source of the very run that replaces it. A run
that has not read its sources to the end calls `abandon` instead: it must not replace rows it never reached.
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
"""What terminals obey, or are turned around by, and JSON does not ask to escape."""
_LINE_ENDS_TO_SPACES: Final = {ord("\n"): " ", ord("\r"): " "}


class Results:
    """Writes created.ndjson, failed.ndjson and rejected.ndjson (0600) of one run; for one thread at a time.

    created: `{"token", "position": {"source", "line"}, "Id", "Arn"}`, with "key" where rows have keys.
    failed, rejected: the row as it was, and in place of an earlier one
    `"_bulk_invite": {"position", "errors": [{"path", "code", "message"}]}`.
    A row that is not one JSON object, strictly read, stands as text in `_bulk_invite.raw`; of an oversized
    one there are only position and errors.

    Every method raises ResultsError when the disk does not take what it has to.
    """

    def __init__(self, directory: Path, lock: int, files: dict[str, BinaryIO]) -> None:
        """Take over what `open` has opened."""
        self._directory = directory
        self._lock = lock
        self._files = files

    @classmethod
    def open(cls, directory: Path, *, only_rejected: bool = False) -> Results:
        """Begin the files of a run; the directory is made (0700) where it is missing.

        only_rejected: for a run that sends nothing and has nothing to say about the other files.
        ResultsError: it cannot be made or written, or another run is writing there.
        """
        with _translated(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        files: dict[str, BinaryIO] = {}
        results = cls(directory, lock, files)
        with ExitStack() as undo:
            undo.callback(results.abandon)
            results._take_lock()
            with _translated(directory):
                for name in [_REJECTED] if only_rejected else _NAMES:
                    files[name] = _begun(results._partial(name))
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
        self._write(_FAILED, _explained(row, errors))

    def rejected(self, row: Row, errors: Iterable[RowError]) -> None:
        self._write(_REJECTED, _explained(row, errors))

    def close(self, *, keep_previous: bool = False) -> None:
        """Give the files their names, durably, in place of those of an earlier run; once.

        keep_previous: what would be replaced is kept as `NAME.previous`, unless it is empty.
        """
        if not self._files:
            return
        try:
            with _translated(self._directory):
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
        """End without giving the files their names: those of an earlier run stay, these stay `.partial`."""
        while self._files:
            _, file = self._files.popitem()
            with suppress(OSError):  # it closes all the same, and the run ends with an error of its own
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
            hint = "Wait for it, or name another directory with --results."
            raise ResultsError(f"{self._directory}: another run writes its results here.", hint=hint) from exc
        except OSError:
            pass  # a file system without locks, such as some network ones, is no reason to refuse it

    def _write(self, name: str, line: str) -> None:
        # A lone surrogate can only stand within a JSON string, where its backslash form is its JSON escape.
        data = line.encode(errors="backslashreplace") + b"\n"
        with _translated(self._directory):
            self._files[name].write(data)


def _begun(path: Path) -> BinaryIO:
    """Create the file anew: one that a killed run left behind may be of another mode, or a link."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(fd, "wb", buffering=_BUFFER_BYTES)


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        message = f"{directory}: results cannot be written here ({exc.strerror or exc})."
        raise ResultsError(message, hint="Check the path, its permissions and the space left.") from exc


def _position(position: Position) -> dict[str, object]:
    return position.members()


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _explained(row: Row, errors: Iterable[RowError]) -> str:
    """The line for a row: its own text and values untouched, the metadata at its end."""
    metadata: dict[str, object] = {
        "position": _position(row.position),
        "errors": [{"path": error.path, "code": error.code, "message": error.message} for error in errors],
    }
    members, earlier = ([], None) if row.oversized else _members(row.data)
    match earlier:
        case {"raw": str(text)} if not members:
            metadata["raw"] = text  # not mended yet, and it stands nowhere else
        case _ if members is None:
            metadata["raw"] = row.data.decode(errors="backslashreplace")
    return "{" + ",".join([*(members or []), f'"{METADATA}":{_json(metadata)}']) + "}"


def _once(members: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(members)
    if len(value) < len(members):
        raise ValueError("a key is given twice")
    return value


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Numbers are only passed over: converting them would cost time, and is refused for very long ones.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=len, parse_float=len, parse_constant=_refused
)


def _members(text: bytes) -> tuple[list[str] | None, object]:
    """Members as they are written, value of the metadata; (None, None): not one strict JSON object."""
    try:
        row = text.decode("utf-8-sig")
        if isinstance(_DECODER.decode(row), dict):
            return _taken_apart(row)
    except (ValueError, RecursionError):
        pass
    return None, None


def _taken_apart(text: str) -> tuple[list[str], object]:
    members: list[str] = []
    metadata: object = None
    at = _past_space(text, text.index("{") + 1)
    while text[at] != "}":
        key, colon = _DECODER.raw_decode(text, at)
        value, end = _DECODER.raw_decode(text, _past_space(text, _past_space(text, colon) + 1))
        if key == METADATA:
            metadata = value
        else:
            # Between tokens a line end is as good as a space, and within strings there is none.
            members.append(text[at:end].translate(_LINE_ENDS_TO_SPACES))
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)
    return members, metadata


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
