"""`bulk-invite emulator`: options from the command line, one line on standard output, until a signal."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Annotated, Any, Final

import anyio
import orjson
import typer

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.option_fields import Form, flags
from bulk_invite.rehearsal.emulator.options import Options

EMULATOR_EXAMPLES: Final = """\
Rehearse a backfill at one call per second with a few broken connections:

\b
  bulk-invite emulator --port 8080 --ledger rehearsal.ndjson \\
    --rate 1 --burst 5 --fault-reset-after 0.02

Then send to it, and see what arrived:

\b
  bulk-invite send invitations.ndjson --endpoint-url http://127.0.0.1:8080
  curl http://127.0.0.1:8080/_emulator/audit

Pages: /_emulator/audit, /_emulator/ledger, /_emulator/calls and /_emulator/health.
"""


def emulator(*, as_json: bool, **given: Any) -> None:
    """Run a local Partner Central that sends no real invitation.

    Serves CreateEngagementInvitation, ListEngagementInvitations, GetEngagementInvitation and STS
    GetCallerIdentity over HTTP, with the quotas and faults that you choose. Its own ledger records what was
    invited, independently of the sender. Prints its URL when it is ready, and runs until a signal.

    Exit codes: 0 stopped by a signal; 2 usage error; 4 cannot listen on the address or use the ledger.
    """
    run = partial(_run, options_of(given), as_json=as_json)
    anyio.run(run, backend_options={"use_uvloop": True})


async def _run(options: Options, *, as_json: bool) -> None:
    # Server and signatures take long to import; the other commands' --help does not wait for them.
    from bulk_invite.rehearsal.emulator.server import serve  # noqa: PLC0415

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serve(options) as server:
            ledger = None if server.ledger is None else str(server.ledger)
            shown = orjson.dumps({"url": server.url, "ledger": ledger}).decode()
            typer.echo(shown if as_json else f"listening on {server.url}")
            async for _ in signals:
                return


def options_of(given: Mapping[str, Any]) -> Options:
    """Options from texts as they stand on the command line, by name of the field."""
    try:
        faults = FaultOptions(**_values(FaultOptions, given))
        return Options(**_values(Options, given), faults=faults)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


def _values(kind: type[Options | FaultOptions], given: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, flag in flags(kind).items():
        if given.get(name):
            try:
                values[name] = flag.read(given[name])
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=flag.name) from error
    return values


def _parameters() -> list[inspect.Parameter]:
    """What typer is to see in place of `**given`: one parameter for each flag of the options."""
    as_json = typer.Option("--json", help="Print the URL and the ledger as one JSON object.")
    parameters = [_parameter("as_json", Annotated[bool, as_json], default=False)]
    for kind in (Options, FaultOptions):
        defaults = {each.name: each.default for each in fields(kind)}
        for name, flag in flags(kind).items():
            is_switch, way = flag.form is Form.SWITCH, flag.form.value
            option = typer.Option(
                flag.name,
                help=flag.help,
                metavar=way.metavar or None,
                rich_help_panel=flag.panel,
                show_default="Default:" not in flag.help,
            )
            value = bool if is_switch else list[str] | None if way.repeatable else str | None
            default = False if is_switch else way.shown(defaults[name])
            parameters.append(_parameter(name, Annotated[value, option, flag], default=default))
    return parameters


def _parameter(name: str, annotation: Any, *, default: str | bool | None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


# typer reads the parameters of a command from its signature.
emulator.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined] # functions have it all the same
