"""A damaged checkpoint is noticed and nothing is sent, or the damage was harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import noise


@pytest.mark.slow
def test_a_damaged_checkpoint_repeats_and_loses_no_row(tmp_path: Path) -> None:
    tried = noise.campaign(1, tmp_path, seed=1)
    assert len(tried) == len(noise.DAMAGES)
    assert [line for line in tried if not line.clean] == []
