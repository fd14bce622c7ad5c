"""`bulk-invite emulator`: options from the command line, one line on standard output, until a signal."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import orjson
import typer

from bulk_invite.domain.durations import format_duration, parse_duration
from bulk_invite.domain.errors import BulkInviteError, UsageError
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.option_fields import Flag, Form, flags
from bulk_invite.rehearsal.emulator.options import FaultOptions, Options
from bulk_invite.rehearsal.emulator.rate_trace import RateTrace

EPILOG: Final = """\
Rehearse a backfill at one call per second with a few broken connections:

bulk-invite emulator --port 8080 --ledger rehearsal.ndjson --rate 1 --burst 5 --fault-reset-after 0.02

Then send to it with --endpoint-url http://127.0.0.1:8080, and see what arrived:

curl http://127.0.0.1:8080/_emulator/audit

Pages: /_emulator/audit, /_emulator/ledger, /_emulator/calls and /_emulator/health.
"""


def emulator(*, as_json: bool, **given: Any) -> None:
    """Run a local Partner Central that invites nobody.

    Serves CreateEngagementInvitation, ListEngagementInvitations, GetEngagementInvitation and STS
    GetCallerIdentity over HTTP, with the quotas and faults that you choose. Its own ledger records what was
    invited, independently of the sender. Prints its URL when it is ready, and runs until a signal.

    Exit codes: 0 stopped by a signal; 2 usage error; 4 cannot listen on the address or use the ledger.
    """
    options = options_of(given)
    try:
        anyio.run(
            partial(_run, options, as_json=as_json),
            backend_options={"use_uvloop": True},
        )
    except BulkInviteError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


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
                values[name] = _READ[flag.form](given[name])
            except ValueError as error:
                raise typer.BadParameter(f"{flag.name}: {error}") from error
    return values


def _number(number: Callable[[str], float], kind: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            return number(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a {kind}.") from None

    return read


def _or_none(read: Callable[[str], float]) -> Callable[[str], float | None]:
    return lambda text: None if text == "none" else read(text)


def _each(read: Callable[[str], Any]) -> Callable[[list[str]], tuple[Any, ...]]:
    return lambda texts: tuple(read(text) for text in texts)


_integer = _number(int, "whole number")
_real = _number(float, "number")
_READ: Final[Mapping[Form, Callable[[Any], Any]]] = {
    Form.TEXT: str,
    Form.TEXTS: _each(str),
    Form.PATH: Path,
    Form.INTEGER: _integer,
    Form.COUNT: _or_none(_integer),
    Form.RATE: _or_none(_real),
    Form.RATE_TRACE: RateTrace.parse,
    Form.AMOUNT: _real,
    Form.PROBABILITY: _real,
    Form.DURATION: parse_duration,
    Form.SWITCH: bool,
    Form.CREDENTIALS: _each(Credential.parse),
}
_SHOWN: Final = {
    Form.INTEGER: "NUMBER",
    Form.COUNT: "NUMBER|none",
    Form.RATE: "NUMBER|none",
    Form.RATE_TRACE: "TRACE",
    Form.AMOUNT: "NUMBER",
    Form.CREDENTIALS: "KEY:SECRET[:ACCOUNT]",
}


def _parameters() -> list[inspect.Parameter]:
    """What typer is to see in place of `**given`: one parameter for each flag of the options."""
    as_json = typer.Option("--json", help="Print the URL and the ledger as one JSON object.")
    parameters = [_parameter("as_json", Annotated[bool, as_json], default=False)]
    for kind in (Options, FaultOptions):
        defaults = {each.name: each.default for each in fields(kind)}
        for name, flag in flags(kind).items():
            is_switch = flag.form is Form.SWITCH
            many = flag.form in (Form.TEXTS, Form.CREDENTIALS)
            option = typer.Option(
                flag.name,
                help=flag.help,
                metavar=None if is_switch else _SHOWN.get(flag.form, flag.form.name.removesuffix("S")),
                rich_help_panel=flag.panel,
            )
            value = bool if is_switch else list[str] | None if many else str | None
            default = _default(flag, defaults[name])
            parameters.append(_parameter(name, Annotated[value, option], default=default))
    return parameters


def _parameter(name: str, annotation: Any, *, default: str | bool | None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(flag: Flag, default: Any) -> str | bool | None:
    """The default as it would be written on the command line, for the help to show."""
    match flag.form:
        case Form.SWITCH:
            return False
        case Form.TEXTS | Form.CREDENTIALS | Form.PATH | Form.RATE_TRACE:
            return None
        case Form.DURATION:
            return None if default is None else format_duration(default)
        case _:
            return str(default).lower()


# typer reads the parameters of a command from its signature.
emulator.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined] # functions have it all the same
