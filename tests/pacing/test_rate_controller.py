"""The rate as a function of the answers: rules for any series of answers, figures against a token bucket."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pacers import Service, Trial, make_governor, send_for

from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.rate_controller import LONGEST_RETRY_AFTER, Phase, RateController, RateLimits

_Attempt = tuple[Signal, float, float, float | None]
"""Its outcome, seconds since the previous attempt, its duration, `retry_after`."""

_RATES = st.floats(1e-4, 5000)
_PHASES = st.sampled_from(Phase)
_SECONDS = st.sampled_from([0.0, 1e-9, 0.001, 0.1, 1.0, 30.0]) | st.floats(0, 1e6)
_RETRY_AFTER = st.none() | st.floats(0, 1e12)
_ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from([Signal.SUCCESS, Signal.SUCCESS, Signal.THROTTLED, Signal.IGNORED]),
        _SECONDS,
        _SECONDS,
        _RETRY_AFTER,
    ),
    max_size=200,
)


def _throttle(controller: RateController, at: float, sent_at: float | None = None) -> None:
    controller.observe(
        Signal.THROTTLED, sent_at=at if sent_at is None else sent_at, answered_at=at, silence=0.0
    )


def _succeed(controller: RateController, count: int, begin: float, every: float) -> float:
    """Successes at a fixed interval in seconds, answered at once; returns when the last one left."""
    for number in range(1, count + 1):
        at = begin + number * every
        controller.observe(Signal.SUCCESS, sent_at=at, answered_at=at, silence=every)
    return begin + count * every


def _pace(controller: RateController, begin: float, seconds: float) -> float:
    """Successes as fast as the rate allows; says when the last one left."""
    at = begin
    while at < begin + seconds:
        at += (silence := 1 / controller.rate)
        controller.observe(Signal.SUCCESS, sent_at=at, answered_at=at, silence=silence)
    return at


def _fixed(rate: float, ceiling: float | None = None) -> RateController:
    return RateController(RateLimits(rate, rate if ceiling is None else ceiling), Phase.TRACK)


# Rules


@given(start=_RATES, ceiling=_RATES, known=st.just(0.0) | _RATES, phase=_PHASES, attempts=_ATTEMPTS)
@example(1e-4, 1e-4, 0.0, Phase.TRACK, [(Signal.THROTTLED, 0.0, 0.0, None)] * 200)
@example(1e-4, 5000.0, 5000.0, Phase.START, [(Signal.SUCCESS, 3.0, 0.0, None)] * 200)
@example(1e-4, 5000.0, 0.0, Phase.TRACK, [(Signal.SUCCESS, 3.0, 0.0, None)] * 20_000)
def test_the_rate_is_never_above_its_ceiling_and_never_zero(
    start: float, ceiling: float, known: float, phase: Phase, attempts: list[_Attempt]
) -> None:
    controller = RateController(RateLimits(start, ceiling), phase, known=known)
    now = 0.0
    assert 0 < controller.rate <= ceiling
    for signal, pause, round_trip, retry_after in attempts:
        now += pause
        controller.observe(
            signal, sent_at=now - round_trip, answered_at=now, silence=pause, retry_after=retry_after
        )
        assert min(start, ceiling, 0.02) <= controller.rate <= ceiling
        assert controller.earliest() < math.inf


@given(start=_RATES, ceiling=_RATES, known=st.just(0.0) | _RATES, phase=_PHASES, attempts=_ATTEMPTS)
def test_only_throttles_cut_and_only_successes_raise(
    start: float, ceiling: float, known: float, phase: Phase, attempts: list[_Attempt]
) -> None:
    controller = RateController(RateLimits(start, ceiling), phase, known=known)
    now = 0.0
    for signal, pause, round_trip, retry_after in attempts:
        now += pause
        rate, earliest, estimate = controller.rate, controller.earliest(), controller.estimate
        controller.observe(
            signal, sent_at=now - round_trip, answered_at=now, silence=pause, retry_after=retry_after
        )
        match signal:
            case Signal.THROTTLED:
                assert controller.rate <= rate
                assert controller.earliest() >= earliest
            case Signal.SUCCESS:
                assert controller.rate >= rate
                assert controller.earliest() == earliest
            case Signal.IGNORED:
                assert (controller.rate, controller.earliest(), controller.estimate) == (
                    rate,
                    earliest,
                    estimate,
                )


@given(throttles=st.integers(1, 50), rate=_RATES, phase=_PHASES)
def test_throttles_within_one_round_trip_cut_the_rate_once(throttles: int, rate: float, phase: Phase) -> None:
    once, often = (RateController(RateLimits(rate, rate), phase) for _ in range(2))
    _throttle(once, 10.0, sent_at=9.0)
    assert once.rate < rate or rate <= 0.02
    for number in range(throttles):
        _throttle(often, 10.0 + number / 1000, sent_at=9.0 + number / 1000)
    assert often.rate == once.rate
    assert often.earliest() == once.earliest()


def test_a_throttle_of_a_call_sent_after_the_cut_cuts_again() -> None:
    controller = _fixed(10.0)
    _throttle(controller, 10.0, sent_at=9.0)
    once = controller.rate
    _throttle(controller, 10.5, sent_at=10.001)
    assert controller.rate < once


@given(rate=_RATES)
def test_holds_grow_with_consecutive_throttles_up_to_a_limit(rate: float) -> None:
    controller = _fixed(rate)
    now, holds = 0.0, list[float]()
    for _ in range(300):
        _throttle(controller, now)
        holds.append(controller.earliest() - now)
        now = controller.earliest() + 0.001
    assert holds[0] >= 1 / rate
    assert all(later >= earlier * (1 - 1e-6) for earlier, later in pairwise(holds))
    assert holds[5] > 2 * holds[0]
    assert max(holds) <= max(8.0, 10 / controller.rate) * (1 + 1e-6)


def test_only_a_success_sent_after_the_cut_ends_the_series_of_throttles() -> None:
    def hold_after(success_sent_at: float) -> float:
        controller = _fixed(10.0)
        for at in (0.0, 1.0, 2.0):
            _throttle(controller, at)
        controller.observe(Signal.SUCCESS, sent_at=success_sent_at, answered_at=3.0, silence=0.0)
        _throttle(controller, 4.0)
        return controller.earliest() - 4.0

    assert hold_after(2.5) < hold_after(1.9) / 4


@given(
    retry_after=st.floats(0.001, 1e9),
    sent_at=st.sampled_from([-1.0, 0.5]),
    rate=_RATES,
)
def test_retry_after_is_a_floor_even_for_a_throttle_that_does_not_cut(
    retry_after: float, sent_at: float, rate: float
) -> None:
    controller = _fixed(rate)
    _throttle(controller, 0.0)
    before = controller.rate
    controller.observe(
        Signal.THROTTLED, sent_at=sent_at, answered_at=1.0, silence=0.0, retry_after=retry_after
    )
    assert (controller.rate == before) == (sent_at < 0 or rate <= 0.02)
    assert controller.earliest() >= 1.0 + min(retry_after, LONGEST_RETRY_AFTER)


def test_a_retry_after_of_a_year_is_capped_at_a_day() -> None:
    controller = _fixed(10.0)
    controller.observe(Signal.THROTTLED, sent_at=0.0, answered_at=1.0, silence=0.0, retry_after=3e7)
    assert controller.earliest() == 1.0 + 86_400


def test_a_shorter_retry_after_does_not_replace_a_longer_one() -> None:
    controller = _fixed(10.0)
    controller.observe(Signal.THROTTLED, sent_at=0.0, answered_at=1.0, silence=0.0, retry_after=500.0)
    controller.observe(Signal.THROTTLED, sent_at=0.5, answered_at=2.0, silence=0.0, retry_after=1.0)
    assert controller.earliest() == 501.0


# START


def test_the_start_doubles_the_rate_every_second_up_to_the_ceiling() -> None:
    controller = RateController(RateLimits(start=8.0, ceiling=100.0))
    now, rates = 0.0, list[float]()
    for _ in range(5):
        now = _pace(controller, now, 1.0)
        rates.append(controller.rate)
    assert rates == [pytest.approx(8 * 2**second, rel=0.25) for second in (1, 2, 3)] + [100.0, 100.0]


def test_successes_with_long_gaps_do_not_raise_the_start() -> None:
    controller = RateController(RateLimits(start=1.0, ceiling=1000.0))
    _succeed(controller, 5, begin=0.0, every=500.0)
    assert controller.rate == 1.0


@pytest.mark.parametrize("start", [0.5, 1.0, 40.0])
def test_the_first_throttle_of_the_start_halves_the_rate(start: float) -> None:
    controller = RateController(RateLimits(start, ceiling=1000.0))
    now = _pace(controller, 0.0, 3.0)
    reached = controller.rate
    _throttle(controller, now)
    assert controller.rate == pytest.approx(reached / 2)
    _pace(controller, now, 5 / controller.rate)
    assert controller.rate == pytest.approx(reached / 2), "and it stays while it is measured"


# MEASURE


@given(quota=st.floats(0.05, 900), successes=st.integers(20, 24))
def test_successes_between_two_throttles_measure_the_quota(quota: float, successes: int) -> None:
    controller = RateController(RateLimits(start=2000.0, ceiling=2000.0))
    assert controller.estimate is None
    _throttle(controller, 100.0)
    now = _succeed(controller, successes, begin=100.0, every=1 / quota)
    _throttle(controller, now)
    assert controller.estimate == pytest.approx(quota)
    assert controller.rate == pytest.approx(quota)


def test_too_few_successes_measure_nothing() -> None:
    controller = RateController(RateLimits(start=20.0, ceiling=20.0))
    _throttle(controller, 0.0)
    now = _succeed(controller, 10, begin=0.0, every=0.25)
    _throttle(controller, now)
    assert controller.estimate is None
    now = _succeed(controller, 10, begin=now, every=0.25)
    _throttle(controller, now)
    assert controller.estimate == pytest.approx(4.0), "but they count on"


def test_answers_that_the_quota_did_not_decide_are_not_measured() -> None:
    controller = RateController(RateLimits(start=20.0, ceiling=20.0))
    _throttle(controller, 0.0)
    for number in range(1, 51):
        controller.observe(Signal.IGNORED, sent_at=number / 10, answered_at=number / 10, silence=0.1)
    _throttle(controller, 5.0)
    assert controller.estimate is None


def test_a_measured_rate_never_raises_the_rate() -> None:
    """A bucket that was full lets more through than the quota."""
    controller = RateController(RateLimits(start=10.0, ceiling=10.0))
    _throttle(controller, 0.0)
    now = _succeed(controller, 20, begin=0.0, every=0.01)
    before = controller.rate
    _throttle(controller, now)
    assert controller.rate <= before


# TRACK


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("rate", [0.05, 1.0, 50.0])
def test_sending_slower_than_allowed_does_not_raise_the_rate(phase: Phase, rate: float) -> None:
    controller = RateController(RateLimits(rate, 1000.0), phase, known=500.0)
    _succeed(controller, 500, begin=0.0, every=3 / rate)
    assert controller.rate == rate


def test_a_known_rate_is_soon_reached_again() -> None:
    known = RateController(RateLimits(9.0, 100.0), Phase.TRACK, known=10.0)
    stranger = RateController(RateLimits(9.0, 100.0), Phase.TRACK)
    _pace(known, 0.0, 2.0)
    _pace(stranger, 0.0, 2.0)
    assert known.rate >= 10.0
    assert stranger.rate < 9.1


def test_a_throttle_discards_the_known_rate() -> None:
    controller = RateController(RateLimits(9.0, 100.0), Phase.TRACK, known=10.0)
    _throttle(controller, 0.0)
    _pace(controller, 0.0, 2.0)
    assert controller.rate < 9.0


@given(rate=st.floats(0.1, 1000))
def test_an_occasional_throttle_costs_little(rate: float) -> None:
    controller = _fixed(rate)
    _throttle(controller, 0.0)
    assert 0.95 * rate < controller.rate < rate


def test_calls_in_bunches_raise_the_rate_as_evenly_spaced_ones_do() -> None:
    """A slow disk makes them leave together; it was the rate that has spaced their permits."""
    controller = RateController(RateLimits(start=1.0, ceiling=1000.0))
    now = 0.0
    while controller.rate < 64.0:
        now += (silence := 1 / controller.rate)
        left = math.ceil(now / 0.08) * 0.08
        controller.observe(Signal.SUCCESS, sent_at=left, answered_at=left + 0.1, silence=silence)
    assert now <= 7.0


def test_six_throttles_in_a_thousand_calls_leave_the_rate_unchanged() -> None:
    controller = RateController(RateLimits(10.0, 1000.0), Phase.TRACK, estimate=10.0)
    now = 0.0
    for _ in range(20):
        for _ in range(166):
            now += (silence := 1 / controller.rate)
            controller.observe(Signal.SUCCESS, sent_at=now, answered_at=now, silence=silence)
        now = max(now + 1 / controller.rate, controller.earliest())
        _throttle(controller, now)
        now = controller.earliest()
    assert controller.rate == pytest.approx(10.0, rel=0.1)


def test_without_throttles_the_climb_accelerates_up_to_a_half_a_second() -> None:
    controller = _fixed(5.0, ceiling=1000.0)
    now = _pace(controller, 0.0, 14.0)
    assert controller.rate < 5.2
    while controller.rate < 500.0:
        before = controller.rate
        now = _pace(controller, now, 1.0)
        assert controller.rate < before * 1.6
    assert now < 60.0


def test_throttles_close_together_cut_deeply() -> None:
    controller = _fixed(100.0)
    now = 0.0
    for _ in range(3):
        now = _succeed(controller, 3, begin=now, every=0.1)
        _throttle(controller, now)
    assert controller.rate <= 90.0


# Figures


def _figures(trial: Trial, rate: float, seconds: float) -> tuple[float, float]:
    """Goodput and throttled share after a tenth of the time."""
    warm = trial.since(seconds / 10)
    granted = len(warm.granted)
    return granted / (rate * seconds * 0.9), 1 - granted / len(warm.calls)


@pytest.mark.parametrize(
    ("rate", "burst", "latency", "seconds"),
    [(1, 2, 0.3, 1800), (1, 5, 0.1, 1800), (10, 2, 0.1, 600), (10, 10, 0.3, 600), (50, 50, 0.1, 200)],
)
def test_goodput_against_a_token_bucket(rate: float, burst: float, latency: float, seconds: float) -> None:
    for seed in range(3):
        governor = make_governor(100.0, start=1.0)
        trial = send_for(seconds, governor, Service(rate, burst), latency=latency, seed=seed)
        goodput, throttled = _figures(trial, rate, seconds)
        assert goodput >= 0.985
        assert throttled <= 0.01
        assert governor.estimate == pytest.approx(rate, rel=0.1)
        assert not trial.parked


def test_goodput_where_the_quota_changes() -> None:
    service = Service(10, 10, later=[(1200, 4), (2400, 20), (3600, 10)])
    trial = send_for(4800, make_governor(100.0, start=1.0), service)
    assert len(trial.granted) >= 0.96 * 1200 * (10 + 4 + 20 + 10)
    assert len(trial.refused) <= 0.012 * len(trial.calls)


def test_a_rate_below_the_quota_is_kept() -> None:
    trial = send_for(600, make_governor(10.0), Service(10, 10))
    assert not trial.refused
    assert len(trial.granted) == pytest.approx(6000, abs=2)


# Changes by the operator during a run


@given(
    st.floats(0.1, 100.0),
    _PHASES,
    st.lists(st.tuples(st.sampled_from([Signal.SUCCESS, Signal.THROTTLED]), st.floats(0.001, 2.0))),
    st.lists(st.tuples(st.floats(0.05, 200.0), st.booleans()), min_size=1, max_size=4),
)
def test_no_ceiling_is_ever_exceeded(
    start: float, phase: Phase, answers: list[tuple[Signal, float]], ceilings: list[tuple[float, bool]]
) -> None:
    controller = RateController(RateLimits(start, start), phase)
    now = 0.0
    for ceiling, sought in ceilings:
        controller.limit(ceiling, seek=sought)
        assert 0 < controller.rate <= ceiling
        for answer, later in answers:
            now += later
            controller.observe(answer, sent_at=now, answered_at=now + 0.05, silence=later)
            assert 0 < controller.rate <= ceiling


def test_a_lower_ceiling_cuts_the_rate_and_a_higher_one_is_adopted() -> None:
    controller = RateController(RateLimits(10.0, 10.0), Phase.TRACK)
    controller.limit(2.0, seek=False)
    assert controller.rate == 2.0
    controller.limit(20.0, seek=False)
    assert controller.rate == pytest.approx(20.0)


def test_a_search_for_the_rate_climbs_from_the_current_rate() -> None:
    controller = RateController(RateLimits(2.0, 2.0), Phase.TRACK)
    controller.limit(100.0, seek=True)
    assert controller.rate == 2.0
    now = 0.0
    for _ in range(200):
        now += (silence := 1 / controller.rate)
        controller.observe(Signal.SUCCESS, sent_at=now, answered_at=now + 0.01, silence=silence)
    assert now < 10.0
    assert controller.rate == 100.0


def test_the_measured_rate_survives_a_slow_stretch() -> None:
    controller = RateController(RateLimits(9.0, 50.0), Phase.TRACK, known=10.0, estimate=10.0)
    controller.limit(1.0, seek=False)
    controller.limit(50.0, seek=True)
    assert controller.rate == pytest.approx(9.0)


def test_a_new_ceiling_does_not_break_a_hold() -> None:
    controller = RateController(RateLimits(1.0, 1.0), Phase.TRACK)
    controller.observe(Signal.THROTTLED, sent_at=1.0, answered_at=1.0, silence=0.0, retry_after=60.0)
    controller.limit(50.0, seek=False)
    assert controller.earliest() >= 61.0


# A quota that rises


def _granted(controller: RateController, silences: list[float], now: float = 100.0) -> float:
    """Successes after a throttle at `now`, each so many intervals after the last; returns when it ended."""
    for intervals in silences:
        silence = intervals / controller.rate
        now += silence
        controller.observe(Signal.SUCCESS, sent_at=now, answered_at=now, silence=silence)
    return now


def _measured(rate: float = 10.0) -> RateController:
    """A controller that knows its quota, right after a throttle at 100 s."""
    controller = RateController(RateLimits(rate, 1000.0), Phase.TRACK, estimate=rate)
    _throttle(controller, 100.0)
    return controller


@given(rate=st.floats(0.5, 100.0), calls=st.integers(1, 1500))
def test_an_overdue_throttle_raises_the_rate_by_at_most_a_half_per_second(rate: float, calls: int) -> None:
    controller = _measured(rate)
    now = 100.0
    for _ in range(calls):
        before, silence = controller.rate, 1 / controller.rate
        now = _granted(controller, [1.0], now)
        assert controller.rate <= before * max(1.5**silence, 1.01) * (1 + 1e-9)


@given(
    pauses=st.lists(st.tuples(st.integers(0, 400), st.floats(4.0, 1e5)), min_size=1, max_size=4),
    calls=st.integers(0, 700),
)
def test_a_pause_in_which_the_bucket_refills_never_makes_the_rate_higher(
    pauses: list[tuple[int, float]], calls: int
) -> None:
    silences = [1.0] * calls
    with_pauses = list(silences)
    for place, intervals in pauses:
        with_pauses.insert(min(place, len(with_pauses)), intervals)
    steady, paused = _measured(), _measured()
    _granted(steady, [1.0] * len(with_pauses))
    _granted(paused, with_pauses)
    assert paused.rate <= steady.rate


@given(silences=st.lists(st.floats(1.3, 1e4), max_size=600))
def test_calls_that_were_not_held_back_prove_nothing(silences: list[float]) -> None:
    controller = _measured()
    before = controller.rate
    _granted(controller, silences)
    assert controller.rate == before


@pytest.mark.parametrize("rate", [0.5, 2.0, 6.0])
def test_a_test_is_not_over_below_the_quota_that_was_measured(rate: float) -> None:
    """After a wrong cut, no throttle comes, and no surplus: only the estimate shows that it was wrong."""
    controller = RateController(RateLimits(rate, 1000.0), Phase.TRACK, estimate=10.0)
    _throttle(controller, 100.0)
    _granted(controller, [1.0] * 400)
    assert controller.rate >= 10.0


def test_a_test_gives_back_no_less_than_was_granted() -> None:
    controller = RateController(RateLimits(6.0, 1000.0), Phase.TRACK, estimate=10.0)
    _throttle(controller, 100.0)
    calls = 0
    now = 100.0
    while now < 170.0:  # later, a surplus proves that the quota has risen
        now, calls = _granted(controller, [1.0], now), calls + 1
    _throttle(controller, now)
    assert controller.rate >= calls / (now - 100.0)


@given(rate=st.floats(0.5, 100.0), calls=st.integers(0, 1500))
def test_a_test_ends_with_one_throttle_at_the_rate_from_before(rate: float, calls: int) -> None:
    """The service grants no more than its quota: no surplus."""
    controller = _measured(rate)
    now, tokens, tested = 100.0, 0.0, False
    for _ in range(calls):
        silence = 1 / controller.rate
        now += silence
        tokens += silence * rate - 1.0
        if tokens < 0.0 and now > controller.earliest():
            _throttle(controller, now)
            assert controller.rate <= 1.03 * rate
            tested = True
            break
        controller.observe(Signal.SUCCESS, sent_at=now, answered_at=now, silence=silence)
        assert controller.rate <= rate + 0.8 * math.sqrt(rate) * 1.3
    assert tested or calls < 1 + 230 + 5 * rate


@pytest.mark.parametrize(("rate", "seconds"), [(8.0, 40.0), (1.0, 260.0)])
def test_more_calls_than_the_quota_allows_prove_that_it_has_risen(rate: float, seconds: float) -> None:
    controller = _measured(rate)
    now = 100.0
    while controller.rate < 10 * rate:
        now = _granted(controller, [1.0], now)
    assert now < 100.0 + seconds
