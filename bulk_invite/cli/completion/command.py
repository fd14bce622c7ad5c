"""`completion`: a script that lets a shell complete commands, options and values; its questions, answered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, get_args

import typer

from bulk_invite.domain.errors import UsageError

Shell = Literal["bash", "zsh", "fish"]
_SHELLS_OF_TYPER: Final = ("powershell", "pwsh")
_PROGRAM: Final = "bulk-invite"

VARIABLE: Final = "_BULK_INVITE_COMPLETE"
"""Has the question of a script: complete_bash, with the words up to the cursor as arguments."""

COMPLETION_EXAMPLES: Final = """
Examples:

\b
  bulk-invite completion bash > /etc/bash_completion.d/bulk-invite
  bulk-invite completion zsh > ~/.zfunc/_bulk-invite
  bulk-invite completion fish > ~/.config/fish/completions/bulk-invite.fish
"""


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="Shell for the script: bash, zsh or fish.")],
) -> None:
    """Print a shell completion script.

    Use it to build a package or an image. To install completion for yourself only, run
    bulk-invite --install-completion.

    Exit codes: 0 printed; 2 usage error.
    """
    sys.stdout.write(_script(shell))


def answer(instruction: str, words: Sequence[str], program: Any) -> str | None:
    """What a script of a shell asks for; None if the instruction is not for one of our scripts."""
    verb, _, shell = instruction.partition("_")
    if shell not in get_args(Shell):
        from typer.completion import completion_init  # type: ignore[attr-defined] # noqa: PLC0415

        completion_init()  # the script is typer's own, and so is what answers it
        return None
    if verb == "source":
        return _script(shell)
    # For this question only: no command needs it.
    from bulk_invite.cli.completion.candidates import candidates  # noqa: PLC0415

    if shell == "bash" and words:
        # bash makes three words of --catalog=AWS.
        *before, last = words
        words = [*(each for each in before if each != "="), "" if last == "=" else last]
    found = candidates(program, words or [""])
    lines = [f"{word}\t{description}\n" for word, description in found.words]
    return "".join([*lines, *(["\tfiles\n"] if found.files else [])])


def _script(shell: str) -> str:
    if shell in get_args(Shell):
        return (files(__package__) / f"bulk-invite.{shell}").read_text(encoding="utf-8")
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # noqa: PLC0415

    return f"{get_completion_script(prog_name=_PROGRAM, complete_var=VARIABLE, shell=shell)}\n"


def install(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Install the script for the shell that runs this command."""
    if not wanted:
        return
    from typer.completion import install as register  # type: ignore[attr-defined] # noqa: PLC0415

    shell = _this_shell()
    _, path = register(shell=shell, prog_name=_PROGRAM)
    if shell in get_args(Shell):
        path.write_text(_script(shell), encoding="utf-8")
    typer.echo(f"{shell} completion is installed in {path}. It works in new shells.")
    raise typer.Exit


def show(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the script for the shell that runs this command."""
    if wanted:
        sys.stdout.write(_script(_this_shell()))
        raise typer.Exit


def _this_shell() -> str:
    import shellingham  # noqa: PLC0415 - for these two options only

    try:
        shell, _ = shellingham.detect_shell()
    except shellingham.ShellDetectionFailure:
        shell = ""
    if shell not in {*get_args(Shell), *_SHELLS_OF_TYPER}:
        raise UsageError(
            f"There is no completion for this shell{f' ({shell})' if shell else ''}.",
            hint="For bash, zsh and fish, bulk-invite completion SHELL prints the script.",
        )
    return str(shell)
