"""Before anything is sent: the tokens of database rows must be those that the checkpoint has recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import FollowedSource, KeyedSource, Source
from bulk_invite.runs.settings.model import Settings

_KEYS: Final = 20
"""Keys to compare: a changed type shows in nearly all of them."""


def bind(
    writer: CheckpointWriter, source: Source | FollowedSource, settings: Settings, stop: Callable[[], bool]
) -> None:
    """Record what the tokens of a source are derived from. Raises UsageError where that has changed."""
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
        # Also with --session-settings, which may be wrong.
        source.require_same_keys(writer.known_keys(source.name, settings.campaign, _KEYS), stop)
    writer.bind_tokens(*made)
