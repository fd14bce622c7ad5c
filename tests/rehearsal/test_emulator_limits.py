"""The emulator's pure parts, each against the definition it is to meet."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.rehearsal.emulator.buckets import RollingWindow, TokenBucket
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.faults import Fault, Faults
from bulk_invite.rehearsal.emulator.ids import invitation_id
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import Quota
from bulk_invite.rehearsal.emulator.token_memory import Remembered, TokenMemory
from bulk_invite.validation import ShapeValidator
from bulk_invite.validation.service_model import load

GAPS = st.lists(st.floats(min_value=0, max_value=5, allow_nan=False), min_size=1, max_size=80)


def _moments(gaps: list[float]) -> list[float]:
    now, moments = 1_700_000_000.0, []
    for gap in gaps:
        now += gap
        moments.append(now)
    return moments


@given(GAPS, st.floats(min_value=0.1, max_value=20), st.integers(min_value=1, max_value=10))
def test_a_bucket_never_grants_more_than_burst_and_rate_allow(
    gaps: list[float], rate: float, burst: int
) -> None:
    bucket, granted = TokenBucket(rate, burst), []
    for now in _moments(gaps):
        if bucket.wait(now) == 0:
            bucket.take()
            granted.append(now)
    for first, start in enumerate(granted):
        for last, end in enumerate(granted[first:], start=first):
            assert last - first + 1 <= burst + (end - start) * rate + 1e-3


@given(GAPS, st.floats(min_value=0.1, max_value=20), st.integers(min_value=1, max_value=10))
def test_a_bucket_grants_after_exactly_the_wait_that_it_names(
    gaps: list[float], rate: float, burst: int
) -> None:
    bucket = TokenBucket(rate, burst)
    for now in _moments(gaps):
        wait = bucket.wait(now)
        if wait > 1e-3:
            assert bucket.wait(now + wait * 0.99) > 0
            assert bucket.wait(now + wait + 1e-6) == 0
            return
        bucket.take()


def test_an_idle_bucket_grants_its_full_rate() -> None:
    bucket, granted = TokenBucket(10, 1), 0
    for tick in range(1001):
        if bucket.wait(1_700_000_000 + tick / 100) == 0:
            bucket.take()
            granted += 1
    assert granted == 101


def test_a_clock_set_back_does_not_refill_a_bucket() -> None:
    bucket = TokenBucket(1, 1)
    assert bucket.wait(1000) == 0
    bucket.take()
    assert bucket.wait(900) == 1
    assert bucket.wait(900.5) == 0.5


@given(GAPS, st.integers(min_value=1, max_value=10), st.floats(min_value=0.5, max_value=20))
def test_a_window_is_full_exactly_at_the_limit(gaps: list[float], limit: int, length: float) -> None:
    window, admitted = RollingWindow(length), list[float]()
    for now in _moments(gaps):
        inside = sum(moment + length > now for moment in admitted)
        wait = window.wait(limit, now)
        assert (wait == 0) == (inside < limit)
        if wait == 0:
            window.add(now)
            admitted.append(now)
        else:
            assert window.wait(limit, now + wait + 1e-6) == 0
            return


def test_a_refused_call_is_not_charged_to_the_day_or_to_the_bucket() -> None:
    quota = Quota(TokenBucket(1, 1), daily=2, day=100)
    assert [quota.take(now) == 0 for now in (0, 0.1, 0.2, 1, 1.1)] == [True, False, False, True, False]
    assert quota.take(50) == 50
    assert quota.take(100) == 0


@given(
    st.lists(st.tuples(st.floats(min_value=0, max_value=4), st.sampled_from("abc")), max_size=60),
    st.floats(min_value=0.5, max_value=10),
)
def test_a_token_is_known_for_its_retention_and_no_longer(
    uses: list[tuple[float, str]], retention: float
) -> None:
    memory, remembered, now = TokenMemory(retention), dict[str, Remembered](), 1_700_000_000.0
    for number, (gap, token) in enumerate(uses):
        now += gap
        expected = remembered.get(token)
        if expected is not None and now - expected.time >= retention:
            expected = None
        assert memory.recall("account", token, now) == expected
        assert memory.recall("another account", token, now) is None
        if expected is None:
            remembered[token] = Remembered("hash", number, now)
            memory.remember("account", token, remembered[token])


def test_forgotten_tokens_take_no_memory() -> None:
    memory = TokenMemory(10)
    for number in range(1000):
        memory.remember("account", f"token-{number}", Remembered("hash", number, float(number)))
    assert len(memory) == 10


def test_faults_come_as_often_as_set_and_each_leaves_the_outcome_open() -> None:
    options = Options(faults=FaultOptions(error_500=0.1, slow=0.2, reset_before=0.3, reset_after=0.1))
    drawn = [Faults(options).draw(number) for number in range(20_000)]
    share = {fault: count / len(drawn) for fault, count in Counter(draw.fault for draw in drawn).items()}
    assert share == pytest.approx(
        {Fault.ERROR_500: 0.1, Fault.SLOW: 0.2, Fault.RESET_BEFORE: 0.3, Fault.RESET_AFTER: 0.1, None: 0.3},
        abs=0.02,
    )
    after = Counter((draw.fault, draw.after) for draw in drawn)
    assert after[Fault.ERROR_500, True] == pytest.approx(after[Fault.ERROR_500, False], rel=0.15)
    assert after[Fault.RESET_BEFORE, True] == after[Fault.RESET_AFTER, False] == 0


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    faults = FaultOptions(error_500=0.5)
    first, again, other = (
        [Faults(Options(seed=seed, faults=faults)).draw(number) for number in range(64)] for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_ids_are_distinct_and_match_the_service_model() -> None:
    ids = [invitation_id(0, number, f"token-{token}") for number in range(500) for token in range(2)]
    assert len(set(ids)) == 1000
    validator = ShapeValidator(load(), "EngagementInvitationIdentifier")
    assert not any(validator.errors(each) for each in ids)
