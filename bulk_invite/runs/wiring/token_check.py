"""The tokens of a database's rows held against what the checkpoint knows of them, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.text_settings import TextSettings
from bulk_invite.runs.settings.model import Settings

_KEYS: Final = 20
"""Keys that are looked at: a type that has changed shows in nearly all of them."""


class MaybeKeyed(Protocol):
    name: str

    @property
    def has_keys(self) -> bool: ...


class _Keyed(Protocol):
    name: str

    def text_settings(self, *, of_keys: bool) -> TextSettings: ...

    def require_same_keys(self, keys: Sequence[str], stop: Callable[[], bool]) -> None: ...


def bind(writer: CheckpointWriter, source: MaybeKeyed, settings: Settings, stop: Callable[[], bool]) -> None:
    """Note what a source's tokens are made from. Raises UsageError where they would be others by now."""
    if not source.has_keys:
        return
    keyed = cast("_Keyed", source)
    made = (
        source.name,
        settings.campaign,
        settings.token_from,
        keyed.text_settings(of_keys=settings.tokens_from_keys),
    )
    writer.require_tokens(*made)
    if settings.tokens_from_keys:
        # Also where the operator has said how they were read: that may be a mistake.
        keyed.require_same_keys(writer.known_keys(source.name, settings.campaign, _KEYS), stop)
    writer.bind_tokens(*made)
