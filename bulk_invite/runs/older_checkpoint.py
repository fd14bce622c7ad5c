"""A run whose checkpoint may be older than the last call: told of, and begun when lists show that call."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.to_thread import run_sync

from bulk_invite.delivery.lookup.queries import PER_SECOND
from bulk_invite.runs.wiring.checkpoint import tell_gap
from bulk_invite.runs.wiring.delivery import Lasting

if TYPE_CHECKING:
    from bulk_invite.checkpoint.tables.gaps import Gap

_log = structlog.get_logger()


async def begin_run(lasting: Lasting) -> None:
    """Begin a run in the checkpoint. Raises CheckpointError."""
    look_up_first = lasting.settings.look_up_first
    begin = partial(lasting.writer.begin_run, time.time(), look_up_first=look_up_first)
    for gap in await run_sync(begin):
        _tell(gap, is_heeded=look_up_first is not False)


async def wait_for_lists(lasting: Lasting) -> None:
    """Wait until lists show what was invited before this run began, where rows are looked up for that."""
    suspicion = lasting.writer.suspicion
    if suspicion is None:
        return
    _log.info(
        "lookup.first",
        why="calls may be missing here: open rows are looked up before they are called, and count as in "
        "doubt until then",
        reads_per_second=PER_SECOND,
    )
    seconds = suspicion.until + lasting.settings.settling_time - time.time()
    if seconds > 0:
        _log.info(
            "lookup.settling",
            seconds=round(seconds, 1),
            why="rows are looked up before their first call, and lists may not show yet what was sent last",
        )
        await anyio.sleep(min(seconds, lasting.settings.settling_time))


def _tell(gap: Gap, *, is_heeded: bool) -> None:
    tell_gap(
        gap,
        now="open rows are looked up before they are called" if is_heeded else "--no-look-up-first: nothing",
        next="nothing, if it is the latest one that there is; else stop, and put that in its place",
    )
