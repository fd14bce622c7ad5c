"""Periodically updates the health of a run from its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio

from bulk_invite.delivery.intake.source import FollowedSource, Source
from bulk_invite.delivery.sending.deliverer import Deliverer
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.monitoring.health import Health

_LOOK: Final = 0.5
"""Seconds between two looks."""

_SLOW: Final = 5.0
"""Seconds after which a checkpoint counts as not responding."""


async def watch_health(
    health: Health,
    sources: Sequence[Source | FollowedSource],
    deliverer: Deliverer,
    committer: Committer,
    is_trusted: Callable[[], bool] = lambda: True,
) -> None:
    """Run until cancelled. is_trusted: whether the endpoint accepts this sender."""
    while True:
        silent = [source.name for source in sources if not source.answering]
        health.source.fails(f"no answer from {', '.join(silent)}") if silent else health.source.answers()
        if deliverer.waits_for_endpoint:
            health.endpoint.fails("calls do not arrive")
        elif is_trusted():
            health.endpoint.answers()
        if committer.busy_for() > _SLOW:
            health.checkpoint.fails("no answer")
        else:
            health.checkpoint.answers()
        await anyio.sleep(_LOOK)
