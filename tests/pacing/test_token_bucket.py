"""The calls that a token bucket grants while its rate changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.pacing.token_bucket import TokenBucket

RATES = st.lists(st.tuples(st.floats(0.1, 40.0), st.floats(0.0, 1.0)), min_size=1, max_size=6)
"""(rate, seconds)"""


def _leave(bucket: TokenBucket, rates: list[tuple[float, float]]) -> list[float]:
    """When calls leave that wait in an unbroken row from time 0 on."""
    left, now = list[float](), 0.0
    for rate, seconds in rates:
        end = now + seconds
        while (at := max(now, bucket.earliest(rate))) < end:
            now = at
            bucket.take(now, rate)
            left.append(now)
        now = end
    return left


@given(rates=RATES, burst=st.floats(1.0, 20.0))
def test_calls_never_exceed_a_burst_plus_the_highest_rate(
    rates: list[tuple[float, float]], burst: float
) -> None:
    left = _leave(TokenBucket(burst), rates)
    highest = max(rate for rate, _ in rates)
    for first, began in enumerate(left):
        for last in range(first, min(first + 40, len(left))):
            assert last - first + 1 <= burst + highest * (left[last] - began) + 1e-6


@given(rates=RATES)
def test_without_a_burst_no_gap_is_shorter_than_the_higher_rate_allows(
    rates: list[tuple[float, float]],
) -> None:
    bucket = TokenBucket(1.0)
    now = 0.0
    bucket.take(now, rates[0][0])
    for rate, idle in rates:
        at = max(now + idle, bucket.earliest(rate))
        assert at - now >= 1 / rate - 1e-9
        now = at
        bucket.take(now, rate)


def test_emptying_counts_from_now_and_forfeiting_from_the_last_call() -> None:
    bucket = TokenBucket(10.0)
    bucket.take(100.0, 2.0)
    assert bucket.earliest(2.0) == 100.0
    bucket.forfeit()
    assert bucket.earliest(2.0) == 100.5
    bucket.empty(103.0)
    assert bucket.earliest(2.0) == 103.5
