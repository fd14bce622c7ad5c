"""How a database was made to write the values of its rows as texts: other texts make other tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextForms:
    """session: where the session's settings are others than this program's own, as a JSON object.

    matter: whether a token of this source may hang on them. named: whether the operator has named them.
    """

    session: str
    matter: bool
    named: bool
