"""`send --dry-run`: everything except the calls, on a copy of the checkpoint."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bulk_invite.checkpoint.storage.base import require_catalog
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import Source
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.summary import Summary
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of, open_reader, warn_if_stale
from bulk_invite.runs.wiring.pacing import make_forecast
from bulk_invite.runs.wiring.token_check import bind
from bulk_invite.validation import RowValidator


def dry_run(
    sources: Sequence[Source], validator: RowValidator, settings: Settings, stop: Callable[[], bool]
) -> tuple[Summary, Forecast]:
    """Read, validate and look up every row; the pending ones would be sent.

    The forecast says how long that would take. stop: polled; true ends the dry run early. The copy of the
    checkpoint is deleted, so a later run sees nothing of it.
    """
    began = time.monotonic()
    tally = Tally(None)
    with tempfile.TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / "rehearsal.db"
        _copy_checkpoint(settings, copy)
        with CheckpointWriter.open(copy, catalog=settings.catalog) as writer:
            writer.begin_run(
                time.time(),
                look_up_first=False,  # the copy of a checkpoint would look stale
                on_same_receiver=OnSameReceiver(settings.on_same_receiver),
            )
            bind(writer, sources, settings, stop)
            for source in sources:
                for batch in source.batches(stop=stop):
                    rows = [validator.validate(row) for row in batch]
                    admitted = writer.admit(
                        rows, campaign=settings.campaign, retry_failed=settings.retry_failed
                    )
                    for admission in admitted:
                        tally.took_in(admission)
            open_rows = tally.counts.states[State.PENDING] + tally.counts.states[State.IN_DOUBT]
            calls = open_rows if settings.limit is None else min(open_rows, settings.limit)
            forecast = make_forecast(settings, writer, calls, time.time())
    return Summary.of_run(tally.counts, time.monotonic() - began), forecast


def _copy_checkpoint(settings: Settings, copy: Path) -> None:
    """Copy the checkpoint, if there is one. Raises CheckpointError."""
    database = database_of(settings)
    if database.exists():
        with open_reader(settings) as reader:
            require_catalog(database, reader.catalog, settings.catalog)
            warn_if_stale(reader)
            reader.copy_to(copy)
