"""Rows whose token is known with another body: edited before they were sent, or refused.

A token never has two bodies at the service. So the new version replaces the stored one only as long as no
call of it can have left; otherwise it is rejected, and the stored one remains. That includes calls without a
record: a look-up of the new version would not find the invitation of the old one.
"""

from __future__ import annotations

from typing import Final

from bulk_invite.checkpoint.tables.stored_rows import Known
from bulk_invite.domain.rows import Invitation, Position, Rejection, RowError
from bulk_invite.domain.verdicts import State

_WITHOUT_INVITATION: Final = (State.PENDING, State.DEFERRED, State.DUPLICATE)
"""States of a row that certainly has no invitation, and may still get one."""


def is_refused(row: Invitation, entry: Known, run: int, *, may_lack_calls: bool) -> bool:
    """Whether the row is another version of the stored one, which it may not replace.

    may_lack_calls: the stored row may have been called without a record.
    """
    return entry.body_hash != row.body_hash and (may_lack_calls or not _may_change(row, entry, run))


def _may_change(row: Invitation, entry: Known, run: int) -> bool:
    """Whether the row may replace the stored one: both have the key, and no run has sent it."""
    is_same = row.has_key_token and _is_one_source(row.position, entry.position)
    return is_same and entry.run < run and entry.last_sent is None


def refusal(row: Invitation, entry: Known, *, run: int, follows: bool, may_lack_calls: bool) -> Rejection:
    """Why the row is not sent. follows: the source is read repeatedly, so it may be edited within a run.

    may_lack_calls: see `is_refused`.
    """
    if not row.has_key_token:
        error = RowError(
            "$.ClientToken",
            "token_reused",
            "This ClientToken already belongs to another request; a changed request needs a new token.",
        )
    elif not _is_one_source(row.position, entry.position):
        error = RowError(
            "$",
            "key_of_another_source",
            f"A row of {entry.position.source} with this key already has the token; another source needs its "
            "own --campaign.",
        )
    elif entry.run == run and not follows and entry.position != row.position:
        error = RowError(
            "$",
            "key_reused",
            f"The row {entry.position} has the same key and another request, and comes first; give each row "
            "its own key, or remove one of the two.",
        )
    else:
        is_open = entry.run < run and entry.state in _WITHOUT_INVITATION and not may_lack_calls
        return Rejection(row.row, (_changed(entry, is_open=is_open),), row.client_token, row.label)
    return Rejection(row.row, (error,), label=row.label)


def _changed(entry: Known, *, is_open: bool) -> RowError:
    """The error of a row of which the version before the change was called. is_open: to no avail so far."""
    if entry.state is State.FAILED:
        return RowError(
            "$",
            "changed_since_refused",
            "The service refused the row with this key before it was changed, so no invitation was created; "
            "the new version needs another key.",
        )
    if is_open:
        return RowError(
            "$",
            "changed_since_called",
            f"The row with this key ({entry.position}) was called before it was changed, and has no "
            "invitation yet: undo the change, or give the new version another key.",
        )
    return RowError(
        "$",
        "changed_since_sent",
        f"The row with this key ({entry.position}) was accepted before it was changed; it is not sent again.",
    )


def _is_one_source(one: Position, other: Position) -> bool:
    """All files are one source: an edited export may have another name. Rows of databases have no lines."""
    return one.source == other.source or bool(one.line and other.line)
