"""One line of a results file: a row as it was, with our metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bulk_invite.domain.rows import METADATA, Row, RowError

_KEPT: Final = ("key", "label")
"""Members of the metadata that the user fills."""

_TERMINAL_CONTROLS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control and bidirectional characters that affect terminals but need no escape in JSON."""
_LINE_ENDS_TO_SPACES: Final = {ord("\n"): " ", ord("\r"): " "}


def json_line(value: object) -> str:
    return _escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def line_for(row: Row, errors: Iterable[RowError], label: str) -> str:
    """The output line for a row: its own text unchanged, with metadata appended.

    A row that comes from a results file keeps its first position as `origin`: it counts as the same row.
    """
    given = {"key": row.position.key, "label": label}
    kept = {name: json_line(text) for name, text in given.items() if text}
    metadata: dict[str, object] = {
        "position": row.position.members(),
        "errors": [{"path": error.path, "code": error.code, "message": error.message} for error in errors],
    }
    members = [] if row.oversized else _members(row.data)
    if members is None:
        members, metadata["raw"] = [], row.data.decode(errors="backslashreplace")
    written = [member.text for member in members if member.name != METADATA]
    for member in members:
        if member.name == METADATA and member.value.startswith("{"):
            earlier = {each.name: each.value for each in _split(member.value)}
            kept |= {name: _escaped(earlier[name]) for name in _KEPT if name in earlier}
            first = earlier.get("origin", earlier.get("position", ""))
            if first.startswith("{") and first != json_line(metadata["position"]):
                kept["origin"] = _escaped(first)
            if not written and earlier.get("raw", "").startswith('"'):
                metadata["raw"] = json.loads(earlier["raw"])  # not corrected yet, and kept nowhere else
    own = [f'"{name}":{value}' for name, value in kept.items()]
    written.append(f'"{METADATA}":{{{",".join([*own, json_line(metadata)[1:-1]])}}}')
    return "{" + ",".join(written) + "}"


def _escaped(text: str) -> str:
    return _TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _unique_keys(members: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(members)
    if len(value) < len(members):
        raise ValueError("a key is given twice")
    return value


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Numbers are skipped, not converted: conversion is slow, and Python refuses very long ones.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=len, parse_float=len, parse_constant=_refused
)


class _Member(NamedTuple):
    """A member of an object as it is written: whole, and its value."""

    name: str
    text: str
    value: str


def _members(text: bytes) -> list[_Member] | None:
    """The members of a row; None where the text is not a strict JSON object."""
    try:
        row = text.decode("utf-8-sig")
        if isinstance(_DECODER.decode(row), dict):
            return list(_split(row))
    except (ValueError, RecursionError):
        pass
    return None


def _split(text: str) -> Iterator[_Member]:
    at = _past_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, colon = _DECODER.raw_decode(text, at)
        begin = _past_space(text, _past_space(text, colon) + 1)
        _, end = _DECODER.raw_decode(text, begin)
        # Between tokens, a space replaces a line end; within strings, there are no line ends.
        yield _Member(name, *(text[first:end].translate(_LINE_ENDS_TO_SPACES) for first in (at, begin)))
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
