"""Label values that somebody else chooses: a service that answers nonsense must not fill the memory."""

from __future__ import annotations

import re
from typing import Final

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

OTHER: Final = "other"
"""Stands for what is no code, and for every code after the first ones."""

MOST: Final = 64
"""Different codes of one metric: a run meets a dozen of those that are known."""


class BoundedCodes:
    """The codes that one metric has seen; no more than `MOST` and `OTHER` come out."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def label(self, code: str) -> str:
        """The code itself, or `OTHER`; "" where there is none."""
        if not code or code in self._seen:
            return code
        if len(self._seen) >= MOST or _CODE.fullmatch(code) is None:
            return OTHER
        self._seen.add(code)
        return code
