"""What parks a run for hours: the rolling day, a known quota, an unknown cap, a full account."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pacers import Service, Trial, answer, make_governor, send_for

from bulk_invite.domain.durations import DAY
from bulk_invite.domain.records import PacingState
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.parking import DailyLimits, Park, Parking, Permit, Why
from bulk_invite.pacing.rolling_window import RollingWindow

_HOUR = 3600.0

_GAPS = st.lists(
    st.sampled_from([0.0, 0.01, 1.0, 4.999, 5.0]) | st.floats(0, 10) | st.floats(0, DAY),
    min_size=1,
    max_size=60,
)
"""Seconds between calls: of a run, and of runs on several days."""

_COARSE = st.sampled_from([None, 50_001, 1_000_000])
_LATE = 5.0
"""Seconds by which a window that takes calls together may keep one too long."""


# The window


def _in_window(times: list[float], now: float) -> list[float]:
    return [time for time in times if time + DAY > now]


def _frees_at(times: list[float], limit: int, now: float) -> float:
    """As `RollingWindow`, by counting."""
    in_window = _in_window(times, now)
    if len(in_window) < limit:
        return now
    return in_window[len(in_window) - limit] + DAY if limit > 0 else math.inf


@given(gaps=_GAPS, limit=st.integers(-1, 70), later=st.floats(0, 2 * DAY))
def test_the_window_equals_a_plain_count(gaps: list[float], limit: int, later: float) -> None:
    window, times, now = RollingWindow(50_000), list[float](), 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        window.add(now)
        assert window.count(now) == len(_in_window(times, now))
        assert window.frees_at(limit, now) == _frees_at(times, limit, now)
    now += later
    in_window = _in_window(times, now)
    assert window.count(now) == len(in_window)
    assert window.frees_at(limit, now) == _frees_at(times, limit, now)
    assert [window.leaves_at(index) for index in range(len(in_window))] == [time + DAY for time in in_window]


@given(gaps=_GAPS, limit=st.integers(1, 70), later=st.floats(0, 2 * DAY), most=_COARSE)
def test_a_window_that_groups_calls_frees_none_early_and_each_within_seconds(
    gaps: list[float], limit: int, later: float, most: int | None
) -> None:
    window, times, now = RollingWindow(most), list[float](), 0.0
    for gap in [*gaps, later]:
        now += gap
        in_window = _in_window(times, now)
        assert len(in_window) <= window.count(now) <= len(_in_window(times, now - _LATE))
        exact = _frees_at(times, limit, now)
        assert exact <= window.frees_at(limit, now) <= max(now, exact + _LATE)
        kept_too_long = window.count(now) - len(in_window)
        for index, time in enumerate(in_window):
            leaves = window.leaves_at(index + kept_too_long)
            assert time + DAY <= leaves <= time + DAY + _LATE
        times.append(now)
        window.add(now)


def test_a_call_stays_in_the_window_for_exactly_24_hours() -> None:
    window = RollingWindow(1)
    window.add(5.0)
    assert window.frees_at(1, 10.0) == 5.0 + DAY
    assert window.count(math.nextafter(5.0 + DAY, 0.0)) == 1
    assert window.count(5.0 + DAY) == 0


@given(
    times=st.lists(st.floats(0, 100), min_size=1, max_size=20),
    limit=st.integers(1, 20),
    later=st.floats(0, 200),
    most=st.sampled_from([100, None]),
)
def test_calls_of_a_killed_run_arrive_out_of_order_and_free_none_early(
    times: list[float], limit: int, later: float, most: int | None
) -> None:
    """A call without an answer counts as of its deadline, which may lie after the answers of the next run."""
    window = RollingWindow(most)
    for time in times:
        window.add(time)
    now = DAY + later
    exact = _frees_at(sorted(times), limit, now)
    assert window.count(now) >= len(_in_window(times, now))
    assert window.frees_at(limit, now) >= exact


# A known quota


@dataclass(frozen=True)
class _Flight:
    permit: Permit
    left: float


class _KnownQuota(RuleBasedStateMachine):
    """Calls leave, are answered, throttled and given back in any order; the service counts in between."""

    @initialize(quota=st.integers(1, 5), learned=st.none() | st.integers(0, 6), coarse=st.booleans())
    def begin(self, quota: int, learned: int | None, coarse: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        self.now = 0.0
        self.quota = quota
        self.parking = Parking(DailyLimits(quota, 900.0), RollingWindow(None if coarse else quota), learned)
        self.flights: list[_Flight] = []
        self.counted: list[float] = []

    @rule(seconds=st.sampled_from([0.01, 0.5, 20.0, 900.0, _HOUR, 12 * _HOUR, DAY]) | st.floats(0, DAY))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.now < self.parking.earliest(self.now) < math.inf)
    @rule()
    def wait_until_a_call_may_leave(self) -> None:
        self.now = self.parking.earliest(self.now)

    @precondition(lambda self: self.parking.earliest(self.now) <= self.now)
    @rule()
    def leave(self) -> None:
        self.flights.append(_Flight(self.parking.leave(self.now), self.now))

    @precondition(lambda self: self.flights)
    @rule(
        which=st.integers(0, 5), signal=st.sampled_from(Signal), when=st.floats(0, 1), counted=st.booleans()
    )
    def answer(self, which: int, signal: Signal, when: float, counted: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        flight = self.flights.pop(which % len(self.flights))
        counted = signal is Signal.SUCCESS or (signal is Signal.IGNORED and counted)
        if counted:
            self.counted.append(flight.left + when * (self.now - flight.left))
        self.parking.observe(flight.permit, signal, self.now, counted=counted, rate=1.0)

    @precondition(lambda self: self.flights)
    @rule(which=st.integers(0, 5))
    def give_back(self, which: int) -> None:
        self.parking.unused(self.flights.pop(which % len(self.flights)).permit)

    @rule()
    def close(self) -> None:
        self.parking.close(Why.ACCOUNT_FULL, self.now)

    @invariant()
    def never_more_than_the_quota_in_any_24_hours(self) -> None:
        times = sorted(self.counted)
        for first, over in zip(times, times[self.quota :], strict=False):
            assert over - first >= DAY - 1e-6

    @invariant()
    def one_probe_at_a_time(self) -> None:
        assert sum(flight.permit.probe for flight in self.flights) <= 1


TestKnownQuota = _KnownQuota.TestCase
TestKnownQuota.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def _parking(quota: int | None, *earlier: float, learned: int | None = None, now: float = 0.0) -> Parking:
    window = RollingWindow(quota)
    for time in earlier:
        window.add(time)
    parking = Parking(DailyLimits(quota, 900.0), window, learned)
    parking.leave(now)  # so that what follows is no call after a silence
    return parking


@given(
    quota=st.integers(1, 10),
    answers=st.lists(st.sampled_from([Signal.THROTTLED, Signal.IGNORED]), max_size=30),
)
def test_calls_that_the_service_does_not_count_take_no_place(quota: int, answers: list[Signal]) -> None:
    parking = Parking(DailyLimits(quota, 900.0), RollingWindow(quota))
    parking.unused(parking.leave(-0.1))
    for number, signal in enumerate(answers):
        permit = parking.leave(number / 10)
        parking.observe(permit, signal, number / 10, counted=False, rate=1.0)
    now = len(answers) / 10
    for number in range(quota):
        assert parking.count(now) == number
        assert parking.earliest(now) <= now
        parking.leave(now)
    assert parking.earliest(now) == math.inf, "unknown before an answer arrives"
    assert parking.park(now) is None, "which is no matter of hours"


def test_a_used_up_quota_parks_until_the_oldest_call_is_a_day_old() -> None:
    parking = Parking(DailyLimits(2, 900.0), RollingWindow(2))
    first, second = parking.leave(0.0), parking.leave(1.0)
    parking.observe(second, Signal.SUCCESS, 2.0, counted=True, rate=1.0)
    parking.observe(first, Signal.SUCCESS, 3.0, counted=True, rate=1.0)
    assert parking.park(4.0) == Park(Why.DAILY_QUOTA, 2.0 + DAY, 2.0 + DAY)
    assert parking.earliest(2.0 + DAY) <= 2.0 + DAY
    parking.leave(2.0 + DAY)
    assert parking.earliest(2.0 + DAY) == 3.0 + DAY


def test_a_probe_waits_for_a_known_quota_too() -> None:
    governor = make_governor(10.0, daily_quota=1, earlier=[-_HOUR])
    governor.close(Why.ACCOUNT_FULL, 0.0)
    assert governor.earliest(0.0) == DAY - _HOUR


# An unknown cap


def _day(trial: Trial, number: int) -> Trial:
    return Trial([call for call in trial.calls if number * DAY <= call.left < (number + 1) * DAY])


@pytest.mark.parametrize(
    ("rate", "burst", "cap", "allowed", "refused"),
    [
        pytest.param(0.5, 5, 200, None, 8, id="slow"),
        pytest.param(1, 5, 500, None, 8, id="1-a-second"),
        pytest.param(1, 5, 500, 1.0, 8, id="fixed-rate"),
        pytest.param(10, 10, 1000, None, 12, id="10-a-second"),
        pytest.param(50, 50, 2000, None, 30, id="fast"),
    ],
)
def test_a_cap_is_learned_kept_and_probed_now_and_then(
    rate: float, burst: float, cap: int, allowed: float | None, refused: int
) -> None:
    governor = make_governor(allowed or 100.0, start=None if allowed else 1.0)
    trial = send_for(2.5 * DAY, governor, Service(rate, burst, cap=cap), latency=0.1)
    granted = trial.granted
    assert len(granted) == 3 * cap, "all that is to be had"
    full = granted[cap - 1].decided

    against_the_cap = [call for call in trial.refused if call.refused == "day"]
    parked = next(time for time in trial.parked if time > full)
    assert len(against_the_cap) <= refused
    assert against_the_cap[-1].decided < parked < full + 20 + 200 / rate, "the other days meet no wall"

    probes = trial.probes
    assert probes[0].left <= parked + 900 / 2
    assert all(later.left - earlier.left >= 900.0 for earlier, later in pairwise(probes))
    for number in range(2):
        assert 90 <= len(_day(trial, number).probes) <= 96

    first_of_next_day = next(call for call in granted if call.left > full)
    assert granted[0].answered + DAY <= first_of_next_day.left <= granted[0].answered + DAY + _LATE + 1
    assert governor.memory(2.5 * DAY).learned_quota == cap


@dataclass
class _Conversation:
    """A governor that is asked for one call after the other, each answered after `latency`."""

    governor: Governor
    now: float = 0.0
    latency: float = 0.1
    last: float = -math.inf

    def leave(self) -> Permit:
        while (
            earliest := max(self.governor.earliest(self.now), self.last + 1 / self.governor.rate)
        ) > self.now:
            self.now = earliest
        self.last = self.now
        return self.governor.leave(self.now)

    def call(self, *, granted: bool, retry_after: float | None = None) -> Permit:
        permit = self.leave()
        self.now += self.latency
        answer(self.governor, permit, self.now, granted=granted, retry_after=retry_after)
        return permit

    def ignored(self, *, counted: bool = True) -> Permit:
        permit = self.leave()
        self.now += self.latency
        self.governor.observe(
            permit, Signal.IGNORED, sent_at=permit.at, answered_at=self.now, counted=counted
        )
        return permit

    def why(self) -> Why | None:
        park = self.governor.park(self.now)
        return None if park is None else park.why


def _parked(rate: float = 10.0, *, start: float | None = None, granted: int = 30) -> _Conversation:
    """A run after that many granted calls against a cap."""
    run = _Conversation(make_governor(rate, start=start))
    for _ in range(granted):
        run.call(granted=True)
    while run.why() is None:
        run.call(granted=False)
    return run


def test_the_cap_is_the_number_of_calls_granted_in_a_day() -> None:
    assert _parked(granted=30).governor.memory(100.0).learned_quota == 30


def test_the_first_probe_comes_soon_and_the_others_at_longer_intervals() -> None:
    run = _parked()
    began = run.now
    first = run.call(granted=False)
    assert first.probe
    assert first.at - began <= 900.0 / 10
    for _ in range(3):
        before = run.now
        assert run.call(granted=False).probe
        assert run.now - before == pytest.approx(900.0, abs=1)


def test_only_one_probe_is_in_flight() -> None:
    run = _parked()
    probe = run.leave()
    assert run.governor.earliest(run.now + 2 * _HOUR) == math.inf
    run.governor.unused(probe)
    assert run.leave().probe, "one that was given back is none"


def test_a_granted_probe_ends_the_park() -> None:
    run = _parked()
    run.call(granted=True)
    assert run.why() is None
    assert run.governor.memory(run.now).learned_quota is None
    before = run.now
    assert [run.call(granted=True).probe for _ in range(3)] == [False] * 3
    assert run.now - before < 60.0


@pytest.mark.parametrize("granted", [0, 3])
@pytest.mark.parametrize("start", [None, 0.1])
@pytest.mark.parametrize("rate", [0.1, 1.0, 2.0, 10.0, 50.0])
def test_a_throttle_right_after_a_granted_probe_parks_until_the_next_probe(
    rate: float, start: float | None, granted: int
) -> None:
    run = _parked(rate, start=start)
    for _ in range(1 + granted):
        run.call(granted=True)
    run.call(granted=False)
    assert run.why() is None, "it may have been the bucket's"
    run.call(granted=False)
    assert run.why() is Why.UNKNOWN_QUOTA


def test_after_some_granted_calls_a_throttle_counts_against_the_rate_again() -> None:
    run = _parked()
    for _ in range(40):
        run.call(granted=True)
    run.call(granted=False)
    before, rate = run.now, run.governor.rate
    run.call(granted=False)
    assert run.why() is None
    assert run.now - before < 5 / rate


def test_a_probe_without_a_clear_answer_is_followed_by_another_soon() -> None:
    run = _parked()
    run.ignored()
    assert run.why() is Why.UNKNOWN_QUOTA
    before = run.now
    assert run.leave().probe
    assert 50 <= run.now - before <= 70


def test_a_probe_that_never_left_is_followed_by_another_at_once() -> None:
    run = _parked()
    permit = run.leave()
    run.governor.observe(permit, Signal.IGNORED, sent_at=run.now, answered_at=run.now, counted=False)
    assert run.governor.earliest(run.now) <= run.now


@pytest.mark.parametrize("period", [1200.0, 3600.0, 7200.0])
def test_probes_find_places_that_become_free_one_at_a_time(period: float) -> None:
    """Another program has used the day up: a granted probe is all that there is, again and again."""
    governor, now, last, granted, free, longest = make_governor(15.0, start=1.0), 0.0, -9.0, 0, 1.0, 0.0
    while now < 5 * DAY:
        leaves = max(now, last + 1 / governor.rate, governor.earliest(now))
        longest = max(longest, leaves - now)
        if granted >= 500:
            free = min(1.0, free + (leaves + 0.1 - now) / period)
        now = last = leaves
        let_in = granted < 500 or free >= 1
        free -= let_in and granted >= 500
        granted += let_in
        now += 0.1
        answer(governor, governor.leave(last), now, granted=let_in)
    assert longest <= 901
    assert granted - 500 >= 0.5 * 5 * DAY / period


def test_a_run_continues_the_moment_the_window_frees_a_place() -> None:
    run = _Conversation(make_governor(10.0, earlier=[-20 * _HOUR] * 10))
    run.call(granted=True)
    while run.why() is None:
        run.call(granted=False)
    for _ in range(20):
        permit = run.call(granted=False) if run.governor.earliest(run.now) < 4 * _HOUR - 1 else run.leave()
        if not permit.probe:
            break
    assert 4 * _HOUR <= run.now <= 4 * _HOUR + _LATE
    assert run.why() is None


def test_the_call_at_that_moment_is_no_probe_even_without_an_earlier_probe() -> None:
    run = _parked()
    assert run.why() is Why.UNKNOWN_QUOTA
    assert not run.governor.leave(2 * DAY).probe


@pytest.mark.parametrize("retry_after", [60.0, 600.0, 5 * _HOUR])
def test_a_long_retry_after_parks_until_then(retry_after: float) -> None:
    run = _Conversation(make_governor(10.0))
    for _ in range(30):
        run.call(granted=True)
    run.call(granted=False, retry_after=retry_after)
    park = run.governor.park(run.now)
    assert park is not None
    assert park.why is Why.UNKNOWN_QUOTA
    assert park.next_call == pytest.approx(run.now + retry_after)
    throttled_at = run.now
    assert run.leave().probe
    assert run.now >= throttled_at + retry_after


def test_a_short_retry_after_does_not_park() -> None:
    run = _Conversation(make_governor(10.0))
    run.call(granted=True)
    run.call(granted=False, retry_after=3.0)
    assert run.why() is None


def test_the_retry_after_of_a_probe_is_a_floor_too() -> None:
    run = _Conversation(make_governor(10.0, earlier=[-23 * _HOUR] * 10))
    run.call(granted=True)
    while run.why() is None:
        run.call(granted=False)
    run.call(granted=False, retry_after=2 * _HOUR)
    throttled_at = run.now
    assert throttled_at < 0.5 * _HOUR
    run.leave()
    assert run.now >= throttled_at + 2 * _HOUR, "although the window frees in an hour"


def test_a_freed_place_does_not_end_a_park_before_retry_after() -> None:
    run = _Conversation(make_governor(10.0, earlier=[-23 * _HOUR] * 10))
    run.call(granted=True)
    run.call(granted=False, retry_after=2 * _HOUR)
    throttled_at = run.now
    run.leave()
    assert run.now >= throttled_at + 2 * _HOUR


@pytest.mark.parametrize("probe", [False, True])
def test_a_retry_after_of_a_year_is_capped_at_a_day(probe: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    run = _parked(granted=0) if probe else _Conversation(make_governor(10.0))
    run.call(granted=False, retry_after=365 * DAY)
    throttled_at = run.now
    run.leave()
    assert run.now <= throttled_at + DAY + 1


def test_a_throttle_soon_after_the_last_run_counts_against_the_rate() -> None:
    """A run that is started again at once begins with the bucket that the last one left empty."""
    run = _Conversation(make_governor(10.0, earlier=[-10.0 + number / 10 for number in range(100)]))
    run.call(granted=False)
    assert run.why() is None


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0, 50.0])
@pytest.mark.parametrize("start", [None, 0.1])
def test_a_run_that_begins_on_a_used_up_day_parks_within_a_few_calls(
    rate: float, start: float | None
) -> None:
    run = _Conversation(make_governor(rate, start=start))
    refused = 0
    while run.why() is None:
        run.call(granted=False)
        refused += 1
    assert refused <= 10


# Throttles that are no cap


@pytest.mark.parametrize("burst", [1, 2, 5])
@pytest.mark.parametrize("allowed", [0.1, 1.0, 15.0])
def test_a_rate_of_six_a_minute_is_not_taken_for_a_cap(allowed: float, burst: float) -> None:
    trial = send_for(4 * _HOUR, make_governor(allowed), Service(0.1, burst))
    assert not trial.parked
    assert len(trial.granted) >= 0.9 * 0.1 * 4 * _HOUR


@pytest.mark.parametrize(
    ("rate", "burst", "parks"),
    [(50, 50, 0), (10, 10, 0), (10, 1, 0), (2, 2, 0), (1, 20, 10), (1, 5, 10), (1, 1, 10), (0.5, 2, 10)],
)
def test_a_drop_to_a_twentieth_of_the_rate_is_taken_for_a_cap_only_briefly(
    rate: float, burst: float, parks: int
) -> None:
    """At 1 call in 20 seconds the bucket is still empty after a silence of 10: only a probe shows it."""
    for seed in range(4):
        service = Service(rate, burst, later=[(300, rate / 20)])
        trial = send_for(300 + 600 / rate * 20, make_governor(100.0, start=1.0), service, seed=seed)
        after = trial.since(300)
        assert len(trial.parked) <= parks
        assert len(after.granted) >= 0.85 * 600
        assert len(after.granted) >= 0.95 * len(after.calls)


# A full account


def test_a_full_account_is_only_probed_until_a_call_is_granted() -> None:
    memory = PacingState(at=-DAY, rate=10.0, learned_quota=10)
    run = _Conversation(make_governor(10.0, earlier=[-DAY + 3000.0] * 6, memory=memory))
    run.call(granted=True)
    run.governor.close(Why.ACCOUNT_FULL, run.now)
    for _ in range(3):
        assert run.ignored().probe
        run.governor.close(Why.ACCOUNT_FULL, run.now)
    run.call(granted=False)
    throttled = run.now
    assert run.governor.earliest(run.now) == pytest.approx(throttled + 900.0)
    run.now += 2 * DAY
    assert run.why() is Why.ACCOUNT_FULL, "no window opens it"
    assert run.call(granted=True).probe
    assert run.why() is None
    assert not run.leave().probe


def test_the_first_probe_of_a_full_account_comes_soon_and_the_others_at_longer_intervals() -> None:
    """Room under a cap that was learned is no reason to ask sooner."""
    memory = PacingState(at=-DAY, rate=10.0, learned_quota=10)
    run = _Conversation(make_governor(10.0, memory=memory))
    run.governor.close(Why.ACCOUNT_FULL, run.now)
    for least, most in [(0, 90), (890, 910), (890, 910)]:
        before = run.now
        assert run.ignored().probe
        assert least <= run.now - before <= most
        run.governor.close(Why.ACCOUNT_FULL, run.now)


def test_answers_still_in_flight_do_not_delay_the_first_probe() -> None:
    run = _Conversation(make_governor(10.0))
    flights = [run.leave() for _ in range(3)]
    for permit in flights:
        run.now += 0.1
        run.governor.observe(permit, Signal.IGNORED, sent_at=permit.at, answered_at=run.now, counted=True)
        run.governor.close(Why.ACCOUNT_FULL, run.now)
    before = run.now
    assert run.leave().probe
    assert run.now - before <= 90


def test_a_full_account_with_room_again_keeps_its_cap() -> None:
    run = _parked(granted=30)
    run.now += DAY + _HOUR
    run.call(granted=True)
    run.governor.close(Why.ACCOUNT_FULL, run.now)
    run.call(granted=True)
    assert run.governor.memory(run.now).learned_quota == 30
