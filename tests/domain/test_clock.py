"""Time that does not jump, and its translation for people."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.clock import Clock, utc_text

_EPOCH = 1_800_000_000.0


@dataclass
class _Machine:
    """Both clocks of a machine, the wall clock `ahead` of its former time."""

    up: float = 1000.0
    ahead: float = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: _EPOCH + self.up + self.ahead, lambda: self.up)


@given(steps=st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e8, 1e8))))
def test_steady_time_is_independent_of_the_wall_clock(
    steps: list[tuple[float, float]],
) -> None:
    machine = _Machine()
    clock = machine.clock()
    began = clock.steady()
    passed = 0.0
    for seconds, ahead in steps:
        machine.up += seconds
        machine.ahead = ahead
        passed += seconds
        assert clock.steady() - began == pytest.approx(passed, abs=1e-5)


@pytest.mark.parametrize("ahead", [0.0, 7200.0, -7200.0])
def test_a_clock_begins_at_the_current_wall_clock_time(ahead: float) -> None:
    machine = _Machine(ahead=ahead)
    assert machine.clock().steady() == machine.clock().wall() == _EPOCH + 1000 + ahead


@given(ahead=st.floats(-1e8, 1e8), left=st.floats(-1e6, 1e6))
def test_a_steady_time_keeps_its_distance_from_now_on_the_wall_clock(ahead: float, left: float) -> None:
    machine = _Machine()
    clock = machine.clock()
    machine.up += 60.0
    machine.ahead = ahead
    assert clock.as_wall(clock.steady() + left) == pytest.approx(clock.wall() + left, abs=1e-5)
    assert clock.wall() == _EPOCH + machine.up + ahead


def test_times_are_shown_in_utc_by_the_current_wall_clock() -> None:
    machine = _Machine(up=0.0)
    clock = machine.clock()
    assert clock.text(clock.steady() + 5) == "2027-01-15T08:00:05Z"
    machine.ahead = 3600.0
    assert clock.text(clock.steady() + 5) == "2027-01-15T09:00:05Z"
    assert utc_text(0.0) == "1970-01-01T00:00:00Z"
