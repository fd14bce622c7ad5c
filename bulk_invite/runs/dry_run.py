"""`send --dry-run`: everything but the calls, against a copy of the checkpoint."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bulk_invite.checkpoint.storage.base import require_catalog
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.summary import Summary
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of, open_reader, tell_older
from bulk_invite.runs.wiring.pacing import make_forecast
from bulk_invite.runs.wiring.sources import Source
from bulk_invite.runs.wiring.token_check import bind
from bulk_invite.validation import RowValidator


def rehearse(
    sources: Sequence[Source],
    validator: RowValidator,
    settings: Settings,
    stop: Callable[[], bool],
) -> tuple[Summary, Forecast]:
    """Read, validate and look up every row; `pending` are those that would be sent (or sent again).

    Tells too how long that would take, with the calls of the last day counted. stop: asked now and then; true
    ends it early.

    The copy is thrown away, so nothing is written that a later run could see.
    """
    began = time.monotonic()
    tally = Tally(None)
    database = database_of(settings)
    with tempfile.TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / "rehearsal.db"
        if database.exists():
            with open_reader(settings) as reader:
                require_catalog(database, reader.catalog, settings.catalog)
                tell_older(reader)
                reader.copy_to(copy)
        with CheckpointWriter.open(copy, catalog=settings.catalog) as writer:
            writer.begin_run(time.time(), look_up_first=False)  # a copy, and meant to be one
            for source in sources:
                bind(writer, source, settings, stop)
                for batch in source.batches(stop=stop):
                    rows = [validator.validate(row) for row in batch]
                    admitted = writer.admit(
                        rows, campaign=settings.campaign, retry_failed=settings.retry_failed
                    )
                    for admission in admitted:
                        tally.took_in(admission)
            open_rows = tally.counts.states[State.PENDING] + tally.counts.states[State.IN_DOUBT]
            calls = open_rows if settings.limit is None else min(open_rows, settings.limit)
            expected = make_forecast(settings, writer, calls, time.time())
    return Summary.of_run(tally.counts, time.monotonic() - began), expected
