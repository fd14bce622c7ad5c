"""Of a file that was read before, only count the rows that are settled."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Final

import anyio
import structlog

from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.skipped_rows import PAGE, Listing, SkippedRows
from bulk_invite.delivery.intake.source import ResumableSource
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.journal import RunInThread
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.admissions import SkippedRow
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import KnownPrefix, PrefixRows

_log = structlog.get_logger()

OTHER_BYTES: Final = "at least one of the lines that were read before has changed since then"
OTHER_BASIS: Final = "the program, or a setting that decides what a row becomes, has changed since then"
MANY_LINES: Final = "too many of its lines have to be read again"


class KnownFiles:
    """Asks the checkpoint what is known of a file, and compares it with the file.

    read_again: names of the files that were read before, and are read from their beginning nevertheless.
    """

    def __init__(
        self,
        committer: Committer,
        admitter: Admitter,
        skipped: SkippedRows,
        stop: StopSwitch,
        in_thread: RunInThread,
    ) -> None:
        self.read_again: list[str] = []
        self._committer = committer
        self._admitter = admitter
        self._skipped = skipped
        self._stop = stop
        self._in_thread = in_thread

    async def skip(self, source: ResumableSource) -> PrefixRows | None:
        """Count the settled rows of a file; None if it must be read from its beginning."""
        name, campaign = source.name, self._committer.campaign
        known = await self._committer.ask(lambda journal: journal.prefixes.known(name, campaign))
        if known is None:
            return None
        why = OTHER_BASIS
        if known.is_current:
            is_same, rows = await self._compared(source, known)
            if is_same and rows is not None:
                await self._skip(rows)
                return rows
            why = MANY_LINES if is_same else OTHER_BYTES
        if not self._stop.draining:
            self.read_again.append(name)
            self._admitter.reads_again(known.prefix.lines)
            tell_read_again(known, why)
        return None

    async def _compared(self, source: ResumableSource, known: KnownPrefix) -> tuple[bool, PrefixRows | None]:
        """Whether the file begins as before, and its rows; both take a second for a million rows."""
        is_same, rows, failure = False, None, None

        async def compare() -> None:
            nonlocal is_same
            is_same = await self._in_thread(source.begins_with, known.prefix, lambda: self._stop.draining)

        async with anyio.create_task_group() as group:
            group.start_soon(compare)
            try:
                rows = await self._committer.ask(
                    lambda journal: journal.prefixes.rows(
                        source.name, self._committer.campaign, failed_again=self._failed_again
                    )
                )
            except CheckpointError as error:  # the task group would wrap it
                failure = error
        if failure is not None:
            raise failure
        return is_same, rows

    async def _skip(self, rows: PrefixRows) -> None:
        name, campaign = rows.prefix.source, self._committer.campaign
        await self._committer.ask(
            lambda journal: journal.prefixes.recognize(name, campaign, failed_again=self._failed_again)
        )
        if self._admitter.reports_rows:
            self._skipped.add(Listing(partial(self._page, name), attrgetter("client_token")))
        else:
            self._admitter.skip_many(created=rows.created, failed=rows.failed)
        tell_skipped(rows)

    @property
    def _failed_again(self) -> bool:
        """Results have failed rows as they are in the file."""
        return self._committer.retry_failed or self._admitter.reports_rows

    async def _page(self, name: str, after: str) -> list[SkippedRow]:
        return await self._committer.ask(lambda journal: journal.prefixes.created_rows(name, after, PAGE))


def tell_skipped(rows: PrefixRows) -> None:
    _log.info(
        "source.resumed",
        source=rows.prefix.source,
        lines=rows.prefix.lines,
        settled=rows.created + rows.failed,
        now="the settled rows are not read again: the file has not changed",
    )


def tell_read_again(known: KnownPrefix, why: str) -> None:
    _log.warning(
        "source.read_again",
        source=known.prefix.source,
        lines=known.prefix.lines,
        why=why,
        now="all of it is read again; rows with an invitation are not sent again",
    )
