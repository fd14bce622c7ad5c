"""The history of a run's speed, in a bounded number of steps."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.monitoring.speed_history import History
from bulk_invite.monitoring.status import Past


def looked_at(seconds: int, *, rate: float = 10.0, calls: int = 9, throttled: int = 1) -> Past:
    """A run that was looked at every second."""
    history = History()
    for second in range(seconds):
        history.add(1e9 + second, second, rate, None, calls * (second + 1), throttled * (second + 1))
    return history.past()


def test_each_second_is_a_step_at_first() -> None:
    past = looked_at(11)
    assert (past.step_s, len(past.points)) == (1.0, 10)
    assert {(point.rate, point.calls, point.throttled) for point in past.points} == {(10.0, 9.0, 1.0)}


@given(st.integers(2, 5000))
def test_steps_are_few_and_cover_the_whole_run(seconds: int) -> None:
    past = looked_at(seconds)
    assert len(past.points) <= 480
    begins = [datetime.fromisoformat(point.at).timestamp() for point in past.points]
    assert begins == [1e9 + past.step_s * number for number in range(len(begins))]
    assert begins[0] == 1e9
    assert seconds - past.step_s * len(begins) <= past.step_s


@pytest.mark.parametrize("seconds", [50, 479, 481, 482, 1000, 100_000])
def test_rates_are_those_of_the_step(seconds: int) -> None:
    for point in looked_at(seconds, calls=7, throttled=2).points:
        assert (point.rate, point.calls, point.throttled) == (10.0, 7.0, 2.0)


def test_the_quota_is_the_last_estimate() -> None:
    history = History()
    for second, estimate in enumerate([None, None, 9.5, 9.5]):
        history.add(1e9 + second, second, 1.0, estimate, 0, 0)
    assert [point.estimated_quota for point in history.past().points] == [None, None, 9.5]


def test_setting_the_clock_changes_no_rate() -> None:
    history = History()
    for second in range(20):
        history.add(1e9 + second - (3600 if second > 10 else 0), second, 10.0, None, 10 * (second + 1), 0)
    assert {point.calls for point in history.past().points} == {10.0}
