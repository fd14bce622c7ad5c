"""A wall clock that is set forward and back costs no row its invitation, and invites no row twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import FAST, emulator, run
from rows import make_rows, write_rows

from faults import clock
from faults.needs import need


def test_a_run_sees_the_clock_as_set(tmp_path: Path) -> None:
    need("libfaketime (Debian: faketime)", there=clock.LIBRARY is not None)
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, *FAST, "--log-format", "json")
        ran = run(*command, cwd=tmp_path, env=clock.faked("+3d"))
    logged_at = datetime.fromisoformat(ran.events[0]["timestamp"])
    assert timedelta(days=2.9) < logged_at - datetime.now(UTC) < timedelta(days=3.1)


@pytest.mark.slow
def test_a_clock_set_forward_and_back_loses_and_repeats_no_row(tmp_path: Path) -> None:
    need("libfaketime (Debian: faketime)", there=clock.LIBRARY is not None)
    tried = clock.campaign(2, tmp_path, seed=1)
    assert len(tried) == 4
    assert [line for line in tried if not line.clean] == []
