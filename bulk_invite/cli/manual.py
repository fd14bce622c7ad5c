"""`manual`: the topics of the manual, in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Final

import typer

from bulk_invite.domain.errors import UsageError
from bulk_invite.manual import TOPICS, text_of

MANUAL_EXAMPLES: Final = """
Examples:

\b
  bulk-invite manual
  bulk-invite manual troubleshooting
  bulk-invite manual options | grep daily
"""

_WIDEST: Final = 100
"""Columns: longer lines of prose are hard to read."""


def _matching(incomplete: str) -> Iterator[tuple[str, str]]:
    yield from ((topic, about) for topic, about in TOPICS.items() if topic.startswith(incomplete))


def manual(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]", help="Topic to show. Default: list the topics.", autocompletion=_matching
        ),
    ] = None,
) -> None:
    """Show a topic of the manual.

    On a terminal, the topic is formatted and shown in your pager. In a pipe or a file, it is plain Markdown.

    Exit codes: 0 shown; 2 usage error.
    """
    if topic is None:
        for name, about in TOPICS.items():
            sys.stdout.write(f"{name:<18}{about.replace('`', '')}\n")
        sys.stdout.write("\nShow one with: bulk-invite manual TOPIC\n")
        return
    if topic not in TOPICS:
        raise UsageError(
            f"The manual has no topic {topic!r}.{_closest(topic)}", hint=f"Topics: {', '.join(TOPICS)}."
        )
    if sys.stdout.isatty():
        _page(topic)
    else:
        sys.stdout.write(text_of(topic))


def _closest(topic: str) -> str:
    near = get_close_matches(topic, TOPICS, n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""


def _page(topic: str) -> None:
    # For this command only: they take longer to import than a command may take to start.
    from rich.console import Console  # noqa: PLC0415

    from bulk_invite.cli.manual_page import page  # noqa: PLC0415

    # As git does: colors pass, and what fits on the screen is shown without waiting for a key.
    os.environ.setdefault("LESS", "FRX")
    console = Console()
    console.width = min(console.width, _WIDEST)
    with console.pager(styles=True):
        console.print(page(text_of(topic), topic), crop=False)
