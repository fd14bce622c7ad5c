"""`demo`: its help."""

from __future__ import annotations

from typing import Final

DEMO_EXAMPLES: Final = """
Examples:

\b
  bulk-invite demo
"""


def demo() -> None:
    """Show that a killed run loses nothing and sends nothing twice.

    Starts a local Partner Central with a quota and faults, sends some 500 rows, kills the sender with SIGKILL
    halfway, starts it again and counts the invitations in the emulator's ledger. Needs no AWS account and
    takes about half a minute.

    Exit codes: 0 nothing was lost or sent twice; 1 otherwise.
    """
    from bulk_invite.cli.demo.run_demo import run_demo  # noqa: PLC0415 - only the work needs it

    run_demo()
