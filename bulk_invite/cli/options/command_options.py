"""Settings as options of a command: each is generated from its declaration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulk_invite.domain.errors import ConfigurationError
from bulk_invite.runs.settings.loading import CONFIG, load, require_effect
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS, Option, settings_given

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
    help=f"TOML file with any of these options. [env: {CONFIG}]",
)


def with_settings(
    *names: str, refused: Sequence[str] = (), common: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the named settings; it receives them merged as `settings`.

    A command that takes `reload` can merge them again, with the file as it is then.

    Options arrive as text: one place validates flags, environment and file.
    refused: settings of other commands that must not be ignored where the environment or the file has them.
    common: settings that the short help of this command has, although that of others leaves them out.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: Any, config: Path | None = None, **arguments: Any) -> None:
            flags = {name: arguments.pop(name) for name in names}
            given = {name: value for name, value in flags.items() if value is not None}
            require_effect(arguments.get("sources") or [], given)
            read = partial(_read, flags, config, refused)
            if "reload" in own.parameters:
                arguments["reload"] = read
            command(*args, settings=read(), **arguments)

        own = inspect.signature(command, eval_str=True)
        parameters = [each for each in own.parameters.values() if each.name not in _GIVEN]
        parameters += [
            _parameter(replace(OPTIONS[name], common=OPTIONS[name].common or name in common))
            for name in OPTIONS
            if name in names
        ]
        parameters.append(_keyword("config", Annotated[Path | None, _CONFIG]))
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _read(flags: Mapping[str, Any], config: Path | None, refused: Sequence[str]) -> Settings:
    settings = load(flags, config)
    if given := settings_given(settings, refused):
        have = "has" if len(given) == 1 else "have"
        raise ConfigurationError(
            f"{', '.join(given)} {have} no effect on this command.",
            hint="Remove it from the configuration file or the environment of this command.",
            topic="options",
        )
    return settings


def _parameter(option: Option) -> inspect.Parameter:
    if option.metavar:
        shown = typer.Option(
            option.flag,
            metavar=option.metavar,
            help=_help(option),
            rich_help_panel=option.heading,
            autocompletion=_completion(option.choices) if option.choices else None,
        )
        return _keyword(option.name, Annotated[str | None, shown, option])
    switch = f"{option.flag}/--no-{option.flag.removeprefix('--')}"
    names = [switch, option.short] if option.short else [switch]
    shown = typer.Option(*names, help=_help(option), rich_help_panel=option.heading)
    return _keyword(option.name, Annotated[bool | None, shown, option])


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _completion(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """What completes a value. A function, because typer looks at its annotations."""

    def matching(incomplete: str) -> list[str]:
        return [each for each in choices if each.startswith(incomplete)]

    return matching


def _help(option: Option) -> str:
    default = f"; default: {option.default}" if option.default else ""
    return f"{option.help} [env: {option.variable}{default}]"
