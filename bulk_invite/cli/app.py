"""The command line: which commands there are, and how an error ends the program."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any, Final, cast

import typer

from bulk_invite.cli import ending
from bulk_invite.cli.commands import COMMANDS, Commands
from bulk_invite.cli.completion.command import VARIABLE, answer, install, show
from bulk_invite.cli.options.grouped_help import GroupedProgram


class Program(GroupedProgram):
    """The program with its commands, each of which is imported when it is looked up."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(COMMANDS)


app = typer.Typer(
    name="bulk-invite",
    help="Send Partner Central engagement invitations in bulk, each exactly once.",
    cls=Program,
    no_args_is_help=True,
    # The scripts are our own: see completion.
    add_completion=False,
    # Plain help wraps long words where the boxed one cuts them off.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        # Imports a parser of e-mail, a tenth of the start of a command.
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"bulk-invite {version('bulk-invite')}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    _install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            help="Install completion for the current shell.",
            callback=install,
            is_eager=True,
        ),
    ] = False,
    _show_completion: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            help="Show the completion script for the current shell.",
            callback=show,
            is_eager=True,
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand not in {"send", "serve", "reconcile", "validate"}:
        # Only these commands say on a signal how far they came; every other command ends immediately.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


command: Final = cast("Program", typer.main.get_command(app))
"""The whole program. Calling `app` instead would show local variables in tracebacks, with sensitive
values of rows."""


def run() -> None:
    """Answer a shell that completes a command line, or run the program; and exit."""
    question = os.environ.get(VARIABLE)
    if question:
        if (answered := answer(question, sys.argv[1:], command)) is None:
            command.main(sys.argv[1:])  # typer answers, and exits
        sys.stdout.write(answered or "")
        return
    sys.exit(ending.run(command, sys.argv[1:]))
