"""The tokens of a database's rows held against what the checkpoint knows of them, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import FollowedSource, KeyedSource, Source
from bulk_invite.runs.settings.model import Settings

_KEYS: Final = 20
"""Keys that are looked at: a type that has changed shows in nearly all of them."""


def bind(
    writer: CheckpointWriter, source: Source | FollowedSource, settings: Settings, stop: Callable[[], bool]
) -> None:
    """Note what a source's tokens are made from. Raises UsageError where they would be others by now."""
    if not isinstance(source, KeyedSource):
        return
    made = (
        source.name,
        settings.campaign,
        settings.token_from,
        source.text_settings(of_keys=settings.tokens_from_keys),
    )
    writer.require_tokens(*made)
    if settings.tokens_from_keys:
        # Also where the operator has said how they were read: that may be a mistake.
        source.require_same_keys(writer.known_keys(source.name, settings.campaign, _KEYS), stop)
    writer.bind_tokens(*made)
