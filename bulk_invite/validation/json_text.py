r"""Strict reading of one line of JSON: UTF-8, one value, no key twice, bounded in depth and width.

orjson reads; of a key given twice it silently keeps the last value. Looking for that exactly takes a second,
slow reading, so a count decides whether it is needed. Take a text without the escape `\u003a`: each colon in
it either separates a key from its value or stands as itself within a string, and the same holds for what
orjson writes, which never escapes a colon. So, with `kept` for what was read, or only some members of it,

    colons(line) = members in the line + colons in all of its strings
    colons(dumps(kept)) = members kept + colons in the strings kept

and since what is kept is a part of what was there, the two are equal exactly if no member was dropped:
neither by orjson, nor by who chose what to keep. Where all values kept are texts, equal lengths prove the
same without counting: orjson writes no white space and each text as short as JSON can, so a line is never
shorter than what is kept of it, and longer by at least five bytes for each member that is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

import orjson

from bulk_invite.invitation import RowError

Path: TypeAlias = tuple[str | int, ...]

MAX_ERRORS = 100
"""Errors reported of one row; one more, `too_many_errors`, says that there are others."""

MAX_VALUES = 5_000
"""More members and elements than any invitation has, at all depths; bounds what a hostile row can cost."""

_BOM = b"\xef\xbb\xbf"
_PRINTABLE_KEY = re.compile(r"(?!.*[0-9]{5})[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What looks like a name. Five digits in a row look like an account or a telephone: those are sensitive."""


class NotReadableError(Exception):
    """The text is not strict JSON. Holds the error to report; never a part of the text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = RowError("$", code, message)


def read(text: bytes) -> object:
    """Parse `text`; of a key given twice the last one counts.

    Raises NotReadableError for text that is not JSON, not UTF-8, or has too many values.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not text.startswith(_BOM):  # most readers take it off
            raise _not_json(text, error.pos) from None
        value = _without_bom(text.removeprefix(_BOM))
    # Each value but the first follows a comma or a bracket, so only a long line can have too many.
    if len(text) > MAX_VALUES and _has_too_many_values(value):
        raise NotReadableError("too_many_values", f"expected at most {MAX_VALUES:,} values in a row")
    return value


def _without_bom(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _not_json(text, error.pos) from None


def nothing_dropped(text: bytes, written: bytes) -> bool:
    """Prove that a value, all of texts, holds every member that `text` has. False: it has to be looked at.

    written: what orjson writes of the value, which was read from `text`; its members in any order.
    """
    if len(text) == len(written):
        return True
    if b"\\" in text and (b"\\u003a" in text or b"\\u003A" in text):
        return False
    return text.count(b":") == written.count(b":")


def path_text(path: Path) -> str:
    """A path as `$.Invitation.Items[0]`. Names that come from a row are shown only if they are harmless."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path)


def _shown(key: str) -> str:
    return key if _PRINTABLE_KEY.fullmatch(key) else "?"


def _not_json(text: bytes, position: int) -> NotReadableError:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return NotReadableError(
            "invalid_utf8", f"expected UTF-8 text; byte {error.start + 1} of the line is not"
        )
    return NotReadableError(
        "invalid_json", f"expected one JSON object on the line; character {position + 1} does not fit"
    )


class _Pairs(list[tuple[str, object]]):
    """A JSON object with every member that the text has, in order."""

    __slots__ = ()


class _Place:
    """A container and where it stands. Linked: as tuples, paths could take the row's room squared."""

    __slots__ = ("parent", "step", "value")

    def __init__(self, parent: _Place | None, step: str | int, value: object) -> None:
        self.parent = parent
        self.step = step
        self.value = value

    def path(self) -> Path:
        steps: list[str | int] = []
        place = self
        while place.parent is not None:
            steps.append(place.step)
            place = place.parent
        return tuple(reversed(steps))


def duplicate_keys(text: bytes) -> list[RowError]:
    """One error for each key that is given again in its object, found exactly, of a text that `read` took."""
    try:
        value = json.loads(text.removeprefix(_BOM), object_pairs_hook=_Pairs)
    except RecursionError:
        return [RowError("$", "too_deep", "expected fewer objects and lists within each other")]
    return [
        RowError(path_text(path), "duplicate_key", "expected each member once; this one is given again")
        for path in islice(_duplicate_paths(value), MAX_ERRORS + 1)
    ]


def _duplicate_paths(root: object) -> Iterator[Path]:
    waiting = [_Place(None, 0, root)]
    while waiting:
        place = waiting.pop()
        if isinstance(place.value, _Pairs):
            seen: set[str] = set()
            for key, inner in place.value:
                if key in seen:
                    yield (*place.path(), key)
                seen.add(key)
                if isinstance(inner, list):
                    waiting.append(_Place(place, key, inner))
        elif isinstance(place.value, list):
            waiting += (
                _Place(place, i, inner) for i, inner in enumerate(place.value) if isinstance(inner, list)
            )


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
