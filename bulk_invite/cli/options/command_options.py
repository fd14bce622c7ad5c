"""Settings as command-line options: names, help and defaults are read off `settings.Settings`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.settings.loading import ENVIRONMENT_PREFIX, load
from bulk_invite.runs.settings.model import Settings, flag, key, shown_default

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="NDJSON file or glob (also .gz, .zst), - for standard input, or a database: postgresql://...",
    ),
]

_GIVEN: Final = {"settings", "reload"}

_CONFIG: Final = typer.Option(
    "--config",
    metavar="FILE",
    help=f"TOML file with any of these options. [env: {ENVIRONMENT_PREFIX}CONFIG]",
)


def with_settings(
    *names: str, refused: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the named settings; it receives them merged as `settings`.

    One that takes `reload` can merge them again, with what the file says by then.

    Options are taken as text: what is possible is decided in one place for flags, environment and file.
    refused: settings of other commands, in the environment or the file, that must not be passed over.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: Any, config: Path | None = None, **arguments: Any) -> None:
            flags = {name: arguments.pop(name) for name in names}
            read = partial(_read, flags, config, refused)
            if "reload" in own.parameters:
                arguments["reload"] = read
            command(*args, settings=read(), **arguments)

        own = inspect.signature(command, eval_str=True)
        parameters = [each for each in own.parameters.values() if each.name not in _GIVEN]
        parameters += [_parameter(name) for name in names]
        parameters.append(_keyword("config", Annotated[Path | None, _CONFIG]))
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _read(flags: Mapping[str, Any], config: Path | None, refused: Sequence[str]) -> Settings:
    settings = load(flags, config)
    if given := [name for name in refused if getattr(settings, name) != Settings.model_fields[name].default]:
        have = "has" if len(given) == 1 else "have"
        raise UsageError(
            f"{', '.join(map(flag, given))} {have} no effect on this command.",
            hint="Remove it from the configuration file or the environment of this command.",
            topic="options",
        )
    return settings


def _parameter(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    if field.annotation in (bool, bool | None):
        switch = f"{flag(name)}/--no-{flag(name).removeprefix('--')}"
        return _keyword(name, Annotated[bool | None, typer.Option(switch, help=_help(name))])
    return _keyword(
        name, Annotated[str | None, typer.Option(flag(name), metavar=_metavar(name), help=_help(name))]
    )


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(name: str) -> str:
    field = Settings.model_fields[name]
    default = shown_default(field)
    notes = [f"env: {ENVIRONMENT_PREFIX}{key(name).upper()}"]
    if default is not None:
        notes.append(f"default: {default}")
    return f"{field.description} [{'; '.join(notes)}]"


def _metavar(name: str) -> str:
    annotation = Settings.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    return _METAVARS.get(name, "TEXT")


_METAVARS: Final = {
    "checkpoint": "PATH|URL",
    "checkpoint_schema": "NAME",
    "endpoint_url": "URL",
    "rate": "auto|N",
    "max_rate": "N",
    "burst": "N",
    "daily_quota": "N|none",
    "probe_interval": "DURATION",
    "table": "NAME",
    "query": "SELECT",
    "key": "COLUMN",
    "request_column": "COLUMN",
    "columns": "JSON",
    "constants": "JSON",
    "session_settings": "JSON",
    "write_back": "TABLE",
    "max_in_flight": "N",
    "results": "DIR",
    "max_failures": "N|N%",
    "limit": "N",
    "progress_interval": "DURATION",
    "token_lifetime": "DURATION",
    "settling_time": "DURATION",
    "call_timeout": "DURATION",
    "max_attempts": "N",
    "service_model": "FILE",
    "poll_interval": "DURATION",
    "notify_channel": "NAME",
    "retry_interval": "DURATION",
    "listen": "HOST:PORT",
    "control_token_file": "FILE",
    "health_file": "FILE",
    "notify_url": "URL",
    "log_file": "FILE",
    "log_file_size": "SIZE",
    "log_files": "N",
}
