"""The sender that holds a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """The sender that holds a checkpoint, as far as it is known. since: UTC; None if unknown."""

    who: str
    since: str | None = None

    def __str__(self) -> str:
        return self.who if self.since is None else f"{self.who}, since {self.since}"
