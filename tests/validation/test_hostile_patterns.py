"""Every pattern of the service model on its worst texts: time grows with the text, up to the longest line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
import pytest
from pydantic_core import SchemaValidator, core_schema
from row_checks import LEAD, OPPORTUNITY, VALIDATOR, at, changed, places

from bulk_invite.domain.rows import Position, Rejection, Row, RowError
from bulk_invite.sources.lines import MAX_LINE_BYTES
from bulk_invite.validation.patterns import read_pattern
from bulk_invite.validation.service_model import load

T = TypeVar("T")
PATTERNS = sorted({shape["pattern"] for shape in load().shapes.values() if "pattern" in shape})
MATCHED = [pattern for pattern in PATTERNS if read_pattern(pattern).form is not None]
SHORT, LONG = 8 * 1024, 256 * 1024
HEADS = ("", "a@a", "https://www.", "arn:aws:", "+1", "0.")
UNITS = (
    "a",
    "1",
    "a.",
    "a@",
    "-.",
    "a-",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{WAVING HAND SIGN}",
    "\r",
)


def worst(pattern: str, size: int) -> list[str]:
    """Texts that come near to matching, whatever the pattern is made of, and fail at the very end."""
    units = {*UNITS, *re.sub(r"\W", "", pattern), *re.sub(r"\w", "", pattern)}
    return [(head + unit * size)[:size] + "\n" for head in HEADS for unit in sorted(units)]


def seconds(act: Callable[[T], object], texts: Sequence[T]) -> float:
    """Processor time for all texts, the best of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        for text in texts:
            act(text)
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.parametrize("pattern", MATCHED)
def test_the_time_of_a_pattern_grows_linearly_with_the_text(pattern: str) -> None:
    schema = core_schema.str_schema(pattern=read_pattern(pattern).rust, regex_engine="rust-regex")
    match = SchemaValidator(schema).isinstance_python
    assert not any(match(text) for text in worst(pattern, SHORT))
    grown = seconds(match, worst(pattern, LONG)) / seconds(match, worst(pattern, SHORT))
    assert grown < 4 * LONG / SHORT, "the square would be 32 times as much"


def text_places() -> list[tuple[str, dict[str, object]]]:
    return [
        (place, row)
        for row in (OPPORTUNITY, LEAD)
        for place in places(row)
        if isinstance(at(row, place), str)
    ]


def filled(place: str, row: dict[str, object], unit: str) -> bytes:
    """A line as long as one may be, by a text of nothing but `unit`."""
    room = MAX_LINE_BYTES - len(changed(place, "", row))
    return changed(place, unit * (room // (len(orjson.dumps(unit)) - 2)), row)


def test_a_text_that_fills_its_line_costs_no_more_than_a_line_of_valid_rows() -> None:
    def check(line: bytes) -> Rejection | tuple[RowError, ...]:
        return VALIDATOR.check(Row(Position("x", 1), line))

    valid = orjson.dumps(OPPORTUNITY)
    plain = seconds(check, [valid] * (MAX_LINE_BYTES // len(valid)))
    for place, row in text_places():
        for unit in ("a.", '"', "\N{WAVING HAND SIGN}"):
            line = filled(place, row, unit)
            assert MAX_LINE_BYTES - 16 < len(line) <= MAX_LINE_BYTES
            assert isinstance(check(line), Rejection)
            assert seconds(check, [line]) < 5 * plain
