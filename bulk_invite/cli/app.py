"""The command line: which commands there are, and how an error ends the program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Final, cast

import typer
from typer.core import TyperGroup

from bulk_invite.cli import ending
from bulk_invite.cli.completion.command import (
    COMPLETION_EXAMPLES,
    VARIABLE,
    answer,
    completion,
    install,
    show,
)
from bulk_invite.cli.demo.command import EXAMPLES as DEMO_EXAMPLES
from bulk_invite.cli.demo.command import demo
from bulk_invite.cli.doctor.command import DOCTOR_EXAMPLES, doctor
from bulk_invite.cli.health import HEALTH_EXAMPLES, health
from bulk_invite.cli.help import HELP_EXAMPLES, help_
from bulk_invite.cli.init_db import EXAMPLES as INIT_DB_EXAMPLES
from bulk_invite.cli.init_db import init_db
from bulk_invite.cli.manual import MANUAL_EXAMPLES, manual
from bulk_invite.cli.options.grouped_help import GroupedCommand, GroupedProgram
from bulk_invite.cli.reconcile import RECONCILE_EXAMPLES, reconcile
from bulk_invite.cli.report.command import REPORT_EXAMPLES, report
from bulk_invite.cli.row_format import EXAMPLE_EXAMPLES, SCHEMA_EXAMPLES, example, schema
from bulk_invite.cli.send import EXAMPLES as SEND_EXAMPLES
from bulk_invite.cli.send import send
from bulk_invite.cli.serve import SERVE_EXAMPLES, serve
from bulk_invite.cli.simulate.command import EXAMPLES as SIMULATE_EXAMPLES
from bulk_invite.cli.simulate.command import simulate
from bulk_invite.cli.status import EXPORT_EXAMPLES, STATUS_EXAMPLES, export, status
from bulk_invite.cli.validate import VALIDATE_EXAMPLES, validate
from bulk_invite.rehearsal.emulator.command import EPILOG as EMULATOR_EPILOG
from bulk_invite.rehearsal.emulator.command import emulator

COMMANDS: Final[Mapping[str, Mapping[str, tuple[Callable[..., None], str, str]]]] = {
    "Send": {
        "send": (send, SEND_EXAMPLES, "operations"),
        "serve": (serve, SERVE_EXAMPLES, "serve"),
        "reconcile": (reconcile, RECONCILE_EXAMPLES, "unknown-outcomes"),
    },
    "Prepare": {
        "validate": (validate, VALIDATE_EXAMPLES, "rows"),
        "schema": (schema, SCHEMA_EXAMPLES, "rows"),
        "example": (example, EXAMPLE_EXAMPLES, "rows"),
        "init-db": (init_db, INIT_DB_EXAMPLES, "postgresql"),
        "doctor": (doctor, DOCTOR_EXAMPLES, "operations"),
    },
    "Inspect": {
        "status": (status, STATUS_EXAMPLES, "results"),
        "report": (report, REPORT_EXAMPLES, "results"),
        "export": (export, EXPORT_EXAMPLES, "results"),
    },
    "Rehearse": {
        "demo": (demo, DEMO_EXAMPLES, "rehearsal"),
        "emulator": (emulator, EMULATOR_EPILOG, "rehearsal"),
        "simulate": (simulate, SIMULATE_EXAMPLES, "rehearsal"),
    },
    "Operate": {
        "health": (health, HEALTH_EXAMPLES, "monitoring"),
        "help": (help_, HELP_EXAMPLES, "overview"),
        "manual": (manual, MANUAL_EXAMPLES, "overview"),
        "completion": (completion, COMPLETION_EXAMPLES, "overview"),
    },
}
"""Every command with its examples and its topic in the manual, by the heading in the help."""

app = typer.Typer(
    name="bulk-invite",
    help="Send Partner Central engagement invitations in bulk, each exactly once.",
    cls=GroupedProgram,
    no_args_is_help=True,
    # The scripts are our own: see completion.
    add_completion=False,
    # Plain help wraps long words where the boxed one cuts them off.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _heading, _commands in COMMANDS.items():
    for _name, (_command, _examples, _topic) in _commands.items():
        app.command(
            _name,
            epilog=_examples,
            cls=GroupedCommand,
            rich_help_panel=_heading,
            context_settings={"obj": _topic},
        )(_command)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
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


command: Final = cast("TyperGroup", typer.main.get_command(app))
"""The whole program. Calling `app` instead would show local variables in tracebacks, with sensitive
values of rows."""


def run() -> None:
    """Answer a shell that completes a command line, or run the program; and exit."""
    question = os.environ.get(VARIABLE)
    if question and (answered := answer(question, sys.argv[1:], command)) is not None:
        sys.stdout.write(answered)
        return
    sys.exit(ending.run(command, sys.argv[1:]))
