"""Where the settings come from, and what looks like one and is none."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bulk_invite.commands.doctor.checks import Found, ok, warning
from bulk_invite.commands.validator import make_validator
from bulk_invite.configuration import CONTROL_TOKEN, ENVIRONMENT_PREFIX
from bulk_invite.settings import Settings, key

_KNOWN: Final = [f"{ENVIRONMENT_PREFIX}{key(name).upper()}" for name in Settings.model_fields]
_FILE: Final = f"{ENVIRONMENT_PREFIX}CONFIG"


def look_at_configuration(settings: Settings, flag: Path | None, environment: Mapping[str, str]) -> Found:
    """flag: the file that --config names. Raises ServiceModelError for a model that cannot be worked by."""
    make_validator(settings)
    ours = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX))
    file = flag or environment.get(_FILE)
    told = f"The file {file}" if file else "No file"
    if used := [name for name in ours if name in _KNOWN]:
        told += f"; the environment: {', '.join(used)}"
    unknown = [name for name in ours if name not in (*_KNOWN, _FILE, CONTROL_TOKEN)]
    if not unknown:
        return ok(told)
    return warning(
        f"{told}; no setting, so nobody heeds it: {', '.join(unknown)}",
        " ".join(filter(None, map(_meant, unknown))) or "Check the spelling, or take it out.",
    )


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, [*_KNOWN, _FILE], n=1)
    return f"Is {near[0]} meant?" if near else ""
