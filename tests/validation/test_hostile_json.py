"""JSON that readers differ about: never an exception, never read in another way than it is sent on."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from row_checks import LEAD, OPPORTUNITY, accepted, at, changed, places, rejected, validate, without

from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.runs.output.results_folder import Results

MIB = 1 << 20
PLACES = [
    "EngagementIdentifier",
    "ClientToken",
    "Invitation",
    "Invitation.Message",
    "Unknown",
    "_bulk_invite",
]
BOM = b"\xef\xbb\xbf"
MARK = "@here@"


def put(place: str, text: bytes, row: dict[str, Any] = LEAD) -> bytes:
    """The row with `text`, unchanged, for a value."""
    return changed(place, MARK, row).replace(f'"{MARK}"'.encode(), text)


def judge(*lines: bytes) -> list[Invitation | Rejection]:
    """Either a line is sent on as it was read, or it can be corrected in the results."""
    judged = [validate(line) for line in lines]
    with TemporaryDirectory() as folder:
        results = Results.open(Path(folder), only_rejected=True)
        for line, result in zip(lines, judged, strict=True):
            errors = result.errors if isinstance(result, Rejection) else ()
            results.rejected(Row(Position("x", 1), line), errors)
        results.close()
        written = (Path(folder) / "rejected.ndjson").read_bytes().splitlines()
    for line, result, result_line in zip(lines, judged, written, strict=True):
        if isinstance(result, Invitation):
            read = without(orjson.loads(line.removeprefix(BOM)), "_bulk_invite")
            filled = {"ClientToken": result.client_token, "Catalog": "Sandbox"}
            assert orjson.loads(result.body) == {**read, **filled}
            assert accepted(result.body).body == result.body
        # Python converts no number of millions of digits, and it is the row's to have one.
        assert isinstance(json.loads(result_line, parse_int=str), dict)
    return judged


@settings(max_examples=100, deadline=None)
@given(
    place=st.sampled_from(PLACES),
    opening=st.sampled_from(["[", '{"a":', '[{"":', '[[],{"b":0,"a":']),
    depth=st.integers(1, 3000) | st.integers(980, 1030),
    closed=st.booleans(),
    twice=st.booleans(),
)
def test_nesting_of_any_depth_is_no_exception(
    *, place: str, opening: str, depth: int, closed: bool, twice: bool
) -> None:
    ends = "".join(
        {"[": "]", "{": "}"}[each] for each in reversed(opening.replace("[],", "")) if each in "[{"
    )
    nested = (opening * depth + "0" + ends * depth * closed).encode()
    line = put(place, nested)
    if twice:
        line = line[:-1] + b',"Catalog":"Sandbox"}'
    [result] = judge(line)
    if place != "_bulk_invite" or twice or not closed:
        assert isinstance(result, Rejection)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("opening", [b"[", b'{"":', b'[{"a":[],"b":'])
def test_nesting_as_deep_as_a_line_allows(place: str, opening: bytes) -> None:
    assert rejected(put(place, opening * ((MIB - 2000) // len(opening)))) == {"$": "invalid_json"}


def test_nesting_within_a_text_is_a_text() -> None:
    inside = '{"a":' * 50 + "[" * 5
    assert (
        orjson.loads(accepted(changed("Invitation.Message", inside)).body)["Invitation"]["Message"] == inside
    )
    assert rejected(changed("Invitation.Message", "[" * (MIB - 2000))) == {"$.Invitation.Message": "too_long"}


LONG = b"9" * (MIB - 3000)
NUMBERS = [
    *(b"-0", b"0", b"1e5", b"-0.0", b"1E-400", b"1e400", b"-1e999", b"18446744073709551616", b"9" * 309),
    *(LONG, b"-" + LONG, b"0." + LONG, b"1e" + LONG, b"1e-" + LONG, b"1" + b"0" * 308 + b"e-308"),
    *(b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b".5", b"1.", b"0x10", b"1_0", b"--1", b"1e", b"-"),
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12].decode())
def test_numbers_are_never_taken_for_texts(number: bytes) -> None:
    for place in PLACES:
        lines = [put(place, number), put(place, b"[" + number + b"]")]
        alone, listed, twice = judge(*lines, lines[0][:-1] + b',"Catalog":"Sandbox"}')
        assert isinstance(twice, Rejection)
        if place != "_bulk_invite":
            assert isinstance(alone, Rejection)
            assert isinstance(listed, Rejection)


BROKEN = [
    *(rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"\udc00\ud800", rb"\ud800\u0041", rb"a\udbff"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb1\x8b"),  # surrogates as if they were characters
    *(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc0\xaf"),  # longer than need be
    *(b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"\xfe", b"\x80", b"\xe2\x82", b"\xf0\x9f\x91"),
    *(rb"\x41", rb"\u00", rb"\u{41}", rb"\U00000041", b"\\", rb"\'", rb"\0"),
    *(bytes([code]) for code in range(32)),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda value: value.hex())
def test_invalid_characters_are_rejected_in_keys_and_values(broken: bytes) -> None:
    lines = [put(place, b'"' + broken + b'"') for place in PLACES]
    lines += [put(place, b'{"' + broken + b'":1}') for place in PLACES]
    lines += [changed("EngagementIdentifier", "eng-0", LEAD).replace(b"ClientToken", b"ClientToken" + broken)]
    for result in judge(*lines):
        assert isinstance(result, Rejection)
        assert [error.code for error in result.errors] in (["invalid_json"], ["invalid_utf8"])


CONTROLS = [
    *range(32),
    *range(0x7F, 0xA0),
    0xAD,
    0x200B,
    0x200E,
    0x2028,
    0x202E,
    0x2066,
    0xFEFF,
    0xFFFE,
    0xE0001,
]


@pytest.mark.parametrize("code", CONTROLS, ids=hex)
def test_a_control_character_is_kept_or_reported_and_never_shown(code: int) -> None:
    for place in ("ClientToken", "Invitation.Message", "EngagementIdentifier", "Catalog"):
        short = changed(place, f"{at(LEAD, place)}{chr(code)}", LEAD)
        for result in judge(short, json.dumps(json.loads(short)).encode()):
            errors = result.errors if isinstance(result, Rejection) else result.warnings
            assert all((error.path + error.code + error.message).isprintable() for error in errors)
            kept = place == "Invitation.Message" or (place == "ClientToken" and code not in {0, 10})
            assert isinstance(result, Invitation) == kept


def spellings(key: str) -> list[str]:
    """The same key in JSON, written in other ways."""
    first, last = f"\\u{ord(key[0]):04x}", f"\\u{ord(key[-1]):04X}"
    return [key, first + key[1:], key[:-1] + last, "".join(f"\\u{ord(each):04x}" for each in key)]


@pytest.mark.parametrize("row", [OPPORTUNITY, LEAD])
def test_a_duplicate_key_is_found_at_any_depth_and_in_any_form(row: dict[str, Any]) -> None:
    lines = []
    for place in [place for place in places(row) if not place.rpartition(".")[2].isdigit()]:
        head, _, key = place.rpartition(".")
        holder = orjson.dumps(at(row, head) if head else row)[:-1]
        path = "$" + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in place.split("."))
        for again in spellings(key):
            for other in (at(row, place), None, ":"):
                text = holder + b',"' + again.encode() + b'":' + orjson.dumps(other) + b"}"
                lines.append(put(head, text, row) if head else text)
                assert "duplicate_key" in rejected(lines[-1])[path].split()
    judge(*lines)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"\xef\xbb\xbf", b"\r", b" ", b"\t", b"\x0b", b"\x0c", b"\xc2\xa0", b"\0"]),
        max_size=3,
    )
)
@example([b"\xef\xbb\xbf"])
def test_only_white_space_is_accepted_between_two_tokens(between: list[bytes]) -> None:
    plain = orjson.dumps(LEAD)
    line = plain.replace(b",", b"," + b"".join(between), 1)
    [result] = judge(line)
    assert isinstance(result, Invitation) == all(each in {b"\r", b" ", b"\t"} for each in between)


def test_rows_between_carriage_returns_are_one_line() -> None:
    assert rejected(b"\r".join([orjson.dumps(LEAD)] * 3)) == {"$": "invalid_json"}
    assert accepted(b"\r" + orjson.dumps(LEAD).replace(b",", b",\r") + b"\r").body == orjson.dumps(
        LEAD, option=orjson.OPT_SORT_KEYS
    )
