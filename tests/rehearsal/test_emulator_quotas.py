"""The quotas of the emulator, each against its definition; then over HTTP."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from emulator_client import create_request, post
from emulator_process import emulator_process
from hypothesis import assume, given
from hypothesis import strategies as st

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import OtherProgram, Quota, allowance, quota_of
from bulk_invite.rehearsal.emulator.rate_trace import RateTrace
from bulk_invite.rehearsal.emulator.server import serve

START = 1_700_000_000.0
GAPS = st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=60)
SHORT_GAPS = st.lists(st.floats(min_value=0, max_value=0.4), min_size=1, max_size=60)
RATES = st.floats(min_value=0.1, max_value=20)
BURSTS = st.integers(min_value=1, max_value=10)
TRACES = st.builds(
    lambda first, more: tuple(sorted({0.0: first, **more}.items())),
    RATES,
    st.dictionaries(st.floats(min_value=0.5, max_value=200), RATES, max_size=5),
)
STEPS = RateTrace.parse("0s:10,20m:4,40m:20,1h:10")

Steps = tuple[tuple[float, float], ...]


def _moments(gaps: Iterable[float], start: float = START) -> list[float]:
    moments = [start]
    for gap in gaps:
        moments.append(moments[-1] + gap)
    return moments


def _integral(steps: Steps, start: float, end: float) -> float:
    ends = (*(begin for begin, _ in steps[1:]), math.inf)
    parts = zip(steps, ends, strict=True)
    return sum(rate * max(0.0, min(end, stop) - max(start, begin)) for (begin, rate), stop in parts)


def _granted(quota: Quota, moments: Iterable[float]) -> list[float]:
    return [now for now in moments if quota.take(now) == 0]


@given(GAPS, TRACES, BURSTS)
def test_a_trace_never_grants_more_than_burst_and_its_integral(
    gaps: list[float], steps: Steps, burst: int
) -> None:
    granted = _granted(quota_of(Options(rate_trace=RateTrace(steps), burst=burst)), _moments(gaps))
    for first, start in enumerate(granted):
        for last, end in enumerate(granted[first:], start=first):
            allowed = burst + _integral(steps, start - START, end - START)
            assert last - first + 1 <= allowed + 1e-3


@given(GAPS, TRACES, BURSTS, st.sampled_from([0.0, 0.5, 3.0]))
def test_a_call_is_granted_after_exactly_the_wait_that_was_named(
    gaps: list[float], steps: Steps, burst: int, cost: float
) -> None:
    """Two quotas have seen the same calls; one is asked again a little before the wait is over."""
    options = Options(rate_trace=RateTrace(steps), burst=burst, refusal_cost=cost)
    early, punctual = quota_of(options), quota_of(options)
    for now in _moments(gaps):
        wait = early.take(now)
        assert punctual.take(now) == wait
        if wait > 1e-3:
            assert punctual.take(now + wait + 1e-6) == 0
            assert early.take(now + wait * 0.99) > 0
            return


def test_a_trace_refills_exactly_across_its_changes() -> None:
    quota = quota_of(Options(rate_trace=RateTrace.parse("0s:1,10s:0.25,20s:4"), burst=4))
    assert len(_granted(quota, [8.0] * 9)) == 4
    # Counted from the first call, at 8, the rate changes at 18 and 28.
    assert len(_granted(quota, [17.5] * 9)) == 4
    assert quota.take(17.5) == pytest.approx(0.5 / 1 + 0.5 / 0.25)
    assert len(_granted(quota, [28.0] * 9)) == 0.5 * 1 + 10 * 0.25
    assert quota.take(28.0) == pytest.approx(1 / 4)


def test_a_refill_may_span_a_whole_step() -> None:
    quota = quota_of(Options(rate_trace=RateTrace.parse("0s:1,10s:0.25,20s:4"), burst=100))
    assert len(_granted(quota, [0.0] * 200)) == 100
    assert len(_granted(quota, [21.0] * 200)) == 10 + 2.5 + 4 - 0.5
    assert quota.take(21.0) == pytest.approx(0.5 / 4)


def test_an_idle_traced_bucket_grants_its_full_integral() -> None:
    quota = quota_of(Options(rate_trace=STEPS, burst=1))
    granted = _granted(quota, (START + tick / 40 for tick in range(4800 * 40 + 1)))
    assert len(granted) == 1 + allowance(Options(rate_trace=STEPS), 0, 4800) == 1 + 1200 * (10 + 4 + 20 + 10)


@given(TRACES, st.floats(min_value=0, max_value=300))
def test_time_and_tokens_of_a_trace_are_each_others_inverse(steps: Steps, time: float) -> None:
    trace = RateTrace(steps)
    assert trace.tokens(time) == pytest.approx(_integral(steps, 0, time))
    assert trace.time(trace.tokens(time)) == pytest.approx(time)


@pytest.mark.parametrize("steps", [(), ((1.0, 5.0),), ((0.0, 5.0), (0.0, 6.0)), ((0.0, -1.0),)])
def test_an_invalid_trace_is_a_usage_error(steps: Steps) -> None:
    with pytest.raises(UsageError, match="--rate-trace"):
        RateTrace(steps)


def test_a_clock_set_back_does_not_refill_a_traced_bucket() -> None:
    quota = quota_of(Options(rate_trace=RateTrace.parse("0s:1,10s:2"), burst=1))
    assert [quota.take(now) for now in (1000, 900, 900.5)] == [0, 1, 0.5]


# Multiples of 1/64 second are exact as floats, so that a window is one by definition and not by rounding.
TICKS = st.lists(st.integers(min_value=0, max_value=200), min_size=1, max_size=100)


@given(TICKS, RATES, st.sampled_from([0.5, 1.0, 2.0, 7.0]))
def test_a_fixed_window_grants_exactly_its_count_in_every_aligned_window(
    ticks: list[int], rate: float, length: float
) -> None:
    count = max(1, math.floor(rate * length))
    quota, asked, granted = quota_of(Options(rate=rate, fixed_window=length)), Counter[int](), Counter[int]()
    for now in _moments(tick / 64 for tick in ticks):
        window = int(now // length)
        asked[window] += 1
        wait = quota.take(now)
        granted[window] += wait == 0
        assert wait in {0, (window + 1) * length - now}
    assert granted == {window: min(count, calls) for window, calls in asked.items()}


@given(st.floats(min_value=0, max_value=2e9), st.sampled_from([0.1, 0.3, 0.7, 1.0, 60.0]))
def test_a_full_window_grants_again_after_the_wait_that_it_names(now: float, length: float) -> None:
    quota = quota_of(Options(rate=1 / length, fixed_window=length))
    assert quota.take(now) == 0
    wait = quota.take(now)
    assert 0 < wait <= length + 1e-5
    assert quota.take(now + wait) == 0
    assert quota.take(now + wait) == pytest.approx(length, abs=1e-5)


def test_a_fixed_window_holds_its_rate_rounded_down_and_at_least_one_call() -> None:
    for rate, length, calls in ((0.29, 100, 29), (2.9, 1, 2), (0.01, 1, 1)):
        quota = quota_of(Options(rate=rate, fixed_window=length))
        assert len(_granted(quota, [0.0] * 50)) == calls


def test_a_clock_set_back_opens_no_window() -> None:
    quota = quota_of(Options(rate=1, fixed_window=1))
    assert [quota.take(now) for now in (10.5, 9.5, 10.75, 11)] == [0, 1.5, 0.25, 0]


@given(SHORT_GAPS, RATES, BURSTS, st.floats(min_value=0.1, max_value=5))
def test_refused_calls_cost_tokens_and_the_debt_is_at_most_a_burst(
    gaps: list[float], rate: float, burst: int, cost: float
) -> None:
    quota = quota_of(Options(rate=rate, burst=burst, refusal_cost=cost))
    tokens, last = float(burst), START
    for now in _moments(gaps):
        tokens = min(burst, tokens + (now - last) * rate)
        last = now
        assume(abs(tokens - 1) > 1e-3)
        wait = quota.take(now)
        assert (wait == 0) == (tokens >= 1)
        tokens = max(-burst, tokens - (cost if wait else 1))
        assert wait == 0 or wait == pytest.approx((1 - tokens) / rate, abs=1e-4)
        assert wait <= (1 + burst) / rate + 1e-4


def test_a_call_refused_by_the_day_costs_the_bucket_and_not_the_day() -> None:
    quota = quota_of(Options(rate=1, burst=2, refusal_cost=1.5, daily_quota=1, day=10))
    assert [quota.take(now) for now in (0.0, 0.0, 9.0)] == [0, 10, 1]
    assert quota.take(9.0) == 2, (
        "half a token and the second refusal's 1.5: the bucket takes longer than the day"
    )
    assert quota.take(11.0) == 0


@given(GAPS, RATES, BURSTS, RATES)
def test_the_other_program_and_ours_together_never_exceed_the_bucket(
    gaps: list[float], rate: float, burst: int, other: float
) -> None:
    quota = quota_of(Options(rate=rate, burst=burst, other_rate=other))
    ours, since, taken = 0, START, 0
    for now in _moments(gaps):
        ours += quota.take(now) == 0
        assert ours + quota.granted_to_others <= burst + (now - START) * rate + 1e-3
        assert quota.granted_to_others - taken <= (now - since) * other + 1 + 1e-3
        since, taken = now, quota.granted_to_others


@given(
    st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=40),
    st.sampled_from([0.5, 1.0, 4.0]),
    BURSTS,
    st.sampled_from([0.5, 2.0, 8.0]),
    st.sampled_from([(1.0, 0.0), (3.0, 2.0), (0.25, 5.0)]),
    st.sampled_from([None, 5]),
)
def test_the_other_program_is_served_in_order_of_time(
    ticks: list[int],
    rate: float,
    burst: int,
    other: float,
    periods: tuple[float, float],
    daily: int | None,
) -> None:
    """The same as two programs that call one bucket, each at its time."""
    on, off = periods
    quota = quota_of(
        Options(
            rate=rate, burst=burst, daily_quota=daily, day=20, other_rate=other, other_on=on, other_off=off
        )
    )
    both = quota_of(Options(rate=rate, burst=burst, daily_quota=daily, day=20))
    moments = _moments(tick / 64 for tick in ticks)
    span = moments[-1] - START
    busy = [number / other for number in range(1, int(span * other) + 2)]
    theirs = [START + time + math.ceil(time / on) * off for time in busy]
    calls = sorted([(time, 0) for time in theirs if time <= moments[-1]] + [(time, 1) for time in moments])
    granted = Counter(program for time, program in calls if both.take(time) == 0)
    assert len(_granted(quota, moments)) == granted[1]
    assert quota.granted_to_others == granted[0]


def test_the_other_program_calls_evenly_while_it_is_on() -> None:
    always, at_times = OtherProgram(2), OtherProgram(2, on=1, off=10)
    assert [always.call(number) for number in range(3)] == [0.5, 1, 1.5]
    assert [at_times.call(number) for number in range(5)] == [10.5, 11, 21.5, 22, 32.5]
    uneven = [OtherProgram(3, on=0.5, off=1).call(number) for number in range(3000)]
    assert all(earlier < later for earlier, later in pairwise(uneven))
    assert uneven[-1] == pytest.approx(1000 + 2000), "as often as its rate and its share of the time say"


def test_refused_calls_of_the_other_program_cost_nothing() -> None:
    plain = Options(rate=1, burst=1, other_rate=4)
    costly = Options(rate=1, burst=1, other_rate=4, refusal_cost=1)
    for options in (plain, costly):
        quota = quota_of(options)
        # The other program calls every 1/4 second and so gets every token at once.
        assert _granted(quota, (START + second + 0.5 for second in range(1))) == [START + 0.5]
        quota.take(START + 1000.4)
        assert quota.granted_to_others == 999


def test_the_other_program_works_with_fixed_windows_and_with_a_daily_quota_alone() -> None:
    quota = quota_of(Options(rate=4, fixed_window=1, other_rate=2))
    assert (
        len(_granted(quota, (START + tick / 16 for tick in range(16 * 10)))) + quota.granted_to_others == 40
    )
    # Of its calls at each half second those at a whole one come before ours; the others find no room.
    assert quota.granted_to_others == 9
    day = quota_of(Options(daily_quota=5, day=100, other_rate=1))
    assert [day.take(now) == 0 for now in (0.0, 2.5, 2.5, 99.0)] == [True, True, True, False]
    assert day.granted_to_others == 2
    assert day.take(100.0) == 1, "our first call has left the day, and the other program was there at once"
    assert day.granted_to_others == 3


def test_without_another_program_it_is_granted_nothing() -> None:
    quota = quota_of(Options(rate=1))
    _granted(quota, _moments([1.0] * 50))
    assert quota.granted_to_others == 0


def test_restored_calls_count_to_the_day_and_begin_the_trace() -> None:
    quota = quota_of(Options(rate_trace=RateTrace.parse("0s:1,100s:10"), burst=1, daily_quota=3, day=1000))
    quota.restore(START)
    assert quota.take(START + 200) == 0
    assert quota.take(START + 200) == pytest.approx(0.1)
    assert quota.take(START + 201) == 0
    assert quota.take(START + 202) == 798


@given(GAPS)
def test_restored_calls_do_not_change_the_share_of_the_other_program(gaps: list[float]) -> None:
    options = Options(rate=2, burst=3, daily_quota=40, day=30, other_rate=1, other_on=3, other_off=2)
    first, second = quota_of(options), quota_of(options)
    *before, last = _moments(gaps)
    for moment in _granted(first, before):
        second.restore(moment)
    assert (first.take(last), first.granted_to_others) == (second.take(last), second.granted_to_others)


def test_the_allowance_is_the_integral_of_the_rate() -> None:
    assert allowance(Options(), 0, 1) == math.inf
    assert allowance(Options(rate=2.5, burst=9, daily_quota=1, other_rate=1), 10, 20) == 25
    assert allowance(Options(rate_trace=STEPS), 1000, 2500) == 200 * 10 + 1200 * 4 + 100 * 20
    assert allowance(Options(rate=2.9, fixed_window=1), 0, 60) == 120
    assert allowance(Options(rate=0.5, fixed_window=1), 0, 60) == 60


@given(TRACES, st.floats(min_value=0, max_value=100), st.floats(min_value=0, max_value=300))
def test_the_allowance_follows_a_trace(steps: Steps, start: float, length: float) -> None:
    found = allowance(Options(rate_trace=RateTrace(steps)), start, start + length)
    assert found == pytest.approx(_integral(steps, start, start + length), abs=1e-6)


async def _outcomes(url: str, count: int) -> list[int | None]:
    """For each of several calls at once: None if granted, else the milliseconds of x-amz-retry-after."""
    answers = [await asyncio.to_thread(post, url, create_request(number)) for number in range(count)]
    return [None if status == 200 else int(headers["x-amz-retry-after"]) for status, headers, _ in answers]


class _Clock:
    now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "then", "first", "later"),
    [
        ({"rate": 3, "burst": 1}, 0.1, [None, 334], [234]),
        ({"rate_trace": RateTrace(((0, 1), (1, 4))), "burst": 2}, 0.5, [None, None, 1000], [500]),
        ({"rate_trace": RateTrace(((0, 1), (1, 4))), "burst": 2}, 1.5, [None, None, 1000], [None, None, 250]),
        ({"rate": 2, "fixed_window": 1}, 0.5, [None, None, 750], [250]),
        ({"rate": 1, "burst": 1, "refusal_cost": 0.5}, 0, [None, 1500], [2000, 2000]),
        ({"rate": 1, "burst": 2, "other_rate": 2}, 1.25, [None, None, 1000], [750]),
        ({"rate": 1, "burst": 2, "daily_quota": 2, "day": 60}, 1.5, [None, None, 60000], [58500]),
    ],
)
async def test_the_named_wait_ends_when_a_call_is_granted(
    options: dict[str, Any], then: float, first: list[int | None], later: list[int | None]
) -> None:
    clock = _Clock()
    async with serve(Options(**options, tell_retry_after=True), clock=clock) as server:
        assert await _outcomes(server.url, len(first)) == first
        clock.now += then
        assert await _outcomes(server.url, len(later)) == later


@pytest.mark.anyio
async def test_the_audit_counts_the_other_program_before_and_after_a_restart(tmp_path: Path) -> None:
    clock, ledger = _Clock(), tmp_path / "ledger.ndjson"
    options = Options(ledger=ledger, daily_quota=4, other_rate=1)
    async with serve(options, clock=clock) as server:
        assert server.audit()["granted_to_others"] == 0
        assert (await _outcomes(server.url, 1)) == [None]
        clock.now += 2
        assert (await _outcomes(server.url, 1)) == [None]
        audit = server.audit()
        assert (audit["granted_to_others"], audit["max_granted_per_day"]) == (2, 2)
    async with serve(options, clock=clock) as server:
        assert server.audit() == audit
        assert b"ThrottlingException" in (await asyncio.to_thread(post, server.url, create_request(9)))[2]


def test_the_quota_flags_take_effect_and_show_in_the_audit() -> None:
    bucket = ("--rate-trace", "0s:2,1h:1", "--refusal-cost", "0.5", "--tell-retry-after")
    other = ("--other-rate", "20", "--other-on", "1h", "--other-off", "300ms")
    with emulator_process(*bucket, *other) as emulator:
        answers = [post(emulator.url, create_request(number)) for number in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 400]
        assert 500 < int(answers[2][1]["x-amz-retry-after"]) <= 750
        deadline = time.monotonic() + 10
        while emulator.audit()["granted_to_others"] == 0 and time.monotonic() < deadline:
            post(emulator.url, create_request(4))
            time.sleep(0.9)
        assert emulator.audit()["granted_to_others"] > 0


def test_a_fixed_window_can_be_set_on_the_command_line() -> None:
    year = 365 * 86400
    with emulator_process("--rate", "1e-7", "--fixed-window", "365d", "--tell-retry-after") as emulator:
        answers = [post(emulator.url, create_request(number)) for number in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 400]
        retry_after = int(answers[3][1]["x-amz-retry-after"])
        assert retry_after == pytest.approx((year - time.time() % year) * 1000, abs=5000)
        assert emulator.audit()["granted_to_others"] == 0
