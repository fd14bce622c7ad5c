"""Two senders that are started on one checkpoint at the same instant do not send at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import senders


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_one_of_two_simultaneous_senders_sends_and_every_row_arrives_once(tmp_path: Path) -> None:
    tried = senders.campaign(20, tmp_path, 7)
    assert [line for line in tried if not line.clean] == []
    assert [(line.fault, line.times) for line in tried] == [(senders.TOGETHER, 14), (senders.KILLED, 6)]
