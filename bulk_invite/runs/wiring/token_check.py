"""Before anything is sent: rows must get the tokens that the checkpoint has recorded for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bulk_invite.checkpoint.tables.token_basis import TokenBasis
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import FollowedSource, KeyedSource, Source
from bulk_invite.runs.settings.model import Settings

_KEYS: Final = 20
"""Keys to compare: a changed type shows in nearly all of them."""


def bind(
    writer: CheckpointWriter,
    sources: Sequence[Source | FollowedSource],
    settings: Settings,
    stop: Callable[[], bool],
) -> None:
    """Record what the tokens of the sources are derived from. Raises UsageError where that has changed."""
    databases = [source for source in sources if isinstance(source, KeyedSource)]
    if len(databases) < len(sources):
        # The same rows may come in files of other names, so all files of a campaign are one source.
        key = f"key {settings.key_path}" if settings.tokens_from_keys else "content"
        writer.tokens.bind_files(settings.campaign, key)
    for source in databases:
        _bind(writer, source, settings, stop)


def _bind(
    writer: CheckpointWriter, source: KeyedSource, settings: Settings, stop: Callable[[], bool]
) -> None:
    basis = TokenBasis(
        source.name,
        settings.campaign,
        settings.token_from,
        source.text_settings(of_keys=settings.tokens_from_keys),
    )
    writer.tokens.require(basis)
    if settings.tokens_from_keys:
        # Also with --session-settings, which may be wrong.
        source.require_same_keys(writer.tokens.known_keys(source.name, settings.campaign, _KEYS), stop)
    writer.tokens.bind(basis)
