"""Texts of rows compared as people would and shown on one line, and numbers with their nouns."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BEYOND_ASCII: Final = re.compile(r"[^\0-~]")
_NO_WORD: Final = re.compile(r"[\W_]+")
_LOWER: Final = bytes(range(256)).lower()
_NO_WORD_IN_ASCII: Final = bytes(code for code in range(128) if not chr(code).isalnum())


def folded(text: str) -> str:
    """A text without anything that a repetition may change: case, accents, spaces and punctuation."""
    if text.isascii():
        # As bytes, since str.translate takes ten times as long, and this runs some twenty times for a row.
        return text.encode().translate(_LOWER, _NO_WORD_IN_ASCII).decode()
    return _NO_WORD.sub("", unicodedata.normalize("NFKD", text).casefold())


def plural(count: int, one: str, several: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {one if count == 1 else several}"


def escaped(text: str) -> str:
    """A text with its unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escaped_json(text: str) -> str:
    """Equivalent JSON in which all unprintable characters are escaped.

    JSON requires escapes only up to U+001F, but terminals also act on some characters beyond.
    """
    return text if text.isprintable() else _BEYOND_ASCII.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return "".join(f"\\u{unit}" for unit in character.encode("utf-16-be").hex(" ", 2).split())
