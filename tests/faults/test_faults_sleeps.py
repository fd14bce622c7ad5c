"""A sender that sleeps between its decision and its call invites no row twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import sleeps


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", sleeps.KINDS)
def test_a_sender_that_slept_sends_nothing_late(tmp_path: Path, kind: str) -> None:
    (tried,) = sleeps.campaign(1, tmp_path, 7, kinds=[kind])
    assert tried.clean, tried
    assert tried.times >= 1
