"""The validator, made from the settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.member_path import OWN, MemberPath, is_path
from bulk_invite.domain.rows import METADATA
from bulk_invite.runs.settings.model import Settings
from bulk_invite.validation import RowValidator, service_model
from bulk_invite.validation.places import shape_at
from bulk_invite.validation.service_model import REQUEST, ServiceModel, sensitive_members
from bulk_invite.validation.shapes import Choice, Scalar, Text, resolve

_SENSITIVE_KEY: Final = (
    "Name another field: tokens are derived from keys, and the values could be guessed from them."
)
_SENSITIVE_LABEL: Final = (
    "Name another one, or add --label-sensitive: the values then appear in log, checkpoint and report."
)


def make_validator(settings: Settings) -> RowValidator:
    """Raises ServiceModelError, and UsageError for a key or label that no row may have there."""
    model = service_model.load(settings.service_model)
    if settings.key and is_path(settings.key):
        _require_member("--key", settings.key_path, model, _SENSITIVE_KEY)
    if settings.label:
        _require_label(settings, model)
    return RowValidator(
        model,
        catalog=settings.catalog,
        campaign=settings.campaign,
        key=settings.key_path if settings.tokens_from_keys else None,
        label=settings.label_path,
        sensitive_labels=settings.label_sensitive,
        strict=settings.strict,
        today=datetime.now(UTC).date(),
    )


def row_basis(settings: Settings) -> str:
    """A digest of everything but a line itself that decides what the line becomes, and under which label."""
    model = settings.service_model or service_model.SHIPPED
    decides = (
        version("bulk-invite"),
        hashlib.sha256(model.read_bytes()).hexdigest(),
        settings.catalog,
        str(settings.key_path) if settings.tokens_from_keys else "content",
        str(settings.label_path),
        str(settings.label_sensitive),
        str(settings.strict),
    )
    return hashlib.sha256("\n".join(decides).encode()).hexdigest()


def _require_label(settings: Settings, model: ServiceModel) -> None:
    refused = "" if settings.label_sensitive else _SENSITIVE_LABEL
    if not settings.label_column:
        _require_member("--label", settings.label_path, model, refused)
        return
    for member, column in settings.columns.items():
        if column == settings.label_column and refused:
            _require_plain(f"--label {column}: its column has", member.split("."), model, refused)


def _require_member(flag: str, path: MemberPath, model: ServiceModel, if_sensitive: str) -> None:
    """if_sensitive: what to do instead of naming a sensitive member; "" if that is allowed."""
    if path in OWN:
        return
    if path.steps[0] == METADATA:
        raise UsageError(
            f"{flag} {path}: {METADATA} has no such field.",
            hint=f"Name {' or '.join(map(str, OWN))}: results keep only these.",
            topic="rows",
        )
    if not isinstance(shape_at(resolve(model, REQUEST), path.steps), Text | Choice | Scalar):
        raise UsageError(
            f"{flag} {path}: a row has no text there.",
            hint="Name a text of the row (see bulk-invite schema), or fill _bulk_invite.key and .label.",
            topic="rows",
        )
    if if_sensitive:
        _require_plain(f"{flag} {path}: it leads to", path.steps, model, if_sensitive)


def _require_plain(what: str, steps: Sequence[str | int], model: ServiceModel, if_sensitive: str) -> None:
    """Raise UsageError if the path leads to a sensitive member, or one within."""
    if not sensitive_members(model).isdisjoint(steps):
        raise UsageError(f"{what} a sensitive field.", hint=if_sensitive, topic="rows")
