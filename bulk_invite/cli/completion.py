"""`completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import sys
from typing import Annotated, Final, Literal

import typer

COMPLETION_EXAMPLES: Final = """
Examples:

  bulk-invite completion bash > /etc/bash_completion.d/bulk-invite

  bulk-invite completion zsh > ~/.zfunc/_bulk-invite

  bulk-invite completion fish > ~/.config/fish/completions/bulk-invite.fish
"""


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell that is to be taught.")],
) -> None:
    """Print a completion script, for a package or an image; --install-completion installs it for one user.

    Exit codes: 0 printed; 2 usage.
    """
    # For this command only; where it stands is told in no stub.
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # noqa: PLC0415

    script = get_completion_script(prog_name="bulk-invite", complete_var="_BULK_INVITE_COMPLETE", shell=shell)
    sys.stdout.write(f"{script}\n")
