"""Messages of pydantic as an operator reads them: without the terms of the library."""

from __future__ import annotations

import re
from typing import Final

_WORDINGS: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"^Value error, ", ""),
        (r"^(?:Input|String|Dictionary|List) should ", "must "),
        (r"\bbe a valid (?:integer|number), unable to parse .*", "be a number"),
        (r"\bbe a valid integer.*", "be a whole number"),
        (r"\bbe a valid boolean.*", "be true or false"),
        (r"\bbe a valid string$", "be text"),
        (r"\bbe a valid (?:dictionary|list).*", "be a table"),
        (r"\bbe greater than or equal to (\S+)", r"be \1 or more"),
        (r"\bbe less than or equal to (\S+)", r"be \1 or less"),
        (r"\bbe greater than (\S+)", r"be more than \1"),
        (r"\bhave at least 1 (?:character|item)$", "not be empty"),
        (r"\.$", ""),
    )
)


def plain(message: str) -> str:
    """A message of pydantic as the end of a sentence, without its full stop: `must be more than 0`."""
    for pattern, text in _WORDINGS:
        message = pattern.sub(text, message)
    return message
