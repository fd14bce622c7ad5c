"""Of a database that was read completely, read only what is new or still open."""

from __future__ import annotations

import structlog

from bulk_invite.delivery.intake.source import KeyedSource, Source
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.journal import RunInThread
from bulk_invite.delivery.tracking.stop_switch import StopSwitch

_log = structlog.get_logger()


class KnownTables:
    """Asks the checkpoint what is known of a database, and compares it with the database."""

    def __init__(self, committer: Committer, stop: StopSwitch, in_thread: RunInThread) -> None:
        self._committer = committer
        self._stop = stop
        self._in_thread = in_thread
        self._whole: set[str] = set()

    async def skip(self, source: KeyedSource) -> str | None:
        """Return the mark after which to read; None if all rows must be read."""
        name, campaign = source.name, self._committer.campaign
        self._whole.add(name)
        mark = await self._committer.ask(lambda journal: journal.prefixes.finished(name, campaign))
        if mark is None:
            return None
        rows = await self._in_thread(source.unchanged, mark, lambda: self._stop.draining)
        if rows is not None and await self._committer.ask(
            lambda journal: journal.prefixes.recognize_finished(name, campaign, rows)
        ):
            _log.info("source.resumed", source=name, settled=rows, now="only new and open rows are read")
            return mark
        if not self._stop.draining:
            _log.warning(
                "source.read_again",
                source=name,
                why="rows were changed or deleted since it was read, or its server does not show that",
                now="all of it is read again; rows with an invitation are not sent again",
            )
        return None

    async def finish(self, source: Source) -> None:
        """Note that a source which this run began to read at its beginning was read to its end."""
        if not isinstance(source, KeyedSource) or source.name not in self._whole:
            return
        name, mark, campaign = source.name, source.finished, self._committer.campaign
        if mark is not None:
            await self._committer.ask(lambda journal: journal.prefixes.finish(name, campaign, mark))
