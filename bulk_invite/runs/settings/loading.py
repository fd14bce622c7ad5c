"""Where settings come from: the flag, else the environment (`BULK_INVITE_<NAME>`), else the file."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from bulk_invite.domain.errors import ConfigurationError, UsageError
from bulk_invite.domain.member_path import is_path
from bulk_invite.domain.validation_texts import explained
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import ENVIRONMENT_PREFIX, OPTIONS, SELECTION_SETTINGS
from bulk_invite.runs.settings.value_types import is_database

CONTROL_TOKEN: Final = "BULK_INVITE_CONTROL_TOKEN"  # noqa: S105 - the name of the variable
"""Not a setting: a setting may be on the command line, which every user of the machine can read."""

CONFIG: Final = f"{ENVIRONMENT_PREFIX}CONFIG"

_JSON: Final = OPTIONS["json_output"]

_FOREIGN: Final = re.compile(
    rf"{ENVIRONMENT_PREFIX}(TEST_.*|(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?))"
)
"""Variables of the tests, and those that Kubernetes sets for a Service whose name begins like ours."""


def load(
    flags: Mapping[str, Any], config: Path | None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Merge flags (None: not given), environment and TOML file over the defaults.

    Raises UsageError: it names each invalid option with the place where it was set, or what is not an option.
    """
    _require_known(environment)
    if config is None and (named := environment.get(CONFIG)):
        config = Path(named)
    from_file = _read(config) if config is not None else {}
    from_environment = {
        each.key: environment[each.variable] for each in OPTIONS.values() if each.variable in environment
    }
    from_flags = {OPTIONS[name].key: value for name, value in flags.items() if value is not None}
    try:
        return Settings.model_validate({**from_file, **from_environment, **from_flags})
    except ValidationError as error:
        origin = dict.fromkeys(from_file, f"in {config}")
        origin |= {
            each.key: f"in the environment ({each.variable})"
            for each in OPTIONS.values()
            if each.key in from_environment
        }
        origin |= dict.fromkeys(from_flags, "on the command line")
        only = next(each.only for each in OPTIONS.values() if each.key == error.errors()[0]["loc"][0])
        hint = f"See bulk-invite {only or 'send'} --help-all."
        invalid = {each["loc"][0] for each in error.errors()}
        kind = UsageError if invalid <= from_flags.keys() else ConfigurationError
        raise kind(_sentences(error, origin), hint=hint, topic="options") from None


def asks_for_json(config: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment or the file sets json, whatever else is invalid in them."""
    file = config or environment.get(CONFIG)
    try:
        value: Any = environment.get(_JSON.variable)
        if value is None and file:
            value = tomllib.loads(Path(file).read_text(encoding="utf-8")).get(_JSON.key)
        return value is not None and TypeAdapter(bool).validate_python(value)
    except (OSError, ValueError):  # a file that cannot be read, and a value that is no bool
        return False


def require_effect(names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise UsageError for options of database sources where no source is a database.

    options: settings given on the command line, by name, as they are written. Environment and configuration
    file may serve other commands.
    """
    given = [
        OPTIONS[name].flag
        for name in (*SELECTION_SETTINGS, "label")
        if name in options and not is_path(str(options[name]))
    ]
    if names and given and not any(map(is_database, names)):
        have = "has" if len(given) == 1 else "have"
        paths = " For files, write a path: $.EngagementIdentifier." if {"--key", "--label"} & {*given} else ""
        raise UsageError(
            f"{', '.join(given)} {have} no effect: no source is a database.",
            hint=f"Remove it, or name a database: postgresql://USER@HOST/DATABASE.{paths}",
            topic="postgresql",
        )


def _read(path: Path) -> dict[str, Any]:
    known = {each.key for each in OPTIONS.values()}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            hint="Check the name (--config) and its permissions.",
            topic="options",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The configuration file {path} is not valid TOML: {error}.", topic="options"
        ) from error
    if unknown := sorted(set(values) - known):
        raise ConfigurationError(
            f"The configuration file {path} has unknown keys: {', '.join(map(repr, unknown))}.",
            hint=f"{_suggestions(unknown, known)} All keys: bulk-invite manual options.".lstrip(),
            topic="options",
        )
    return values


def _require_known(environment: Mapping[str, str]) -> None:
    known = [CONTROL_TOKEN, CONFIG, *(each.variable for each in OPTIONS.values())]
    ours = {name for name in environment if name.upper().startswith(ENVIRONMENT_PREFIX)}
    if unknown := sorted(name for name in ours - set(known) if not _FOREIGN.fullmatch(name)):
        hint = (
            _suggestions(map(str.upper, unknown), known)
            or "Check the spelling: bulk-invite send --help-all lists all variables."
        )
        raise ConfigurationError(
            f"Unknown environment variables: {', '.join(unknown)}.",
            hint=f"{hint} Otherwise unset it.",
            topic="options",
        )


def _suggestions(unknown: Iterable[str], known: Iterable[str]) -> str:
    near = [each for name in unknown for each in difflib.get_close_matches(name, list(known), n=1)]
    return " ".join(f"Did you mean {each}?" for each in dict.fromkeys(near))


def _sentences(error: ValidationError, origin: Mapping[str, str]) -> str:
    """One sentence for each problem, in the order of the options."""
    problems = error.errors(include_url=False)
    said = [
        f"Invalid value for {option.flag} {origin.get(option.key, '')}: {explained(each)}"
        for option in OPTIONS.values()
        for each in problems
        if each["loc"][0] == option.key
    ]
    return " ".join(each if each.endswith("?") else f"{each}." for each in dict.fromkeys(said))
