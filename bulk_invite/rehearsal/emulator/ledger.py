"""The append-only file with everything that an audit needs. Entries are written before the response is sent.

Invariant: the file is a whole number of lines, except for a last one torn by a kill, which opening truncates:
no response was sent for it. Entries are written but not synced: the ledger survives a crash of the process,
not of the machine.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.rehearsal.emulator.ledger_entries import HEADER, CallEntry, InvitationEntry, read_entry

_BLOCK: Final = 1 << 20


class LedgerError(BulkInviteError):
    """The file is not a ledger, is in use by another emulator, or cannot be read or written."""

    code = "ledger"
    topic = "rehearsal"


class Ledger:
    """An open ledger file. path: None for a temporary file that is deleted with the process."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file = _open(path)
        self._size = os.fstat(self._file).st_size

    @property
    def size(self) -> int:
        """Bytes written so far: the offset of the next line."""
        return self._size

    def close(self) -> None:
        os.close(self._file)

    def entries(self) -> Iterator[tuple[int, CallEntry | InvitationEntry]]:
        """All entries with the offset of their line. Call it once, before the first `append`.

        Raises LedgerError where the file is not a ledger, or is damaged before its last line.
        """
        offset = 0
        for number, line in enumerate(self._lines(), start=1):
            if number == 1:
                self._check_header(line)
            if not line.endswith(b"\n"):
                break
            if number > 1:
                yield offset, self._read(line, number)
            offset += len(line)
        if offset < self._size:
            os.ftruncate(self._file, offset)
            self._size = offset
        if offset == 0:
            self._write(HEADER)

    def append(self, *entries: CallEntry | InvitationEntry) -> list[int]:
        """Write entries together and return the offset of each line.

        Raises LedgerError where the write fails; then none of them is in the file.
        """
        lines = [entry.line() for entry in entries]
        offsets = [self._size + sum(map(len, lines[:index])) for index in range(len(lines))]
        self._write(b"".join(lines))
        return offsets

    def read(self, offset: int) -> InvitationEntry:
        """The invitation whose line starts at `offset`."""
        entry = read_entry(next(self.lines(offset)))
        if not isinstance(entry, InvitationEntry):
            raise LedgerError(f"{self.path}: the entry at byte {offset} is not an invitation.")
        return entry

    def lines(self, offset: int = 0) -> Iterator[bytes]:
        """Complete lines from `offset` to the current end."""
        end, rest = self._size, b""
        block = 4096
        while offset < end:
            data = os.pread(self._file, min(block, end - offset), offset)
            offset += len(data)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line + b"\n"
            block = _BLOCK

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            yield from file

    def _check_header(self, line: bytes) -> None:
        if line != HEADER and not (HEADER.startswith(line) and not line.endswith(b"\n")):
            raise LedgerError(
                f"{self.path} is not an emulator's ledger.",
                hint="Choose a new file; this one is unchanged.",
            )

    def _read(self, line: bytes, number: int) -> CallEntry | InvitationEntry:
        try:
            return read_entry(line)
        except ValueError as error:
            raise LedgerError(f"{self.path} is damaged at line {number}: {error}.") from error

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._size + written)
        except OSError as error:
            # Half an entry in the middle would make the whole ledger unreadable.
            os.ftruncate(self._file, self._size)
            raise LedgerError(f"Cannot write the ledger {self.path}: {error.strerror}.") from error
        self._size += len(data)


def _open(path: Path | None) -> int:
    if path is None:
        with tempfile.TemporaryFile(prefix="bulk-invite-emulator-") as file:
            return os.dup(file.fileno())
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"Cannot open the ledger {path}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(f"The ledger {path} is in use by another emulator.") from error
    return descriptor
