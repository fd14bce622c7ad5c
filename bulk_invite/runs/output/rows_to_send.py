"""How many rows a run still has to send. Pure."""

from __future__ import annotations

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.verdicts import State


def rows_to_send(counts: Counts, total: int | None) -> int:
    """Rows without a call so far; unread ones are extrapolated from those that this run has read.

    total: rows of the sources, None if unknown. Rows that earlier runs settled say nothing of those that no
    run has read: a file that has grown begins with the former and ends with the latter.
    """
    open_rows = counts.states[State.PENDING] + counts.states[State.IN_DOUBT]
    # The daily quota already counts the calls in flight.
    return open_rows - counts.in_flight + (0 if total is None else _to_come(counts, total, open_rows))


def _to_come(counts: Counts, total: int, open_rows: int) -> int:
    read, unread = counts.rows - counts.skipped, total - counts.rows
    to_send = open_rows + counts.ended_now
    if not counts.known_lines:
        return unread * to_send // max(1, read)
    known = min(unread, max(0, counts.known_lines - read))
    not_settled = counts.rows - counts.settled_before
    # Until a row was read that no earlier run has settled, every new row may have to be sent.
    new = (unread - known) * to_send // not_settled if not_settled else unread - known
    return known * to_send // max(1, read) + new
