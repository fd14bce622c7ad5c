"""The results directory: one NDJSON file per outcome.

A file is written as `NAME.partial`; `close` syncs and renames it. Readers see either the old or the new file,
and a corrected `rejected.ndjson` can be a source of the very run that replaces it. A run that has not read
its sources to the end calls `abandon` instead: it must not replace rows that it never reached.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from bulk_invite.domain.errors import ResultsError
from bulk_invite.domain.rows import Position, Row, RowError
from bulk_invite.runs.output.result_line import json_line, line_for

_CREATED: Final = "created.ndjson"
_FAILED: Final = "failed.ndjson"
_REJECTED: Final = "rejected.ndjson"
_NAMES: Final = (_CREATED, _FAILED, _REJECTED)
_BUFFER_BYTES: Final = 64 * 1024


class Results:
    """Writes created.ndjson, failed.ndjson and rejected.ndjson (0600) of one run; for one thread at a time.

    created: `{"token", "position": {"source", "line"}, "Id", "Arn"}`, with "key" where rows have keys; and
    "label", if the row has one.
    failed, rejected: the row as it was, and in place of an earlier one
    `"_bulk_invite": {"key", "label", "origin", "position", "errors": [{"path", "code", "message"}]}`: key and
    label as they were, or from the database, if there are any. origin: for a row of a results file, its
    position in the first source.
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

    def created(
        self, position: Position, client_token: str, invitation_id: str, arn: str, label: str = ""
    ) -> None:
        line = {
            "token": client_token,
            "position": position.members(),
            "Id": invitation_id,
            "Arn": arn,
            **({"label": label} if label else {}),
        }
        self._write(_CREATED, json_line(line))

    def failed(self, row: Row, errors: Iterable[RowError], label: str = "") -> None:
        self._write(_FAILED, line_for(row, errors, label))

    def rejected(self, row: Row, errors: Iterable[RowError], label: str = "") -> None:
        self._write(_REJECTED, line_for(row, errors, label))

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
