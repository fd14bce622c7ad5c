"""The texts of errors."""

from __future__ import annotations

import pytest

from bulk_invite.domain.errors import BulkInviteError, CheckpointHeldError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            BulkInviteError("It is down.", hint="Check that it is running; then run the same command again."),
            "It is down. Check that it is running.",
        ),
        (
            BulkInviteError("Refused.", hint="Renew them and run the same command again; nothing was sent."),
            "Refused. Renew them; nothing was sent.",
        ),
        (
            BulkInviteError("Lost.", hint="Settled rows stay settled; run the same command again."),
            "Lost. Settled rows stay settled.",
        ),
        (
            CheckpointHeldError("a.db"),
            (
                "Another sender is working on the checkpoint a.db. Wait for it (--wait-for-lock) or stop it "
                "(SIGTERM)."
            ),
        ),
    ],
)
def test_a_service_that_waits_advises_no_command(error: BulkInviteError, said: str) -> None:
    assert error.while_waiting() == said
