"""Bounds the number of label values, because the service chooses the error codes."""

from __future__ import annotations

import re
from typing import Final

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

OTHER: Final = "other"
"""Label for malformed codes, and for all codes beyond the maximum."""

MOST: Final = 64
"""Maximum different codes per metric; a run typically sees about a dozen."""


class BoundedCodes:
    """The codes of one metric: at most `MOST`, plus `OTHER`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def label(self, code: str) -> str:
        """The code or `OTHER`; "" for no code."""
        if not code or code in self._seen:
            return code
        if len(self._seen) >= MOST or _CODE.fullmatch(code) is None:
            return OTHER
        self._seen.add(code)
        return code
