"""Patterns of the service model, adapted to the engines that run them.

The model's patterns are written for Java's engine. Two of them take exponential time in any backtracking
engine (Python's `re`, JavaScript's), so rows are only matched by Rust's, which is linear and has no
look-ahead: leading length look-aheads become length limits. The JSON Schema is used by JavaScript, so there
the two are rewritten to an equivalent without exponential time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# These four read the model's patterns, never a row.
_ANY_TEXT = re.compile(r"\(\?s\)\.\{(\d+),(\d+)\}")
_ANY_LINE = re.compile(r"\.\{(\d+),(\d+)\}")
_LENGTH_LOOK_AHEAD = re.compile(r"\(\?=\.\{(\d+),(\d+)\}\$\)")
_ASCII_CLASS = re.compile(r"\\(.)", re.DOTALL)

_ASCII = {"d": "[0-9]", "w": "[0-9A-Za-z_]", "s": r"[\t-\r ]"}
_CLASS = r"(\[(?!\^)(?:[^\]\\]|\\.)+\])"
# ([.]C+)+ is [.]C+ if C contains the dot. C+(.C+)* is C+([^C]C+)*: a C can belong to the run beside it.
_DOTTED_RUNS = re.compile(r"\(\[\.\]" + _CLASS + r"\+\??\)\+\??")
_JOINED_RUNS = re.compile(_CLASS + r"\+\(\?:\.\1\+\)\*")


@dataclass(frozen=True, slots=True)
class TextPattern:
    """What a model pattern requires: a length in characters, and a form of the text."""

    min_length: int = 0
    max_length: int | None = None
    form: str | None = None

    @property
    def rust(self) -> str | None:
        r"""For Rust: the whole text, no newline after it; \d, \w and \s are ASCII as in the service."""
        if self.form is None:
            return None
        ascii_form = _ASCII_CLASS.sub(lambda escape: _ASCII.get(escape[1], escape[0]), self.form)
        return rf"\A(?:{ascii_form})\z"

    @property
    def ecma(self) -> str | None:
        """For JSON Schema: ECMA-262, with the two exponential patterns rewritten."""
        return None if self.form is None else f"^(?:{_calm(self.form)})$"


def read_pattern(pattern: str) -> TextPattern:
    """Split a model pattern into lengths and form. A pattern for any text (`(?s).{a,b}`) has no form."""
    if found := _ANY_TEXT.fullmatch(pattern):
        return TextPattern(int(found[1]), int(found[2]))
    if found := _ANY_LINE.fullmatch(pattern):
        return TextPattern(int(found[1]), int(found[2]), ".*")
    if found := _LENGTH_LOOK_AHEAD.match(pattern):
        return TextPattern(int(found[1]), int(found[2]), pattern[found.end() :])
    return TextPattern(form=pattern)


def _calm(form: str) -> str:
    def dotted(found: re.Match[str]) -> str:
        return rf"[.]{found[1]}+" if re.match(found[1], ".") else found[0]

    def joined(found: re.Match[str]) -> str:
        return rf"{found[1]}+(?:[^\n{found[1][1:]}{found[1]}+)*"

    return _JOINED_RUNS.sub(joined, _DOTTED_RUNS.sub(dotted, form))
