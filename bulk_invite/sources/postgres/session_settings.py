"""The settings of the session in which rows are read: the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson
import psycopg

from bulk_invite.domain.errors import UsageError
from bulk_invite.libpq import PINNED, pin

_KNOWN: Final = {name.lower(): name for name in PINNED}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """others: those that differ from `PINNED`. named: whether the operator has named any."""

    others: Mapping[str, str] = field(default_factory=dict)
    named: bool = False

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """Parse the operator's settings. Raises UsageError."""
        others = {}
        for name, value in given.items():
            known = _KNOWN.get(name.lower())
            if known is None:
                raise UsageError(
                    f"{name!r} is not a setting of --session-settings.",
                    hint=f"It accepts {', '.join(PINNED)}, which affect texts. Set others with PGOPTIONS.",
                    topic="postgresql",
                )
            if value != PINNED[known]:
                others[known] = value
        return cls(others, bool(given))

    def pin(self, connection: psycopg.Connection[Any]) -> None:
        """Apply them to the current transaction. Raises psycopg.Error."""
        pin(connection, {**PINNED, **self.others})

    def __str__(self) -> str:
        return orjson.dumps(self.others, option=orjson.OPT_SORT_KEYS).decode()
