"""Where settings come from: the flag, else the environment (`BULK_INVITE_<NAME>`), else the file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from bulk_invite.errors import UsageError
from bulk_invite.settings import SERVE_ONLY, Settings, key

ENVIRONMENT_PREFIX: Final = "BULK_INVITE_"

CONTROL_TOKEN: Final = "BULK_INVITE_CONTROL_TOKEN"  # noqa: S105 - the name of the variable
"""No setting: on the command line, where settings may stand, everybody could read it."""


def load(
    flags: Mapping[str, Any], config: Path | None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Merge flags (None: not given), environment and TOML file over the defaults.

    Raises UsageError that names the option and where it was set.
    """
    keys = [key(name) for name in Settings.model_fields]
    if config is None and (named := environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")):
        config = Path(named)
    from_file = _read(config, keys) if config is not None else {}
    from_environment = {
        each: environment[name]
        for each in keys
        if (name := f"{ENVIRONMENT_PREFIX}{each.upper()}") in environment
    }
    from_flags = {key(name): value for name, value in flags.items() if value is not None}
    try:
        return Settings.model_validate({**from_file, **from_environment, **from_flags})
    except ValidationError as error:
        origin = dict.fromkeys(from_file, f"in {config}")
        origin |= {
            each: f"in the environment ({ENVIRONMENT_PREFIX}{each.upper()})" for each in from_environment
        }
        origin |= dict.fromkeys(from_flags, "on the command line")
        of_serve = error.errors()[0]["loc"][0] in SERVE_ONLY
        hint = f"See bulk-invite {'serve' if of_serve else 'send'} --help."
        raise UsageError(_sentence(error, origin), hint=hint) from None


def _read(path: Path, known: Iterable[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} is not valid TOML: {error}.") from error
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(
            f"The configuration file {path} has unknown keys: {', '.join(map(repr, unknown))}.",
            hint=f"Known are: {', '.join(sorted(known))}.",
        )
    return values


def _sentence(error: ValidationError, origin: Mapping[str, str]) -> str:
    said = []
    for each in error.errors(include_url=False, include_context=False):
        name = str(each["loc"][0])
        message = each["msg"].removeprefix("Value error, ").rstrip(".")
        option = f"--{name.replace('_', '-')} {origin.get(name, '')}"
        problem = f"The value of {option} is not possible: {message}."
        if problem not in said:
            said.append(problem)
    return " ".join(said)
