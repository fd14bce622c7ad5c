"""`completion`: a script that lets a shell complete commands and options."""

from __future__ import annotations

import sys
from typing import Annotated, Final, Literal

import typer

COMPLETION_EXAMPLES: Final = """
Examples:

\b
  bulk-invite completion bash > /etc/bash_completion.d/bulk-invite
  bulk-invite completion zsh > ~/.zfunc/_bulk-invite
  bulk-invite completion fish > ~/.config/fish/completions/bulk-invite.fish
"""


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="Shell for the script.")
    ],
) -> None:
    """Print a shell completion script.

    Use it to build a package or an image. To install completion for yourself only, run
    bulk-invite --install-completion.

    Exit codes: 0 printed; 2 usage error.
    """
    # No other command needs this import, and no stub declares it.
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # noqa: PLC0415

    script = get_completion_script(prog_name="bulk-invite", complete_var="_BULK_INVITE_COMPLETE", shell=shell)
    sys.stdout.write(f"{script}\n")
