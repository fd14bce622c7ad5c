"""The beginning of a run: it warns of a checkpoint that lacks calls, and waits until lists show them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.to_thread import run_sync

from bulk_invite.delivery.lookup.queries import PER_SECOND
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.runs.wiring.checkpoint_warnings import warn_of_gap
from bulk_invite.runs.wiring.delivery import Resources
from bulk_invite.runs.wiring.validator import row_basis

if TYPE_CHECKING:
    from bulk_invite.checkpoint.tables.values import Gap

_log = structlog.get_logger()


async def begin_run(resources: Resources) -> None:
    """Begin a run in the checkpoint, and warn of calls that it lacks. Raises CheckpointError."""
    look_up_first = resources.settings.look_up_first
    begin = partial(
        resources.writer.begin_run,
        time.time(),
        look_up_first=look_up_first,
        on_same_receiver=OnSameReceiver(resources.settings.on_same_receiver),
        basis=row_basis(resources.settings),
    )
    for gap in await run_sync(begin):
        _warn(gap, looks_up=look_up_first is not False)


async def wait_for_lists(resources: Resources) -> None:
    """If open rows are looked up first, wait until lists show the invitations from before this run."""
    uncertain_period = resources.writer.uncertain_period
    if uncertain_period is None:
        return
    _log.info(
        "lookup.before_sending",
        why="the checkpoint may lack calls: open rows are looked up before they are sent, and are in doubt "
        "until then",
        reads_per_second=PER_SECOND,
    )
    seconds = uncertain_period.until + resources.settings.settling_time - time.time()
    if seconds > 0:
        _log.info(
            "lookup.settling",
            seconds=round(seconds, 1),
            why="rows are looked up before they are sent; lists may not show the latest invitations yet",
        )
        await anyio.sleep(min(seconds, resources.settings.settling_time))


def _warn(gap: Gap, *, looks_up: bool) -> None:
    warn_of_gap(
        gap,
        now="looking up open rows before they are sent" if looks_up else "none (--no-look-up-first)",
        next="none if this is the latest checkpoint; otherwise stop and restore the latest one",
    )
