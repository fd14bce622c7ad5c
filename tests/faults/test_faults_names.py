"""A checkpoint by another name, and one whose files are taken away under a run: nothing is sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import names

_SHORT = frozenset({"hard link", "moved without its log", "removed c.db", "moved c.db-wal"})


@pytest.mark.slow
def test_another_name_of_a_checkpoint_repeats_no_row(tmp_path: Path) -> None:
    tried = names.campaign(1, tmp_path, 7, _SHORT)
    assert [line for line in tried if not line.clean] == []
    assert [line.times for line in tried] == [2, 2, 1]
