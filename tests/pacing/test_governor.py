"""The state that survives a run: rate, learned cap, park; and the joint decisions of rate and park."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pacers import Service, answer, make_governor, send_for

from bulk_invite.domain.durations import DAY, HOUR, MINUTE
from bulk_invite.domain.records import PacingState
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.parking import Park, Why
from bulk_invite.pacing.throttle_share import ThrottleShare


def _paced(seconds: float = 600.0, rate: float = 10.0) -> Governor:
    """A run that has measured its quota."""
    governor = make_governor(100.0, start=1.0)
    send_for(seconds, governor, Service(rate, rate))
    assert governor.estimate == pytest.approx(rate, rel=0.1)
    return governor


def _parked(governor: Governor, retry_after: float = 600.0) -> Governor:
    """A first call that brings a long `retry_after`."""
    answer(governor, governor.leave(0.0), 0.0, granted=False, retry_after=retry_after)
    assert governor.park(0.0) is not None
    return governor


def _next_run(memory: PacingState, now: float, *, start: float | None = 1.0, rate: float = 100.0) -> Governor:
    return make_governor(rate, start=start, memory=memory, now=now)


# The rate


@pytest.mark.parametrize("later", [0.0, 1.0, 3599.0])
def test_a_recent_rate_is_restored_at_nine_tenths(later: float) -> None:
    memory = _paced().memory(600.0)
    assert _next_run(memory, 600.0 + later).rate == pytest.approx(0.9 * memory.rate)


@pytest.mark.parametrize("later", [3601.0, 10 * DAY])
@pytest.mark.parametrize("start", [1.0, None])
def test_an_old_rate_is_not_restored(later: float, start: float | None) -> None:
    memory = _paced().memory(600.0)
    assert _next_run(memory, 600.0 + later, start=start).rate == (100.0 if start is None else start)


def test_a_rate_saved_in_the_future_is_not_restored() -> None:
    """The clock was set back by a month meanwhile."""
    memory = _paced().memory(30 * DAY)
    assert _next_run(memory, 600.0).rate == 1.0


def test_a_restored_rate_soon_reaches_its_full_value_without_a_slow_start() -> None:
    memory = _paced().memory(600.0)
    governor = _next_run(memory, 600.0)
    trial = send_for(3.0, governor, Service(10, 10))
    assert governor.rate >= 0.98 * memory.rate
    assert len(trial.granted) >= 3 * 10 * 0.9
    assert not trial.refused


def test_a_restored_rate_stays_below_the_current_ceiling() -> None:
    memory = _paced().memory(600.0)
    assert _next_run(memory, 600.0, rate=2.0).rate == 2.0


def test_a_fixed_rate_that_was_never_throttled_begins_in_full() -> None:
    governor = make_governor(5.0)
    send_for(60.0, governor, Service(100, 100))
    assert make_governor(5.0, memory=governor.memory(60.0), now=60.0).rate == 5.0


def test_the_search_for_the_rate_resumes_where_it_ended() -> None:
    governor = make_governor(1000.0, start=1.0)
    send_for(5.0, governor, Service(1000, 1000))
    memory = governor.memory(5.0)
    assert memory.estimate is None
    following = _next_run(memory, 5.0, rate=1000.0)
    assert following.rate == pytest.approx(0.9 * memory.rate)
    send_for(3.0, following, Service(1000, 1000))
    assert following.rate > 4 * memory.rate


def test_the_estimated_quota_is_saved() -> None:
    memory = _paced().memory(600.0)
    assert _next_run(memory, 600.0).estimate == memory.estimate


# Park and cap


def test_a_park_and_its_next_probe_survive_the_run() -> None:
    governor = _parked(make_governor(10.0, earlier=[-100.0] * 50))
    memory = governor.memory(1.0)
    park = governor.park(1.0)
    assert park is not None
    assert (memory.parked, memory.next_call, memory.learned_quota) == (park.why, park.next_call, 50)

    following = make_governor(10.0, earlier=[-100.0] * 50, memory=memory, now=20.0)
    assert following.park(20.0) == park
    assert following.earliest(20.0) == park.next_call
    assert following.leave(park.next_call).probe
    assert following.earliest(park.next_call) == math.inf


def test_a_full_account_survives_the_run() -> None:
    governor = make_governor(10.0)
    governor.close(Why.ACCOUNT_FULL, 0.0)
    memory = governor.memory(1.0)
    following = make_governor(10.0, memory=memory, now=20.0)
    assert following.park(20.0) == governor.park(20.0)
    assert following.leave(following.earliest(20.0)).probe


def test_a_learned_cap_survives_the_run_and_holds_in_the_next_one() -> None:
    memory = PacingState(at=0.0, rate=10.0, learned_quota=5)
    governor = make_governor(10.0, earlier=[0.0, 1.0, 2.0], memory=memory, now=10.0)
    for now in (10.0, 11.0):
        assert governor.earliest(now) <= now
        answer(governor, governor.leave(now), now, granted=True)
    assert governor.park(12.0) == Park(Why.UNKNOWN_QUOTA, 12.0 + 900.0, 2.0 + DAY)


def test_a_park_from_long_ago_is_over() -> None:
    memory = _parked(make_governor(10.0, earlier=[-100.0] * 50)).memory(1.0)
    later = 3 * DAY
    governor = make_governor(10.0, earlier=[-100.0] * 50, memory=memory, now=later)
    assert governor.earliest(later) <= later
    assert not governor.leave(later).probe


def test_a_run_that_parked_before_any_granted_call_probes_at_once_days_later() -> None:
    memory = _parked(make_governor(10.0)).memory(1.0)
    later = 3 * DAY
    governor = make_governor(10.0, memory=memory, now=later)
    assert governor.earliest(later) <= later
    assert governor.leave(later).probe


@pytest.mark.parametrize("why", [Why.ACCOUNT_FULL, Why.UNKNOWN_QUOTA])
def test_a_park_saved_by_a_wrong_clock_lasts_a_day_at_most(why: Why) -> None:
    """The last run's clock was a year ahead."""
    memory = PacingState(at=365 * DAY, rate=1.0, parked=why, next_call=365 * DAY + 900.0)
    assert make_governor(10.0, memory=memory, now=0.0).earliest(0.0) <= DAY


