"""The command line: which commands there are, and how an error ends the program."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Final

import typer

from bulk_invite.cli.completion import COMPLETION_EXAMPLES, completion
from bulk_invite.cli.demo.command import EXAMPLES as DEMO_EXAMPLES
from bulk_invite.cli.demo.command import demo
from bulk_invite.cli.doctor.command import DOCTOR_EXAMPLES, doctor
from bulk_invite.cli.health import HEALTH_EXAMPLES, health
from bulk_invite.cli.init_db import EXAMPLES as INIT_DB_EXAMPLES
from bulk_invite.cli.init_db import init_db
from bulk_invite.cli.options.grouped_help import GroupedCommand
from bulk_invite.cli.reconcile import RECONCILE_EXAMPLES, reconcile
from bulk_invite.cli.report.command import REPORT_EXAMPLES, report
from bulk_invite.cli.send import EXAMPLES as SEND_EXAMPLES
from bulk_invite.cli.send import send
from bulk_invite.cli.serve import SERVE_EXAMPLES, serve
from bulk_invite.cli.simulate.command import EXAMPLES as SIMULATE_EXAMPLES
from bulk_invite.cli.simulate.command import simulate
from bulk_invite.cli.status import EXPORT_EXAMPLES, STATUS_EXAMPLES, export, status
from bulk_invite.cli.validate import (
    EXAMPLE_EXAMPLES,
    SCHEMA_EXAMPLES,
    VALIDATE_EXAMPLES,
    example,
    schema,
    validate,
)
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.rehearsal.emulator.command import EPILOG as EMULATOR_EPILOG
from bulk_invite.rehearsal.emulator.command import emulator
from bulk_invite.runs.output.logs import escaped

_BROKEN_PIPE: Final = 141

app = typer.Typer(
    name="bulk-invite",
    help="Send Partner Central engagement invitations in bulk, each exactly once.",
    no_args_is_help=True,
    # Plain help wraps long words where the boxed one cuts them off.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=SEND_EXAMPLES, cls=GroupedCommand)(send)
app.command(epilog=SERVE_EXAMPLES, cls=GroupedCommand)(serve)
app.command(epilog=VALIDATE_EXAMPLES, cls=GroupedCommand)(validate)
app.command(epilog=STATUS_EXAMPLES, cls=GroupedCommand)(status)
app.command(epilog=EXPORT_EXAMPLES, cls=GroupedCommand)(export)
app.command(epilog=REPORT_EXAMPLES, cls=GroupedCommand)(report)
app.command("init-db", epilog=INIT_DB_EXAMPLES, cls=GroupedCommand)(init_db)
app.command(epilog=RECONCILE_EXAMPLES, cls=GroupedCommand)(reconcile)
app.command(epilog=DOCTOR_EXAMPLES, cls=GroupedCommand)(doctor)
app.command(epilog=HEALTH_EXAMPLES, cls=GroupedCommand)(health)
app.command(epilog=SCHEMA_EXAMPLES, cls=GroupedCommand)(schema)
app.command(epilog=EXAMPLE_EXAMPLES, cls=GroupedCommand)(example)
app.command(epilog=EMULATOR_EPILOG, cls=GroupedCommand)(emulator)
app.command(epilog=DEMO_EXAMPLES, cls=GroupedCommand)(demo)
app.command(epilog=SIMULATE_EXAMPLES, cls=GroupedCommand)(simulate)
app.command(epilog=COMPLETION_EXAMPLES, cls=GroupedCommand)(completion)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"bulk-invite {version('bulk-invite')}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand not in {"send", "serve", "reconcile"}:
        # Only a run that sends has something to finish; everything else ends as programs usually do.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


command: Final = typer.main.get_command(app)
"""All of it, ready to be called. Not through `app`: its tracebacks show local variables, and those hold
sensitive members of rows."""


def run() -> None:
    """Run the program; every error of ours is a sentence on standard error and its exit code."""
    try:
        command()
    except BulkInviteError as error:
        sys.stderr.write(f"bulk-invite: {escaped(str(error))}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _silence_output()
        sys.exit(_BROKEN_PIPE)
    except Exception as error:  # noqa: BLE001 - a defect of ours: nothing goes on, it only ends in good order
        _tell_defect(error)
        sys.exit(BulkInviteError.exit_code)


def _silence_output() -> None:
    """Whoever read our output has gone; Python must not complain about that again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_defect(error: BaseException) -> None:
    """Where it happened and of what kind it is, without its text: that may hold values of a row."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            _tell_defect(each)
        return
    if isinstance(error, OSError):
        _silence_output()
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
    sys.stderr.write(
        f"{frames}bulk-invite: Stopped by a defect: {type(error).__name__}{reason}. What is settled stays "
        "settled: run the same command to go on, and report the lines above.\n"
    )
