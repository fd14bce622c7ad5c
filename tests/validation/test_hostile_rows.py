"""Any hostile line is rejected in bounded time and memory, and no error shows a value."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from row_checks import (
    LEAD,
    MODEL,
    OPPORTUNITY,
    at,
    changed,
    places,
    rejected,
    validate,
)
from sensitive import sensitive_values

from bulk_invite.domain.rows import Invitation, Rejection
from bulk_invite.validation.json_text import duplicate_keys, every_member, nothing_dropped

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(":\\u03aA", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
TEXT = st.text(st.sampled_from(':\\"\n,{}é\x1f/u03aA'), max_size=4)


def _texts_as_json(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool]:
    """JSON of objects, lists and texts, and whether every key is unique: the plain, slow reference."""
    kind = draw(st.sampled_from(["text", "object", "list"] if depth else ["text"]))
    if kind == "text":
        return _text_as_json(draw, draw(TEXT)), True
    inner = [_texts_as_json(draw, depth - 1) for _ in range(draw(st.integers(0, 3)))]
    unique = all(fine for _, fine in inner)
    space = draw(st.sampled_from(["", " "]))
    if kind == "list":
        return f"[{space}{','.join(text for text, _ in inner)}]", unique
    keys = [draw(TEXT) for _ in inner]
    members = [
        f"{_text_as_json(draw, key)}{space}:{text}" for key, (text, _) in zip(keys, inner, strict=True)
    ]
    return f"{{{','.join(members)}}}", unique and len(set(keys)) == len(keys)


def _text_as_json(draw: st.DrawFn, text: str) -> str:
    escape = draw(st.sampled_from(["short", "colons", "ascii"]))
    written = json.dumps(text, ensure_ascii=escape == "ascii")
    return written.replace(":", "\\u003A") if escape == "colons" else written


@settings(max_examples=500)
@given(st.composite(_texts_as_json)())
def test_the_quick_check_agrees_with_the_full_one(case: tuple[str, bool]) -> None:
    text, unique = case
    data = text.encode()
    written = orjson.dumps(orjson.loads(data))
    assert (duplicate_keys(every_member(data), None) == []) == unique
    if nothing_dropped(data, written):
        assert unique
    elif "\\u003A" not in text:
        assert not unique


@settings(max_examples=300)
@given(st.binary(max_size=60) | JSON_VALUES.map(orjson.dumps))
@example(b'{"a":' * 300 + b"1" + b"}" * 300)
@example(b'{"a":1,"a":' + b"1" * 308 + b"}")
@example(b"[" * 1_000_000)
@example(b'{"Catalog":1e400}')
@example(b'{"":"","":""}')
def test_no_line_raises_an_exception(data: bytes) -> None:
    assert rejected(data)


@settings(max_examples=200)
@given(st.sampled_from(places(OPPORTUNITY)), JSON_VALUES)
def test_no_value_in_any_place_raises_an_exception(place: str, value: object) -> None:
    data = changed(place, value)
    result = validate(data)
    if isinstance(result, Invitation):
        assert orjson.loads(result.body) == orjson.loads(data)


MIB = 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"[" * MIB,
        b'{"a":' * (MIB // 5),
        b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
        b'{"a":1,"a":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        b"\xef\xbb\xbf" * (MIB // 3),
        b"[" + b"1," * (MIB // 2) + b"1]",
        b"{" + b",".join(b'"%d":1' % number for number in range(MIB // 10)) + b"}",
        b"{" + b",".join([b'"a":1'] * (MIB // 6)) + b"}",
        b'{"a":1,"a":' + b"[" * 900 + b",".join([b"[]"] * (MIB // 3)) + b"]" * 900 + b"}",
        b'{"a":"' + b"\\u003a" * (MIB // 6) + b'"}',
        b'{"a":' + b"9" * MIB + b"}",
        b'{"' + b"k" * MIB + b'":1}',
        changed("Invitation.Payload.OpportunityInvitation.ReceiverResponsibilities", [1] * (MIB // 2)),
        changed("Invitation.Payload.OpportunityInvitation.SenderContacts", [{}] * 4_900),
        changed("Invitation.Payload.OpportunityInvitation.SenderContacts.0.Email", "a@" + "a." * (MIB // 2)),
        changed("Invitation.Payload.OpportunityInvitation.Customer.WebsiteUrl", "a." * (MIB // 2)),
        changed("Invitation.Payload.OpportunityInvitation.Project.ExpectedCustomerSpend.0.Amount", "1" * MIB),
        changed("Invitation.Payload.OpportunityInvitation.SenderContacts.0.Phone", "+1" + "1" * MIB),
        changed("EngagementIdentifier", "eng-" * (MIB // 4)),
    ],
    ids=lambda data: data[:12].decode(errors="replace"),
)
def test_a_hostile_line_costs_little_and_is_rejected_briefly(data: bytes) -> None:
    gc.freeze()  # memory left by other tests in this process does not count
    try:
        started = time.thread_time()
        result = validate(data)
        took = time.thread_time() - started
    finally:
        gc.unfreeze()
    assert took < 2
    assert isinstance(result, Rejection)
    assert len(result.errors) <= 101
    assert sum(len(error.path) + len(error.message) for error in result.errors) < 100_000


def test_a_hostile_line_takes_bounded_memory() -> None:
    data = b'{"a":1,"a":' + b"[" * 900 + b",".join([b"[]"] * (MIB // 3)) + b"]" * 900 + b"}"
    tracemalloc.start()
    try:
        validate(data)
        assert tracemalloc.get_traced_memory()[1] < 150 * MIB
    finally:
        tracemalloc.stop()


def test_too_many_errors_end_with_one_that_says_so() -> None:
    result = validate(b'{"' + b'":1,"'.join(b"k%d" % number for number in range(500)) + b'":1}')
    assert isinstance(result, Rejection)
    assert len(result.errors) == 101
    assert result.errors[-1].code == "too_many_errors"


@pytest.mark.parametrize("row", [OPPORTUNITY, LEAD])
def test_no_error_and_no_warning_shows_a_value(row: dict[str, Any]) -> None:
    marked = orjson.loads(orjson.dumps(row))
    for place in places(row):
        data = orjson.loads(changed(place, "zq\x1b[31m-secret-zq", marked))
        marked = data if isinstance(at(row, place), str) else marked
    result = validate(orjson.dumps(marked))
    assert isinstance(result, Rejection)
    assert "zq" not in repr(result)
    assert "zq" in "".join(sensitive_values(MODEL, marked))
    keys = validate(b'{"maria@example.com":1,"\\u001b[31m":1,"+4912345":1}')
    assert not any(word in repr(keys) for word in ("maria", "31m", "4912345"))