def test_a_known_quota_is_restored_from_the_calls_alone() -> None:
    memory = make_governor(10.0, daily_quota=3, earlier=[0.0, 1.0, 2.0]).memory(10.0)
    assert (memory.parked, memory.parked_until, memory.counted) == (Why.DAILY_QUOTA, DAY, 3)
    raised = make_governor(10.0, daily_quota=4, earlier=[0.0, 1.0, 2.0], memory=memory, now=10.0)
    assert raised.earliest(10.0) <= 10.0


@given(
    parked=st.sampled_from(["", *Why]),
    until=st.none() | st.floats(-DAY, DAY),
    learned=st.none() | st.integers(0, 20),
    quota=st.none() | st.integers(1, 20),
    ago=st.lists(st.floats(0, 2 * DAY), max_size=20),
)
def test_every_saved_pacing_state_can_be_resumed(
    parked: str, until: float | None, learned: int | None, quota: int | None, ago: list[float]
) -> None:
    memory = PacingState(
        at=0.0, rate=1.0, learned_quota=learned, parked=parked, next_call=until if parked else None
    )
    earlier = sorted(-each for each in ago)
    governor = make_governor(10.0, daily_quota=quota, earlier=earlier, memory=memory)
    now = 0.0
    for _ in range(50):
        now = max(now + 1, governor.earliest(now))
        if governor.earliest(now) <= now:
            permit = governor.leave(now)
            answer(governor, permit, now, granted=True)
            if not permit.probe:
                break
    else:
        pytest.fail("it never sends again")
    assert now <= 3 * DAY


# Both parts together


def test_a_cap_leaves_the_rate_unchanged_for_the_next_day_and_the_next_run() -> None:
    governor = make_governor(100.0, start=1.0)
    send_for(600.0, governor, Service(10, 10, cap=2000))
    assert governor.memory(600.0).parked == Why.UNKNOWN_QUOTA
    assert governor.memory(600.0).rate == pytest.approx(10.0, rel=0.05)

    trial = send_for(1.5 * DAY, make_governor(100.0, start=1.0), Service(10, 10, cap=2000))
    second_day = trial.granted[2000:]
    assert len(second_day) == 2000
    assert second_day[-1].decided - second_day[0].decided < 2000 / 10 * 1.1


