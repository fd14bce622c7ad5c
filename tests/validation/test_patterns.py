"""Model patterns on a linear engine, and their rewriting for JavaScript."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, core_schema

from bulk_invite.validation.patterns import TextPattern, read_pattern
from bulk_invite.validation.service_model import load

PATTERNS = sorted({shape["pattern"] for shape in load().shapes.values() if "pattern" in shape})
EMAIL = load().shapes["SenderContactEmail"]["pattern"]
URL = load().shapes["CompanyWebsiteUrl"]["pattern"]


def matcher(pattern: TextPattern) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern.rust, regex_engine="rust-regex"))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_of_the_model_compiles_and_is_linear(pattern: str) -> None:
    validator = matcher(read_pattern(pattern))
    started = time.perf_counter()
    for text in (
        "a" * 100_000 + "!",
        "a." * 50_000 + "\n",
        "www." * 25_000 + "@",
        "arn:" + "9" * 100_000 + "\n",
    ):
        validator.isinstance_python(text)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_pattern_lets_a_newline_in_at_the_end(pattern: str) -> None:
    form = read_pattern(pattern)
    validator = matcher(form)
    for text in (
        "",
        "a",
        "1",
        "USD",
        "2027-01-31",
        "+4912",
        "eng-0123456789abcd",
        "a@b",
        "a.b",
        "AWS",
        "12.50",
    ):
        if form.form is not None and validator.isinstance_python(text):
            assert not validator.isinstance_python(text + "\n")


def test_length_limits_are_taken_out_of_the_pattern() -> None:
    assert read_pattern("(?s).{20,2000}") == TextPattern(20, 2000)
    assert read_pattern(".{1,255}") == TextPattern(1, 255, ".*")
    assert read_pattern("(?=.{1,80}$)a+") == TextPattern(1, 80, "a+")
    assert read_pattern("a+") == TextPattern(form="a+")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"\+[1-9]\d{1,14}", "+4912", "+49\N{ARABIC-INDIC DIGIT ONE}2"),
        (r"\w{1,12}", "a_9", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        (r"[\d-]+", "1-2", "\N{DEVANAGARI DIGIT TWO}"),
        (r"a\\d", r"a\d", "a1"),
        ("[\\u0020-\\u007E]{1,80}", "a b", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("a|b", "b", "ab"),
    ],
)
def test_classes_are_ascii_and_both_ends_are_anchored(pattern: str, yes: str, no: str) -> None:
    validator = matcher(read_pattern(pattern))
    assert validator.isinstance_python(yes)
    assert not validator.isinstance_python(no)
    assert not validator.isinstance_python(f"{yes}\n")


@pytest.mark.parametrize("pattern", [EMAIL, URL])
@settings(max_examples=300)
@given(
    text=st.text("ab-.@w(:/\n%", max_size=14)
    | st.from_regex(r"(https?://)?(www\.)?[ab.-]{1,9}[@.][ab.()-]{0,9}")
)
def test_the_rewritten_pattern_for_javascript_accepts_the_same(pattern: str, text: str) -> None:
    form = read_pattern(pattern)
    assert form.ecma is not None
    # Python's re replaces JavaScript's here: both backtrack, and `$` alone differs, hence fullmatch.
    assert (re.fullmatch(form.ecma, text) is not None) == matcher(form).isinstance_python(text)


@pytest.mark.parametrize("pattern", [EMAIL, URL])
def test_the_rewritten_pattern_for_javascript_does_not_backtrack_exponentially(pattern: str) -> None:
    ecma = read_pattern(pattern).ecma
    assert ecma is not None
    started = time.perf_counter()
    for text in (
        "a@" + "a" * 250 + "!",
        "a@" + "a." * 125 + "!",
        "a" + ".a" * 125 + "!",
        "a" + "." * 250 + "!",
    ):
        assert re.match(ecma, text) is None
    assert time.perf_counter() - started < 1


def test_only_equivalents_are_rewritten() -> None:
    for pattern in ("([.][a-z]+)+", "[^a]+(?:.[^a]+)*", "[a]+(?:.[b]+)*", r"(\.[a-z.]+)+"):
        assert read_pattern(pattern).ecma == f"^(?:{pattern})$"
