"""The forecast for a number of calls, against a simulation call by call."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulk_invite.domain.durations import DAY
from bulk_invite.pacing.forecast import forecast
from bulk_invite.pacing.rolling_window import RollingWindow

_HOUR = 3600.0


def _window(quota: int | None, *earlier: float) -> RollingWindow:
    window = RollingWindow(quota)
    for time in earlier:
        window.add(time)
    return window


def _days(calls: int, rate: float, quota: int | None) -> int:
    return forecast(calls, rate, quota, _window(quota), 0.0).days


def _call_by_call(calls: int, rate: float, quota: int, earlier: list[float], now: float) -> float:
    day, time = deque(earlier), now
    for _ in range(calls):
        time += 1 / rate
        while day and day[0] + DAY <= time:
            day.popleft()
        while len(day) >= quota:
            time = max(time, day.popleft() + DAY)
        day.append(time)
    return time - now


@pytest.mark.parametrize(
    ("calls", "rate", "quota", "days"),
    [
        (50_000, 15, 10_000, 5),
        (50_001, 15, 10_000, 6),
        (10_000, 15, 10_000, 1),
        (10_001, 15, 10_000, 2),
        (100_000, 1, None, 2),
        (100_000, 1, 1_000_000, 2),
        (1_000_000, 1000, None, 1),
        (0, 15, 10_000, 1),
        (3, 0.001, 1, 3),
    ],
)
def test_a_forecast_counts_whole_days_of_the_quota(
    calls: int, rate: float, quota: int | None, days: int
) -> None:
    assert _days(calls, rate, quota) == days


def test_a_five_day_campaign_ends_soon_after_the_fifth_day_begins() -> None:
    assert forecast(50_000, 15, 10_000, _window(10_000), 0.0).seconds == pytest.approx(4 * DAY + 10_000 / 15)


def test_no_calls_take_no_time() -> None:
    assert forecast(0, 15, 1, _window(1, -1.0), 0.0).seconds == 0.0


def test_a_forecast_waits_out_a_used_up_day() -> None:
    ten_hours_ago = -10 * _HOUR
    window = _window(10_000, *[ten_hours_ago] * 10_000)
    assert forecast(1, 15, 10_000, window, 0.0).seconds == pytest.approx(14 * _HOUR, abs=1)
    assert forecast(10_001, 15, 10_000, window, 0.0).seconds == pytest.approx(38 * _HOUR, abs=1)


def test_calls_older_than_a_day_take_no_place() -> None:
    window = _window(100, *[0.0] * 100)
    assert forecast(100, 10, 100, window, DAY).seconds == pytest.approx(10.0)


def test_the_rest_of_the_day_is_used_first() -> None:
    window = _window(100, *[0.0] * 60)
    assert forecast(40, 10, 100, window, _HOUR).seconds == pytest.approx(4.0)
    assert forecast(41, 10, 100, window, _HOUR).seconds == pytest.approx(23 * _HOUR, abs=1)


@given(calls=st.integers(0, 200), rate=st.floats(0.0001, 100), quota=st.integers(1, 20))
def test_the_forecast_equals_a_simulated_run_on_a_fresh_day(calls: int, rate: float, quota: int) -> None:
    expected = _call_by_call(calls, rate, quota, [], 0.0)
    assert forecast(calls, rate, quota, _window(quota), 0.0).seconds == pytest.approx(expected)


@given(
    calls=st.integers(0, 100),
    rate=st.floats(0.0001, 100),
    quota=st.integers(1, 20),
    ago=st.lists(st.floats(0, 2 * DAY), max_size=40),
)
@example(calls=2, rate=0.001, quota=2, ago=[DAY - 500, DAY - 500])
def test_the_forecast_equals_a_simulated_run_on_a_partly_used_day(
    calls: int, rate: float, quota: int, ago: list[float]
) -> None:
    now = 2 * DAY
    earlier = sorted(now - each for each in ago)
    in_day = [time for time in earlier if time + DAY > now]
    expected = _call_by_call(calls, rate, quota, in_day, now)
    assert forecast(calls, rate, quota, _window(quota, *earlier), now).seconds == pytest.approx(expected)