def test_a_probe_does_not_move_the_rate() -> None:
    governor = _parked(make_governor(10.0))
    rate = governor.rate
    for granted in (False, True):
        now = governor.earliest(1.0)
        answer(governor, governor.leave(now), now + 0.1, granted=granted)
        assert governor.rate == rate


def test_a_call_waits_for_the_later_of_rate_and_park() -> None:
    governor = make_governor(10.0, daily_quota=1, earlier=[-DAY + 5.0])
    assert governor.earliest(0.0) == 5.0
    permit = governor.leave(5.0)
    governor.observe(permit, Signal.THROTTLED, sent_at=5.0, answered_at=5.1, counted=False, retry_after=30.0)
    assert governor.earliest(6.0) >= 35.1


def test_time_left_counts_with_the_learned_cap() -> None:
    memory = PacingState(at=0.0, rate=10.0, learned_quota=10)
    assert make_governor(10.0).time_left(100, 10.0, 0.0) == pytest.approx(10.0)
    assert make_governor(10.0, memory=memory).time_left(100, 10.0, 0.0) == pytest.approx(9 * DAY + 1)
    stricter = make_governor(10.0, daily_quota=5, memory=memory)
    assert stricter.time_left(100, 10.0, 0.0) == pytest.approx(19 * DAY + 0.5)


def test_the_saved_state_counts_calls_in_flight() -> None:
    governor = make_governor(10.0, earlier=[0.0])
    governor.leave(1.0)
    assert governor.memory(1.0).counted == 2


# Shares


@given(
    calls=st.lists(st.tuples(st.floats(0, 60), st.booleans()), min_size=1, max_size=200),
    over=st.sampled_from([MINUTE, HOUR]),
)
def test_throttle_shares_cover_the_last_minute_and_hour_within_seconds(
    calls: list[tuple[float, bool]], over: float
) -> None:
    shares, times, now = ThrottleShare(), list[tuple[float, bool]](), 0.0
    for gap, throttled in calls:
        now += gap
        times.append((now, throttled))
        shares.add(now, throttled=throttled)
    surely = [throttled for time, throttled in times if time > now - over + 5]
    perhaps = [throttled for time, throttled in times if time > now - over]
    share = shares.throttled(now, over)
    assert share is not None
    assert sum(surely) / len(perhaps) <= share <= sum(perhaps) / len(surely)
    assert shares.throttled(now + over + 5, over) is None


def test_runs_of_one_or_two_calls_do_not_lower_the_rate() -> None:
    for rate in (0.1, 0.9, 1.0):
        memory = PacingState(at=0.0, rate=rate)
        assert make_governor(15.0, start=1.0, memory=memory, now=1.0).rate == 1.0


def test_calls_that_fail_for_other_reasons_take_a_token_too() -> None:
    """One call in five is refused for its content: the quota is still measured."""
    governor, now, tokens, number = make_governor(100.0, start=1.0), 0.0, 10.0, 0
    while now < 600:
        leaves = max(now + 1 / governor.rate, governor.earliest(now))
        tokens = min(10.0, tokens + 10 * (leaves - now))
        now, number = leaves, number + 1
        granted = tokens >= 1
        tokens -= granted
        signal = Signal.THROTTLED if not granted else Signal.IGNORED if number % 5 == 0 else Signal.SUCCESS
        governor.observe(governor.leave(now), signal, sent_at=now, answered_at=now, counted=granted)
    assert governor.estimate == pytest.approx(10.0, rel=0.03)
    assert governor.rate == pytest.approx(10.0, rel=0.05)


def test_a_run_after_a_slow_one_does_not_start_slowly() -> None:
    memory = PacingState(at=0.0, rate=1.0, estimate=10.0)
    governor = make_governor(15.0, start=1.0, memory=memory, now=1.0)
    now = 1.0
    while now < 7.0:
        now = max(now + 1 / governor.rate, governor.earliest(now))
        answer(governor, governor.leave(now), now, granted=True)
    assert governor.rate > 9
