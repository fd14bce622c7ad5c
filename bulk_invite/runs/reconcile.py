"""One `reconcile`: looks up the rows in doubt, with the requests from their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from anyio.to_thread import run_sync

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.source import KeyedSource, Source
from bulk_invite.delivery.lookup.bulk_lookup import BulkLookup
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.errors import BulkInviteError, SourceError
from bulk_invite.domain.findings import DoubtfulRow, SettledRow, may_have_left_by
from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.standard_output import end_interrupted
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.pacing import make_clock
from bulk_invite.runs.wiring.partner_central import claim, connected, endpoint_of, make_group_lookup
from bulk_invite.runs.wiring.signals import handling_signals
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.ndjson import STDIN, NdjsonSource
from bulk_invite.validation import RowValidator

_log = structlog.get_logger()

_ROWS: Final = 5000
"""Rows looked up at a time; their requests take some megabytes."""

_KEYS: Final = 500
"""Rows read from a database at a time."""

_Doubtful = tuple[DoubtfulRow, Position, str]


async def settle_doubt(
    settings: Settings, writer: CheckpointWriter, named: Sequence[Source], stop: StopSwitch
) -> Counter[State]:
    """Look up every row in doubt; how many rows got which state. An error is in `stop.reason`.

    named: the sources that have the rows now; empty for those that they were read from.
    """
    states = Counter[State]()
    try:
        settle = partial(_settle, settings, writer, named, stop, states)
        await handling_signals(stop, settle, end_interrupted)
    except BulkInviteError as error:
        stop.drain(error)
    return states


async def _settle(
    settings: Settings,
    writer: CheckpointWriter,
    named: Sequence[Source],
    stop: StopSwitch,
    states: Counter[State],
) -> None:
    """states: incremented, also where an error ends the look-ups."""
    clock = make_clock()
    began = clock.wall()
    async with connected(settings, stop) as partner_central:
        if partner_central is None:
            return
        lookup = make_group_lookup(settings, partner_central, partial(_rows_of, writer), clock)
        bulk = BulkLookup(lookup, writer, stop, clock.wall, states)
        with stop.until_drain():
            await claim(writer, partner_central, endpoint_of(settings))
        after = ""
        while not stop.draining and (rows := await run_sync(writer.in_doubt, after, _ROWS)):
            after = rows[-1][0].engagement
            bodies = await run_sync(_bodies, settings, rows, named, partial(getattr, stop, "draining"))
            left_by = partial(may_have_left_by, call_timeout=settings.call_timeout, gone=began)
            await bulk.settle(
                [
                    replace(row, body=bodies.get(row.client_token), last_sent=left_by(row.last_sent))
                    for row, *_ in rows
                ]
            )
        await bulk.settle_later()


async def _rows_of(
    writer: CheckpointWriter, engagements: Sequence[str]
) -> tuple[list[DoubtfulRow], list[SettledRow]]:
    return await run_sync(writer.rows_of, engagements)


def _bodies(
    settings: Settings, rows: Sequence[_Doubtful], named: Sequence[Source], stop: Callable[[], bool]
) -> dict[str, bytes]:
    """The requests of rows by client token, from the sources that are available and have not changed.

    stop: polled; true ends it early.
    """
    wanted = {row.client_token: row.body_hash for row, _, _ in rows}
    found: dict[str, bytes] = {}
    validators = [
        make_validator(settings.model_copy(update={"campaign": campaign}))
        for campaign in sorted({campaign for _, _, campaign in rows})
    ]
    for source, lines in _sources(rows, named):
        try:
            for batch in _batches(source, rows, stop):
                for row in batch:
                    if lines is None or row.position.line in lines:
                        found |= dict(_matching(row, validators, wanted))
        except SourceError as error:
            if named:
                raise
            _log.warning("source.unavailable", source=source.name, reason=str(error))
    return found


def _batches(source: Source, rows: Sequence[_Doubtful], stop: Callable[[], bool]) -> Iterator[list[Row]]:
    """All rows of a source, or where they have keys those that are asked for."""
    if not isinstance(source, KeyedSource):
        yield from source.batches(stop=stop)
        return
    keys = [position.key for _, position, _ in rows if position.key]
    for first in range(0, len(keys), _KEYS):
        yield source.rows(keys[first : first + _KEYS], stop)


def _matching(
    row: Row, validators: Sequence[RowValidator], wanted: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Token and request of a row, where it is one of those wanted and as it was."""
    for validator in validators:
        valid = validator.validate(row)
        if isinstance(valid, Invitation) and wanted.get(valid.client_token) == valid.body_hash:
            yield valid.client_token, valid.body


def _sources(rows: Sequence[_Doubtful], named: Sequence[Source]) -> Iterator[tuple[Source, set[int] | None]]:
    """What is to be read, and which lines of it (None: all)."""
    if named:
        yield from ((source, None) for source in named)
        return
    places: dict[str, set[int]] = {}
    for _, position, _ in rows:
        places.setdefault(position.source, set()).add(position.line)
    for name, lines in places.items():
        if name == STDIN or not Path(name).is_file():
            _log.warning(
                "source.unavailable",
                source=name,
                rows=len(lines),
                next="if it has moved, name it on the command line",
            )
            continue
        try:
            yield NdjsonSource(name), lines
        except SourceError as error:
            _log.warning("source.unavailable", source=name, rows=len(lines), reason=str(error))
