"""Where the settings come from: files and environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bulk_invite.cli.doctor.check import Found, ok
from bulk_invite.runs.settings.loading import CONFIG
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS
from bulk_invite.runs.wiring.validator import make_validator

_KNOWN: Final = [each.variable for each in OPTIONS.values()]


def check_configuration(settings: Settings, flag: Path | None, environment: Mapping[str, str]) -> Found:
    """flag: the file given by --config. Raises ServiceModelError for a model that cannot be used."""
    make_validator(settings)
    file = flag or environment.get(CONFIG)
    text = f"File {file}" if file else "No configuration file"
    if used := [name for name in sorted(environment) if name in _KNOWN]:
        text += f"; environment variables: {', '.join(used)}"
    return ok(text)
