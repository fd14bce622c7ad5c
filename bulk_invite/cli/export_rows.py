"""The rows that `export` writes: one JSON object or one line of CSV each."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TextIO

import orjson

from bulk_invite.cli.csv_cells import cell
from bulk_invite.domain.clock import exact_utc_text
from bulk_invite.domain.records import Record
from bulk_invite.domain.texts import escaped_json
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.late_log import LateLog
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader

COLUMNS: Final = (
    *("token", "state", "EngagementIdentifier", "payload_type", "Id", "Arn", "code", "attempts"),
    *("first_sent", "last_sent", "evidence", "source", "line", "key", "errors"),
    *("campaign", "label", "duplicate_of"),
)
"""Of CSV. Scripts read columns by number, too: new ones come last."""


def export_rows(settings: Settings, states: Sequence[State], output_format: Literal["ndjson", "csv"]) -> None:
    """Write the rows in these states, or all, to standard output. Raises CheckpointError."""
    with open_reader(settings, LateLog(settings).set_up) as checkpoint:
        records = checkpoint.records(states)
        write = write_csv if output_format == "csv" else write_ndjson
        write(records, sys.stdout)


def write_ndjson(records: Iterable[Record], file: TextIO) -> None:
    file.writelines(escaped_json(orjson.dumps(as_object(record)).decode()) + "\n" for record in records)


def write_csv(records: Iterable[Record], file: TextIO) -> None:
    """Write a header, and one line for each row."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        values = _cells(record)
        writer.writerow([cell(values[name]) for name in COLUMNS])


def as_object(record: Record) -> dict[str, Any]:
    """The members of a row; None where there is no value."""
    return {
        "token": record.client_token or None,
        "state": record.state,
        "position": record.position.members(),
        "campaign": record.campaign,
        "label": record.label or None,
        "EngagementIdentifier": record.engagement or None,
        "payload_type": record.payload_type or None,
        "Id": record.invitation_id or None,
        "Arn": record.arn or None,
        "code": record.code or None,
        "errors": [{"path": error.path, "code": error.code} for error in record.errors],
        "duplicate_of": None if record.duplicate_of is None else record.duplicate_of.members(),
        "attempts": record.attempts,
        "first_sent": _time(record.first_sent),
        "last_sent": _time(record.last_sent),
        "evidence": orjson.loads(record.evidence) if record.evidence else None,
    }


def _cells(record: Record) -> dict[str, Any]:
    values = as_object(record) | {"evidence": record.evidence}
    values |= {"source": "", "line": "", "key": "", **values.pop("position")}
    values["errors"] = "; ".join(f"{error.code} at {error.path}" for error in record.errors)
    values["duplicate_of"] = "" if record.duplicate_of is None else str(record.duplicate_of)
    return values


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else exact_utc_text(epoch)
