"""A failure of any disk call, of any kind: the run stops, says so, and loses and repeats no row."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import storage
from faults.needs import need
from faults.under_watch import is_possible

WATCH = "seccomp's user notification (Linux 5.5, x86_64 or aarch64)"


@pytest.mark.slow
def test_a_disk_failure_at_any_call_stops_the_run_and_costs_no_row(tmp_path: Path) -> None:
    need(WATCH, there=is_possible())
    tried = storage.campaign(2, tmp_path, seed=1)
    assert len(tried) == 9
    assert [line for line in tried if not line.clean] == []


def test_no_call_leaves_before_the_intent_was_synced(tmp_path: Path) -> None:
    need(WATCH, there=is_possible())
    calls = storage.clean_calls(tmp_path)
    # Each row in turn, or three together: an intent and an outcome of each are synced.
    assert calls.count(("fdatasync", "-wal")) >= 2 + 2 * 6 // 3
