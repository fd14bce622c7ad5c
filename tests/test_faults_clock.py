"""A wall clock that is set forward and back costs no row its invitation, and invites nobody twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import clock
from faults.needs import need


@pytest.mark.slow
def test_a_clock_set_forward_and_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    need("libfaketime (Debian: faketime)", there=clock.LIBRARY is not None)
    tried = clock.campaign(2, tmp_path, seed=1)
    assert len(tried) == 4
    assert [line for line in tried if not line.clean] == []
