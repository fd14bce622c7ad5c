"""`help`: the help of a command, as its `--help` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer

from bulk_invite.cli.commands import Commands
from bulk_invite.domain.errors import UsageError
from bulk_invite.manual import TOPICS

HELP_EXAMPLES: Final = """
Examples:

\b
  bulk-invite help
  bulk-invite help send
"""


def _matching(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    yield from _commands(context.find_root()).purposes(incomplete)


def help(  # noqa: A001 - the name of the command
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND]",
            help="Command to explain. Default: list the commands.",
            autocompletion=_matching,
        ),
    ] = None,
) -> None:
    """Show the help of a command.

    It is the same as that of bulk-invite COMMAND --help.

    Exit codes: 0 shown; 2 usage error.
    """
    program = context.find_root()
    commands = _commands(program)
    if command is None:
        typer.echo(program.get_help())
    elif command in commands:
        commands[command].make_context(command, ["--help"], parent=program)
    else:
        raise UsageError(f"There is no command {command!r}.", hint=_hint(command, commands))


def _commands(program: Any) -> Commands:
    commands: Commands = program.command.commands
    return commands


def _hint(name: str, commands: Iterable[str]) -> str:
    if near := get_close_matches(name, list(commands), n=1):
        return f"Did you mean bulk-invite help {near[0]}?"
    if name in TOPICS:
        return f"The manual has a topic of this name: bulk-invite manual {name}."
    return f"Commands: {', '.join(commands)}."
