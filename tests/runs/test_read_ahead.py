"""A dry run ends soon after a signal, whatever it is waiting for, and says how far it has come."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from threading import Event, Timer

import pytest
from rows import make_rows

from bulk_invite.domain.errors import StoppedError
from bulk_invite.domain.rows import Position, Row
from bulk_invite.runs.dry_run import DryRun
from bulk_invite.runs.output.dry_run_result import show_part
from bulk_invite.runs.output.summary import Summary
from bulk_invite.runs.read_ahead import read_ahead
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.validator import make_validator

_HANGS = 3.0
"""Seconds for which the source does not answer, whatever it is asked."""


class _HangingSource:
    """A file of ten rows, of which the first two come, on a disk that does not answer any more."""

    name, size, answering = "rows.ndjson", 1000, True
    consumed = lines = 0

    def __init__(self) -> None:
        self.hangs = Event()

    def batches(
        self, max_rows: int = 0, max_bytes: int = 0, stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Row]]:
        del max_rows, max_bytes, stop
        self.consumed, self.lines = 200, 2
        yield [
            Row(Position(self.name, line), json.dumps(row).encode())
            for line, row in enumerate(make_rows(2), start=1)
        ]
        self.hangs.set()
        time.sleep(_HANGS)


@pytest.fixture
def _handlers() -> Iterator[None]:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(each) for each in watched]
    yield
    for number, handler in zip(watched, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
def test_a_source_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings(checkpoint=str(tmp_path / "none.db"))
    source = _HangingSource()
    reading = DryRun([source], make_validator(settings), settings)
    sent: list[float] = []

    def stop() -> None:
        source.hangs.wait(10)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    Timer(0, stop).start()
    assert read_ahead(reading, settings) == signal.SIGTERM
    assert time.monotonic() - sent[0] < _HANGS / 2
    assert not list(tmp_path.iterdir())
    assert (reading.counts.rows, reading.forecast) == (2, None)
    not_read = reading.total.unread(reading.counts.rows, 0)
    show_part(Summary.of_run(reading.counts, 0.0), not_read, StoppedError(), as_json=False)
    part = "Stopped before the end: 2 of about 10 rows were read. This is not the whole. Nothing was sent.\n"
    assert capsys.readouterr().out.startswith(part)
