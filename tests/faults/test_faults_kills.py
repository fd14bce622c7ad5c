"""Two hundred kills: nothing is lost, nothing is sent twice, and the same command continues each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import kills
from faults.points import POINTS

KILLS = 220

_GROUPS = {
    "outside_of_calls": [point for point in POINTS if point not in kills.OF_A_ROW],
    "about_the_intent": [label for label in kills.OF_A_ROW if label.endswith("_intent")],
    "about_the_answer": [label for label in kills.OF_A_ROW if not label.endswith("_intent")],
    "at_random_moments": list(kills.RANDOM),
    "at_a_point_with_all_faults": [kills.FAULTY[0]],
    "at_random_moments_with_all_faults": list(kills.FAULTY[1:]),
}


def test_every_label_is_in_a_group_and_the_groups_make_200_kills() -> None:
    assert sorted(label for group in _GROUPS.values() for label in group) == sorted(kills.LABELS)
    assert sum(kills.shares(KILLS).values()) >= 200


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_kills_with_a_checkpoint_in_a_database_lose_and_repeat_no_row(tmp_path: Path) -> None:
    labels = [*kills.OF_A_ROW, "in_admit", "in_begin_run", "random moment", kills.FAULTY[0]]
    tried = kills.campaign_in_database(34, tmp_path, 7, labels=labels)
    assert [line for line in tried if not line.clean] == []
    assert sum(line.times for line in tried) >= 30


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("group", _GROUPS)
def test_a_kill_at_every_label_loses_and_repeats_no_row(tmp_path: Path, group: str) -> None:
    labels = _GROUPS[group]
    wanted = kills.shares(KILLS)
    # The exact share of a group may differ by a kill or two from the rounded one.
    tried = kills.campaign(sum(wanted[label] for label in labels), tmp_path, 7, labels=labels, senders=1)
    assert [line for line in tried if not line.clean] == []
    assert [line.fault for line in tried] == [f"killed: {label}" for label in labels]
    assert all(line.times >= 1 for line in tried)
    assert sum(line.times for line in tried) >= sum(wanted[label] for label in labels) - len(labels) // 2
    if group == "about_the_answer":
        # A kill with the call in flight, or its answer not yet on disk, costs one more call.
        assert all(line.repeated > 0 for line in tried if line.fault != "killed: after_commit")
