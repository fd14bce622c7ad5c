"""What the log says of a checkpoint: that it is waited for, and that it lacks calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.holder import Holder

if TYPE_CHECKING:
    from bulk_invite.checkpoint.tables.values import Gap

_log = structlog.get_logger()


def report_wait(error: BulkInviteError, holder: Holder | None) -> None:
    """Say why a standby waits. holder: the other sender, if that is why."""
    if holder is not None:
        now = "waiting for the other sender to end, then taking over"
        _log.info("checkpoint.standing_by", sender=holder.who, since=holder.since, now=now)
    else:
        _log.warning("checkpoint.unreachable", reason=str(error))


def warn_of_missing(why: str) -> None:
    """Warn of commits that are stored elsewhere."""
    _log.warning("checkpoint.incomplete", why=why)


def warn_of_gap(gap: Gap, **more: str) -> None:
    """Warn of missing calls. more: what the run does about them, and what the operator can do."""
    known = {} if gap.calls is None else {"missing_calls": gap.calls}
    _log.warning(
        "checkpoint.stale" if gap.calls is not None else "checkpoint.possibly_stale",
        why=gap.why,
        since=utc_text(gap.since) if gap.since else "the beginning",
        **known,
        **more,
    )
