"""Intake from finite sources, each read once.

A source resumes where an earlier run stopped: rows already settled are only counted, rows left open are read
again, by key or by line, and reading continues after the last row reached.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from operator import attrgetter

from anyio import to_thread

from bulk_invite.delivery.intake.admit_batch import BATCH_BYTES, BATCH_ROWS, Admitter, HandOver
from bulk_invite.delivery.intake.known_files import KnownFiles
from bulk_invite.delivery.intake.known_tables import KnownTables
from bulk_invite.delivery.intake.skipped_rows import PAGE, Listing, SkippedRows
from bulk_invite.delivery.intake.source import KeyedSource, ResumableSource, Source
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.journal import RunInThread
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.admissions import SkippedRow, ToSend
from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.records import Prefix
from bulk_invite.domain.rows import Position, Row

Begin = Callable[[int, int, Callable[[], bool]], Generator[list[Row]]]
Mark = Callable[[Row], Position | Prefix | None]


def _no_mark(_row: Row) -> None:
    return None


def _position(row: Row) -> Position:
    return row.position


class OnePassIntake:
    """Admits every row of the sources once. Every method raises BulkInviteError.

    limit: maximum number of rows to send, or None. confirmed: the number of rows to send that the operator
    has confirmed, or None: if the sources have grown since, rows beyond it stay pending. in_thread: runs
    blocking calls.

    skipped: the intake of the rows that are not read again; it must run beside this one.

    left_over: rows that were read and not admitted. unconfirmed: rows that stay pending. read_to_end: whether
    no source has further rows, as far as can be known without waiting for some.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        admitter: Admitter,
        committer: Committer,
        stop: StopSwitch,
        *,
        limit: int | None = None,
        confirmed: int | None = None,
        in_thread: RunInThread = to_thread.run_sync,
    ) -> None:
        self.all_read = self.read_to_end = False
        self.left_over = self.unconfirmed = 0
        self.skipped = SkippedRows(admitter)
        self.files = KnownFiles(committer, admitter, self.skipped, stop, in_thread)
        self.tables = KnownTables(committer, stop, in_thread)
        self._begun: set[str] = set()
        self._sources = sources
        self._admitter = admitter
        self._committer = committer
        self._ask = committer.ask
        self._stop = stop
        self._remaining = limit
        self._confirmed = confirmed
        self._in_thread = in_thread

    @property
    def is_resumed(self) -> bool:
        return False

    @property
    def limit_reached(self) -> bool:
        """Whether reading stopped at the limit."""
        return self._remaining == 0

    async def run(self, hand_over: HandOver) -> None:
        """Read until the sources end, a limit is reached or the run drains."""
        if self._confirmed is not None:
            hand_over = partial(self._hand_over_confirmed, hand_over)
        try:
            at_end = [await self._take_in(source, hand_over) for source in self._sources]
        finally:
            self.skipped.end()
        self.all_read = not self._stop.draining
        self.read_to_end = self.all_read and all(at_end)

    async def _take_in(self, source: Source, hand_over: HandOver) -> bool:
        """Read to the end, the limit or a drain; whether the source has ended."""
        begin, mark = await self._begin(source, hand_over)
        with closing(begin(BATCH_ROWS, BATCH_BYTES, self._drains)) as batches:
            while not self._is_over and (batch := await self._in_thread(next, batches, None)):
                await self._take_in_batch(batch, hand_over, mark)
            ended = not self._is_over
            if not ended and source.size is not None and not self._stop.draining:
                # Only a file: another source might have to be waited for.
                ended = await self._is_at_end(batches)
        if ended and self._remaining is None and not self._stop.draining:
            await self._ask(lambda journal: journal.end_source(source.name, self._committer.campaign))
            await self.tables.finish(source)
        return ended

    async def _begin(self, source: Source, hand_over: HandOver) -> tuple[Begin, Mark]:
        """Admit what is to be read again, and return how to continue, and how to record it."""
        is_first = source.name not in self._begun
        self._begun.add(source.name)
        if isinstance(source, KeyedSource):
            return await self._begin_keyed(source, hand_over, is_first=is_first)
        # A file that is named twice has duplicates the second time.
        if isinstance(source, ResumableSource) and source.size is not None and is_first:
            return partial(source.batches, skips=await self.files.skip(source), marks=True), source.prefix_at
        return source.batches, _no_mark

    async def _is_at_end(self, batches: Generator[list[Row]]) -> bool:
        """Whether nothing was left over, and nothing follows."""
        try:
            following: list[Row] | None = await self._in_thread(next, batches, None)
        except SourceError:
            return False  # a run that reads no further does not fail for it
        self.left_over += len(following or ())
        return not self.left_over

    async def _begin_keyed(
        self, source: KeyedSource, hand_over: HandOver, *, is_first: bool
    ) -> tuple[Begin, Mark]:
        after = await self._ask(lambda journal: journal.watermark(source.name, self._committer.campaign))
        if after is not None:
            await self._resume(source, hand_over)
            return partial(source.batches, after=after), _position
        if is_first and (since := await self.tables.skip(source)) is not None:
            await self._resume(source, hand_over)
            return partial(source.batches, since=since), _no_mark
        return source.batches, _position

    async def _resume(self, source: KeyedSource, hand_over: HandOver) -> None:
        """Skip the rows that are created, and admit those that earlier runs left open."""
        await self._skip_created(source.name)
        last = ""
        while keys := await self._open_keys(source.name, last):
            if self._is_over or self._stop.draining:
                break
            rows = await self._in_thread(source.rows, keys, self._drains)
            await self._take_in_batch(rows, hand_over, _no_mark)
            last = keys[-1]

    async def _skip_created(self, source: str) -> None:
        campaign = self._committer.campaign
        if self._admitter.reports_rows:
            self.skipped.add(Listing(partial(self._created_rows, source), attrgetter("position.key")))
            return
        count = await self._ask(lambda journal: journal.count_created(source, campaign))
        self._admitter.skip_many(created=count)

    async def _created_rows(self, source: str, after: str) -> list[SkippedRow]:
        campaign = self._committer.campaign
        return await self._ask(lambda journal: journal.created_rows(source, campaign, after, PAGE))

    async def _open_keys(self, source: str, after: str) -> list[str]:
        campaign = self._committer.campaign
        return await self._ask(lambda journal: journal.open_keys(source, campaign, after, BATCH_ROWS))

    async def _take_in_batch(self, batch: Sequence[Row], hand_over: HandOver, mark: Mark) -> None:
        """Admit a batch; with a limit, in portions no larger than the number of rows that may still be sent.

        mark: says what to record of the position reached, so that a later run can resume from it.
        """
        # Reading cannot be cancelled; rows that arrive after a stop are not admitted.
        while batch and not self._is_over and not self._stop.draining:
            portion, batch = batch[: self._remaining], batch[self._remaining or len(batch) :]
            to_send = await self._admitter.admit(portion, hand_over, mark(portion[-1]))
            if self._remaining is not None:
                self._remaining -= to_send
        self.left_over += len(batch)

    async def _hand_over_confirmed(self, hand_over: HandOver, rows: list[ToSend]) -> None:
        """An invitation cannot be taken back: hand over no more rows than were confirmed."""
        assert self._confirmed is not None  # noqa: S101 - for the type checker
        confirmed = rows[: self._confirmed]
        self._confirmed -= len(confirmed)
        self.unconfirmed = len(rows) - len(confirmed)
        if confirmed:
            await hand_over(confirmed)

    @property
    def _is_over(self) -> bool:
        return self._remaining == 0 or bool(self.unconfirmed)

    def _drains(self) -> bool:
        return self._stop.draining
