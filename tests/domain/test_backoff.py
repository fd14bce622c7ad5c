from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.backoff import Backoff

_UNIFORM = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(base=st.floats(0.001, 100), cap=st.floats(0.001, 1000), tries=st.integers(1, 10**9), random=_UNIFORM)
def test_the_delay_stays_below_the_cap_and_the_doubled_base(
    base: float, cap: float, tries: int, random: float
) -> None:
    delay = Backoff(base, cap).delay(tries, lambda: random)
    assert 0 <= delay <= cap
    assert delay <= base * 2 ** min(tries - 1, 100)


def test_the_ceiling_doubles_with_every_attempt_up_to_the_cap() -> None:
    backoff = Backoff(base=0.2, cap=20)
    assert [backoff.delay(tries, lambda: 1.0) for tries in range(1, 10)] == [
        0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20,
    ]  # fmt: skip


def test_jitter_covers_the_whole_range() -> None:
    backoff = Backoff(base=1, cap=8)
    assert [backoff.delay(3, lambda at=at: at) for at in (0.0, 0.25, 0.75)] == [0, 1, 3]  # type: ignore[misc]  # mypy cannot type a lambda with a default
