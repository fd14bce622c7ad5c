from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("15m", 900.0),
        ("8h", 28800.0),
        ("15d", 1296000.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "1 s", "1h30m", "٣s", "1e3s", ".5s", "1s\n2s", "9" * 400 + "h"]
)
def test_anything_else_is_refused_with_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write a number and a unit, such as 250ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.02, "20ms"),
        (1.5, "1.5s"),
        (90, "90s"),
        (900, "15m"),
        (86400, "24h"),
        (61.001, "61.001s"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_a_written_duration_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
