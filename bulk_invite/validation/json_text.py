r"""Strict parsing of a line of JSON: UTF-8, one value, no repeated keys, limited depth and width.

orjson parses; of a repeated key it silently keeps the last value. Finding repeated keys exactly takes a
second, slow pass, so a count decides whether that is necessary. In a text without the escape `\u003a`, each
colon either separates a key from its value or is part of a string, and the same holds for orjson's output,
which never escapes a colon. So, with `kept` for the parsed value, or only some of its members,

    colons(line) = members in the line + colons in all of its strings
    colons(dumps(kept)) = members kept + colons in the strings kept

and since `kept` is a part of the line, the two are equal exactly if no member was dropped: neither by orjson,
nor by the choice of members. If all values kept are texts, equal lengths prove the same without counting:
orjson writes no white space and each text as short as JSON allows, so a line is never shorter than what is
kept of it, and at least five bytes longer for each member that is not.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import islice

import orjson

from bulk_invite.domain.rows import METADATA, RowError
from bulk_invite.validation.places import step
from bulk_invite.validation.shapes import Shape

MAX_ERRORS = 100
"""Maximum errors reported for a row; one more, `too_many_errors`, shows that there are others."""

MAX_VALUES = 5_000
"""More members and elements than any invitation has, at all depths; limits the cost of a hostile row."""


class NotReadableError(Exception):
    """The text is not strict JSON. Holds the error to report; never a part of the text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = RowError("$", code, message)


def read(text: bytes) -> object:
    """Parse `text`; the last value of a repeated key wins.

    Raises NotReadableError for text that is not JSON, not UTF-8, or has too many values.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not text.startswith(codecs.BOM_UTF8):  # most readers remove it
            raise _not_json(text, error.pos) from None
        value = _without_bom(text.removeprefix(codecs.BOM_UTF8))
    # Each value but the first follows a comma or a bracket, so only a long line can have too many.
    if len(text) > MAX_VALUES and _has_too_many_values(value):
        raise NotReadableError("too_many_values", f"has more than {MAX_VALUES:,} values")
    return value


def _without_bom(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _not_json(text, error.pos) from None


def nothing_dropped(text: bytes, written: bytes, row: object = None) -> bool:
    """Prove that a value, all texts, has every member of `text`. False: it needs a closer look.

    written: orjson's output for the value, which was parsed from `text`; its members in any order. row: all
    of `text`, if the value may lack our metadata.
    """
    if len(text) == len(written):
        return True
    if b"\\" in text and (b"\\u003a" in text or b"\\u003A" in text):
        return False
    return text.count(b":") == written.count(b":") + _colons_of_metadata(row)


def _colons_of_metadata(row: object) -> int:
    """They may have numbers, so their length proves nothing."""
    metadata = row.get(METADATA) if isinstance(row, dict) else None
    if metadata is None:
        return 0
    try:
        return 1 + orjson.dumps(metadata).count(b":")
    except orjson.JSONEncodeError:  # they are deeper than orjson writes: a sum that no text has
        return -1


def _not_json(text: bytes, position: int) -> NotReadableError:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return NotReadableError("invalid_utf8", f"is not UTF-8 text: byte {error.start + 1:,} of the line")
    return NotReadableError(
        "invalid_json", f"is not a JSON object: unexpected character at column {position + 1:,}"
    )


class _Pairs(list[tuple[str, object]]):
    """A JSON object with every member of the text, in order."""

    __slots__ = ()


class _Place:
    """A container and its location. Linked: as full paths they could take the square of the row's memory.

    step: the step from `parent`, in its written form. shape: the model's shape there.
    """

    __slots__ = ("parent", "shape", "step", "value")

    def __init__(self, parent: _Place | None, step: str, shape: Shape | None, value: object) -> None:
        self.parent = parent
        self.step = step
        self.shape = shape
        self.value = value

    def text(self) -> str:
        steps: list[str] = []
        place: _Place | None = self
        while place is not None:
            steps.append(place.step)
            place = place.parent
        return "".join(reversed(steps))


def every_member(text: bytes) -> object:
    """Parse a text that `read` accepted, with objects as lists of pairs, including repeated keys.

    Raises NotReadableError if it is too deep for that.
    """
    try:
        return json.loads(text.removeprefix(codecs.BOM_UTF8), object_pairs_hook=_Pairs)
    except RecursionError:
        raise NotReadableError("too_deep", "has objects and lists nested too deeply") from None


def duplicate_keys(value: object, shape: Shape | None) -> list[RowError]:
    """One error for each repeated key of an object. value: as returned by `every_member`.

    shape: the expected one; a key unknown to it is reported by position only.
    """
    again = "field is given more than once"
    return [
        RowError(place, "duplicate_key", again)
        for place in islice(_duplicates(_Place(None, "$", shape, value)), MAX_ERRORS + 1)
    ]


def _duplicates(root: _Place) -> Iterator[str]:
    waiting = [root]
    while waiting:
        place = waiting.pop()
        seen: set[str | int] = set()
        for number, (name, inner) in enumerate(_members(place.value), start=1):
            written, shape = step(place.shape, name, number)
            if name in seen:
                yield place.text() + written
            seen.add(name)
            if isinstance(inner, list):
                waiting.append(_Place(place, written, shape, inner))


def _members(value: object) -> Iterable[tuple[str | int, object]]:
    """Of an object or a list, by name or index."""
    if isinstance(value, _Pairs):
        return value
    return enumerate(value) if isinstance(value, list) else ()


def _has_too_many_values(root: object) -> bool:
    waiting, count = [root], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            count += len(value)
            if count > MAX_VALUES:
                return True
            waiting += value.values() if isinstance(value, dict) else value
    return False
