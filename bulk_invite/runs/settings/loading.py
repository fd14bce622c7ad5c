"""Where settings come from: the flag, else the environment (`BULK_INVITE_<NAME>`), else the file."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.settings.model import SERVE_ONLY, Settings, key

ENVIRONMENT_PREFIX: Final = "BULK_INVITE_"

CONTROL_TOKEN: Final = "BULK_INVITE_CONTROL_TOKEN"  # noqa: S105 - the name of the variable
"""No setting: on the command line, where settings may stand, everybody could read it."""

_CONFIG: Final = f"{ENVIRONMENT_PREFIX}CONFIG"

_OF_OTHERS: Final = re.compile(
    rf"{ENVIRONMENT_PREFIX}(TEST_.*|(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?))"
)
"""What the tests are told by, and what Kubernetes sets where a Service has a name that begins like ours."""


def load(
    flags: Mapping[str, Any], config: Path | None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Merge flags (None: not given), environment and TOML file over the defaults.

    Raises UsageError that names the option and where it was set, or what is set and is no option.
    """
    keys = [key(name) for name in Settings.model_fields]
    _require_known(environment, keys)
    if config is None and (named := environment.get(_CONFIG)):
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
        raise UsageError(_sentence(error, origin), hint=hint, topic="options") from None


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
            hint=f"{_meant(unknown, known)} Known keys: {', '.join(sorted(known))}.".lstrip(),
            topic="options",
        )
    return values


def _require_known(environment: Mapping[str, str], keys: Iterable[str]) -> None:
    known = [CONTROL_TOKEN, _CONFIG, *(f"{ENVIRONMENT_PREFIX}{each.upper()}" for each in keys)]
    ours = {name for name in environment if name.upper().startswith(ENVIRONMENT_PREFIX)}
    if unknown := sorted(name for name in ours - set(known) if not _OF_OTHERS.fullmatch(name)):
        hint = (
            _meant(map(str.upper, unknown), known)
            or "Check the spelling: bulk-invite send --help lists all variables."
        )
        raise UsageError(
            f"Unknown environment variables: {', '.join(unknown)}.",
            hint=f"{hint} Otherwise unset it.",
            topic="options",
        )


def _meant(unknown: Iterable[str], known: Iterable[str]) -> str:
    near = [each for name in unknown for each in difflib.get_close_matches(name, list(known), n=1)]
    return " ".join(f"Did you mean {each}?" for each in dict.fromkeys(near))


def _sentence(error: ValidationError, origin: Mapping[str, str]) -> str:
    said = []
    for each in error.errors(include_url=False, include_context=False):
        name = str(each["loc"][0])
        message = each["msg"].removeprefix("Value error, ").rstrip(".")
        option = f"--{name.replace('_', '-')} {origin.get(name, '')}"
        problem = f"Invalid value for {option}: {message}."
        if problem not in said:
            said.append(problem)
    return " ".join(said)
