"""Rows whose token is known with another body: edited before they were sent, or refused.

A token never has two bodies at the service. So the new version replaces the stored one only as long as no
call of it can have left; otherwise it is rejected, and the stored one remains.
"""

from __future__ import annotations

from bulk_invite.checkpoint.tables.stored_rows import Known
from bulk_invite.domain.rows import Invitation, Position, Rejection, RowError
from bulk_invite.domain.verdicts import State


def may_change(row: Invitation, entry: Known, run: int) -> bool:
    """Whether the row may replace the stored one: both have the key, and no run has sent it."""
    is_same = row.has_key_token and _is_one_source(row.position, entry.position)
    return is_same and entry.run < run and entry.last_sent is None


def refusal(row: Invitation, entry: Known, *, run: int, follows: bool) -> Rejection:
    """Why the row is not sent. follows: the source is read repeatedly, so it may be edited within a run."""
    place, sent_as = entry.position, ""
    if not row.has_key_token:
        error = RowError(
            "$.ClientToken",
            "token_reused",
            "This ClientToken already belongs to another request; a changed request needs a new token.",
        )
    elif not _is_one_source(row.position, place):
        error = RowError(
            "$",
            "key_of_another_source",
            f"A row of {place.source} with this key already has the token; another source needs its own "
            "--campaign.",
        )
    elif entry.run == run and not follows and place != row.position:
        error = RowError(
            "$",
            "key_reused",
            f"The row {place} has the same key and another request, and comes first; give each row its own "
            "key, or remove one of the two.",
        )
    elif entry.state is State.FAILED:
        sent_as = row.client_token
        error = RowError(
            "$",
            "changed_since_refused",
            "The service refused the row with this key before it was changed, so no invitation was created; "
            "the new version needs another key.",
        )
    else:
        sent_as = row.client_token
        error = RowError(
            "$",
            "changed_since_sent",
            f"The row with this key ({place}) was accepted before it was changed; it is not sent again.",
        )
    return Rejection(row.row, (error,), sent_as, row.label)


def _is_one_source(one: Position, other: Position) -> bool:
    """All files are one source: an edited export may have another name. Rows of databases have no lines."""
    return one.source == other.source or bool(one.line and other.line)
