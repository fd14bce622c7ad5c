"""The validator, made from the settings."""

from __future__ import annotations

from datetime import UTC, datetime

from bulk_invite.runs.settings.model import Settings
from bulk_invite.validation import RowValidator, service_model


def make_validator(settings: Settings) -> RowValidator:
    return RowValidator(
        service_model.load(settings.service_model),
        catalog=settings.catalog,
        campaign=settings.campaign,
        tokens_from_keys=settings.tokens_from_keys,
        strict=settings.strict,
        today=datetime.now(UTC).date(),
    )
