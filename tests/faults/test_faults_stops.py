"""SIGTERM in every phase of a run: it ends soon and as documented, and the same command brings the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import stops


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("part", [0, 1])
def test_a_stop_in_any_phase_ends_soon_and_the_rest_arrives_once_later(tmp_path: Path, part: int) -> None:
    phases = stops.PHASES[part::2]
    tried = stops.campaign(1, tmp_path, 7, phases=phases, side_by_side=2)
    assert [line for line in tried if not line.clean] == []
    assert len(tried) == len(phases)
