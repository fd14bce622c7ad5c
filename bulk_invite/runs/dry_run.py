"""Everything except the calls, on a copy of the checkpoint: `send --dry-run`, and what a prompt shows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.storage.base import require_catalog
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import KeyedSource, ResumableSource, Source
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.domain.admissions import Admission, SameReceiver, ToSend
from bulk_invite.domain.records import PrefixRows
from bulk_invite.domain.rows import Row
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of, open_reader_of_any, warn_if_stale
from bulk_invite.runs.wiring.pacing import make_forecast
from bulk_invite.runs.wiring.token_check import bind
from bulk_invite.runs.wiring.validator import row_basis
from bulk_invite.validation import RowValidator

_BATCH_ROWS: Final = 2000
_BATCH_BYTES: Final = 4 << 20
"""More than a run admits at once: no call waits for a batch, and fewer transactions cost less."""

TO_SEND: Final = "to_send"
DEFERRED: Final = "deferred"
REFUSED: Final = "refused"
SKIPPED: Final = "skipped"


class DryRun:
    """Reads, validates and looks up every row; the pending ones would be sent. `run` it once, in a thread.

    limit: read only up to this number of rows to send. counts, kinds: as far as it has come; kinds has the
    rows to send, those of them that were deferred or refused in an earlier run, and the rows that are skipped
    because of their engagement and account. forecast, engagements: how long the rows to send would take, and
    how many engagements they have; at the end of `run`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        validator: RowValidator,
        settings: Settings,
        *,
        limit: int | None = None,
    ) -> None:
        self.total = RowTotal(sources)
        self.kinds = Counter[str]()
        self.forecast: Forecast | None = None
        self.engagements = 0
        self._sources = sources
        self._validator = validator
        self._settings = settings
        self._limit = limit
        self._tally = Tally(None)
        self._stopped = Event()

    @property
    def counts(self) -> Counts:
        return self._tally.counts

    @property
    def is_whole(self) -> bool:
        """Whether it has come to its end."""
        return self.forecast is not None

    @property
    def limit_reached(self) -> bool:
        return self.kinds[TO_SEND] == self._limit

    def stop(self) -> None:
        """End `run` soon, also from another thread."""
        self._stopped.set()

    def run(self, folder: Path) -> None:
        """Read the rows. folder: for the copy of the checkpoint. Raises BulkInviteError."""
        copy, settings = folder / "rehearsal.db", self._settings
        self._copy_checkpoint(copy)
        with CheckpointWriter.open(copy, catalog=settings.catalog) as writer:
            writer.begin_run(
                time.time(),
                look_up_first=False,  # the copy of a checkpoint would look stale
                on_same_receiver=OnSameReceiver(settings.on_same_receiver),
                basis=row_basis(settings),
            )
            bind(writer, self._sources, settings, self._stopped.is_set)
            for source in self._sources:
                self._read(source, writer)
            if self._stopped.is_set():
                return
            states = self.counts.states
            open_rows = states[State.PENDING] + states[State.IN_DOUBT]
            calls = open_rows if settings.limit is None else min(open_rows, settings.limit)
            forecast = make_forecast(settings, writer, calls, time.time())
        with CheckpointReader(copy) as reader:
            self.engagements = reader.engagements_to_send()
        self.forecast, self.counts.all_read = forecast, True

    def _copy_checkpoint(self, copy: Path) -> None:
        """Copy the checkpoint, if there is one."""
        database = database_of(self._settings)
        if (reader := open_reader_of_any(self._settings)) is not None:
            with reader:
                require_catalog(database, reader.catalog, self._settings.catalog)
                warn_if_stale(reader)
                reader.copy_to(copy)

    def _read(self, source: Source, writer: CheckpointWriter) -> None:
        begin = source.batches
        if isinstance(source, ResumableSource):
            begin = partial(source.batches, skips=self._skip(source, writer))
        elif isinstance(source, KeyedSource) and (since := self._skip_created(source, writer)):
            begin = partial(source.batches, since=since)
        with closing(begin(_BATCH_ROWS, _BATCH_BYTES, self._stopped.is_set)) as batches:
            while not self._is_over and (batch := next(batches, None)):
                self._admit(batch, writer)

    def _skip(self, source: ResumableSource, writer: CheckpointWriter) -> PrefixRows | None:
        """Count the rows that a run would not read again; None if it would read all of them."""
        campaign, rows = self._settings.campaign, None
        known = writer.prefixes.known(source.name, campaign) if source.size is not None else None
        if known is not None and known.is_current and source.begins_with(known.prefix, self._stopped.is_set):
            rows = writer.prefixes.rows(source.name, campaign, failed_again=self._settings.retry_failed)
        if rows is not None:
            writer.prefixes.recognize(source.name, campaign, failed_again=self._settings.retry_failed)
            self._tally.skipped_many(rows.created, rows.failed)
        return rows

    def _skip_created(self, source: KeyedSource, writer: CheckpointWriter) -> str | None:
        """Likewise for a database: admit its open rows, and return the mark after which to read."""
        name, campaign, stop = source.name, self._settings.campaign, self._stopped.is_set
        mark = writer.prefixes.finished(name, campaign)
        unchanged = None if mark is None else source.unchanged(mark, stop)
        if unchanged is None or not writer.prefixes.recognize_finished(name, campaign, unchanged):
            return None
        self._tally.skipped_many(writer.count_created(name, campaign), 0)
        last = ""
        while not self._is_over and (keys := writer.open_keys(name, campaign, last, _BATCH_ROWS)):
            self._admit(source.rows(keys, stop), writer)
            last = keys[-1]
        return mark

    def _admit(self, batch: Sequence[Row], writer: CheckpointWriter) -> None:
        """Admit a batch; with a limit, in portions like a run."""
        while batch and not self._is_over:
            room = None if self._limit is None else self._limit - self.kinds[TO_SEND]
            portion, batch = batch[:room], batch[len(batch) if room is None else room :]
            rows = [self._validator.validate(row) for row in portion]
            campaign, retry_failed = self._settings.campaign, self._settings.retry_failed
            for admission in writer.admit(rows, campaign=campaign, retry_failed=retry_failed):
                self._tally.took_in(admission)
                self._count(admission)

    def _count(self, admission: Admission) -> None:
        match admission:
            case ToSend(deferred=deferred, refused=refused):
                self.kinds[TO_SEND] += 1
                self.kinds[DEFERRED] += deferred
                self.kinds[REFUSED] += refused
            case SameReceiver():
                self.kinds[SKIPPED] += 1
            case _:
                pass

    @property
    def _is_over(self) -> bool:
        return self._stopped.is_set() or self.limit_reached
