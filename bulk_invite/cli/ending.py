"""How the program ends: an exit code, an error on standard error, and with --json one object."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bulk_invite.domain.errors import (
    EXIT_INTERRUPTED,
    EXIT_STOPPED,
    BulkInviteError,
    InternalError,
    InterruptedRunError,
    StoppedError,
    UsageError,
)
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.standard_output import ReaderGoneError

_JSON: Final = "--json"

_URL: Final = re.compile(r"\w*://.*?([')]*\.?)$", re.DOTALL)
"""A URL at the end of a message may hold a password, with whatever characters."""

_QUOTED_NAME: Final = re.compile(r"'(--?[a-z][a-z-]*|\[?[A-Z][A-Z_]+(?:\.\.\.)?\]?)'")

_WITHOUT_ERROR: Final[Mapping[int, Callable[[], BulkInviteError]]] = {
    EXIT_STOPPED: StoppedError,
    EXIT_INTERRUPTED: lambda: InterruptedRunError("Run the same command again."),
}
"""Endings that a command says by its exit code only; one that can be continued says so itself."""


def run(program: TyperGroup, arguments: Sequence[str]) -> int:
    """Run the program; returns the exit code."""
    standard_output.check()
    if _wants_json(program, arguments):
        standard_output.wants_object.set()
    error: BulkInviteError | None = None
    try:
        code = _result(program, arguments)
        sys.stdout.flush()
    except ReaderGoneError:
        return 0
    except BulkInviteError as raised:
        error = raised
        _report(error)
    except KeyboardInterrupt:  # while the last of the output is written
        code = EXIT_INTERRUPTED
    except BaseException as raised:  # noqa: BLE001 - a panic of a library in Rust is no Exception
        error = _internal_error(raised)
    if error is not None:
        code = error.exit_code
    elif code in _WITHOUT_ERROR:
        error = _WITHOUT_ERROR[code]()
    if error is not None:
        standard_output.end_with(error, _counts_of_nothing(program, arguments))
    return code


def _result(program: TyperGroup, arguments: Sequence[str]) -> int:
    """Raises UsageError for what typer does not accept."""
    try:
        return program.main(list(arguments), standalone_mode=False) or 0
    except typer.Abort:
        raise UsageError("The input ended before the question was answered. Nothing was sent.") from None
    except TyperException as error:
        if not arguments:  # the help
            _print(f"{error.format_message()}\n")
            return error.exit_code
        raise _usage_error(error, _command(program, arguments)) from None


def _usage_error(error: TyperException, command: str) -> UsageError:
    """An error of the command line in our words."""
    message = getattr(error, "message", "") if getattr(error, "possibilities", None) else ""
    message = _in_our_words(_URL.sub(r"a URL\1", message or error.format_message()))
    context: Any = getattr(error, "ctx", None)
    name = command if context is None or context.parent is None else str(context.info_name)
    parameters = [] if context is None else context.command.params
    options = [each for one in parameters for each in one.opts]
    has_settings = context is None or context.parent is None or "--config" in options
    near = get_close_matches(getattr(error, "option_name", ""), options, n=1)
    hints = [f"Did you mean {near[0]}?"] if near else []
    hints.append(f"See bulk-invite {name}{' ' if name else ''}--help.")
    return UsageError(
        message if message.endswith((".", "?")) else f"{message}.",
        hint=" ".join(hints),
        topic="options" if has_settings else str(context.obj),
    )


def _in_our_words(message: str) -> str:
    """On one line, and without the quotes around names of options and arguments."""
    message = _QUOTED_NAME.sub(r"\1", message).removeprefix("Invalid value: ")
    return message.replace("\n\t", " ").replace(" requires an argument", " needs a value")


def _counts_of_nothing(program: TyperGroup, arguments: Sequence[str]) -> dict[str, object]:
    """The members that the result of `send` always has; a run that could not start did nothing."""
    if _command(program, arguments) != "send":
        return {}
    # Most commands need no summary, and completion has to be quick.
    from bulk_invite.delivery.tracking.tally import Counts  # noqa: PLC0415
    from bulk_invite.runs.output.summary import Summary  # noqa: PLC0415

    return {**asdict(Summary.of_run(Counts(), 0.0)), "not_read": None}


def _command(program: TyperGroup, arguments: Sequence[str]) -> str:
    """The command that the arguments name, or ""."""
    return next((each for each in arguments if each in program.commands), "")


def _wants_json(program: TyperGroup, arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, else the environment or the file of a command that has it."""
    if asked := [each for each in arguments if each in {_JSON, f"--no-{_JSON[2:]}"}]:
        return asked[-1] == _JSON
    name = _command(program, arguments)
    if not name or not any(_JSON in each.opts for each in program.commands[name].params):
        return False
    # Only for a command that has settings: --help and --version need none.
    from bulk_invite.runs.settings.loading import asks_for_json  # noqa: PLC0415

    return asks_for_json(_value_of("--config", arguments))


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value of an option of the command line, which may be invalid otherwise."""
    for each, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if each == option:
            return following
        if each.startswith(f"{option}="):
            return each.partition("=")[2]
    return None


def _report(error: BulkInviteError) -> None:
    """Print an error and its topic on standard error."""
    see = f"See: bulk-invite manual {error.topic}\n" if error.topic else ""
    _print(f"bulk-invite: {escaped(str(error))}\n{see}")


def _print(text: str) -> None:
    with suppress(OSError):  # a closed standard error changes nothing of how the program ends
        sys.stderr.write(text)


def _internal_error(error: BaseException) -> InternalError:
    """Print the place and the type of an error. Its text may hold values of a row, so it is not printed."""
    if isinstance(error, BaseExceptionGroup):
        first, *_ = map(_internal_error, error.exceptions)
        return first
    reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
    internal = InternalError(f"{type(error).__name__}{reason}")
    _print("".join(traceback.format_list(traceback.extract_tb(error.__traceback__))))
    _report(internal)
    return internal
