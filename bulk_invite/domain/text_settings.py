"""Database session settings that determine how row values are written as text, and so the derived tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextSettings:
    """session: settings that differ from this program's own, as a JSON object.

    affects_tokens: whether tokens of this source may depend on them. is_confirmed: whether the operator named
    them.
    """

    session: str
    affects_tokens: bool
    is_confirmed: bool
