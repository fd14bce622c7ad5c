"""Look up what earlier runs have stored of the rows of a batch, and store nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from bulk_invite.checkpoint.tables import admit_rows, twins
from bulk_invite.checkpoint.tables.decide_row import Terms
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.same_receiver import OnSameReceiver, Recorded

_TERMS: Final = Terms(retry_failed=False, on_same_receiver=OnSameReceiver.WARN, uncertain_period=None)

_NO_RUN: Final = 0
"""No row was read by it: runs count from 1. A row without an invitation does not count, as in a new run."""


def look_up(
    connection: Connection, batch: Sequence[Invitation], hashed: twins.ReceiverHash, campaign: str
) -> dict[str, Recorded]:
    """Return, by token, what a run would find; rows of which nothing is known are missing."""
    known = admit_rows.look_up(connection, [row.client_token for row in batch])
    compared = [row for row in batch if _TERMS.compares(known.get(row.client_token))]
    receivers = hashed.of_each(compared, campaign)
    found = twins.look_up(connection, receivers, run=_NO_RUN, open_too=False)
    recorded = {token: Recorded(entry.state, _TERMS.compares(entry)) for token, entry in known.items()}
    for token, twin in found.items():
        state = known[token].state if token in known else None
        recorded[token] = Recorded(state, is_compared=True, twin=twin)
    return recorded
