"""A path to a member of a row, as an operator writes it: `$.EngagementIdentifier`, `$._bulk_invite.key`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from bulk_invite.domain.rows import METADATA

_PATH: Final = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]{1,4}\])+")
_STEP: Final = re.compile(r"\.(\w+)|\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class MemberPath:
    """steps: names of members, and indexes of lists from 0."""

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for anything else than names and indexes."""
        if not _PATH.fullmatch(text):
            raise ValueError("expected a path such as $.EngagementIdentifier or $._bulk_invite.key")
        return cls(tuple(name or int(index) for name, index in _STEP.findall(text)))

    def __str__(self) -> str:
        return "$" + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in self.steps)

    def value_in(self, row: object) -> object:
        """The value there in parsed JSON; None if there is none."""
        for step in self.steps:
            match row, step:
                case dict(), str():
                    row = row.get(step)
                case list(), int() if step < len(row):
                    row = row[step]
                case _:
                    return None
        return row


def is_path(text: str) -> bool:
    """Whether it is meant as a path; anything else is the name of a column."""
    return text.startswith("$")


KEY: Final = MemberPath((METADATA, "key"))
LABEL: Final = MemberPath((METADATA, "label"))
OWN: Final = (KEY, LABEL)
"""The members of our metadata that a user fills; results keep them."""
