"""Rows of sources that repeat each other, found without a checkpoint."""

from __future__ import annotations

import subprocess
import sys

_FULL = """
import resource
import signal
from bulk_invite.checkpoint.seen_rows import SeenRows
from bulk_invite.domain.errors import TemporaryFilesError
from bulk_invite.domain.rows import Invitation, Position, Row
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with SeenRows("") as seen:
    for number in range(100):
        row = Row(Position("db", key=f"{number:01000000}"), b"{}")
        try:
            seen.add([Invitation(row, f"t{number}", b"", "", f"e{number}", "", account="111122223333")])
        except TemporaryFilesError as error:
            print(error)
            break
"""


def test_a_full_disk_for_temporary_files_is_named() -> None:
    ended = subprocess.run([sys.executable, "-c", _FULL], capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("Temporary files cannot be written: d"), ended.stderr
    assert "TMPDIR" in ended.stdout
