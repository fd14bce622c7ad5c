"""Rows per second of `validate` (reading and checking), and of json.loads with botocore's ParamValidator.

    python tests/bench/bench_validate.py [--rows N] [--rounds N] [--json]

Rows are lines of a file, about 1 kB each: both payload types in turn, and each alone. The two sides take
turns, round by round. Time is CPU time, so that other work on the machine counts little; of each side the
best round and the median are shown.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import orjson

from bulk_invite.domain.rows import Rejection
from bulk_invite.sources.file import resolve
from bulk_invite.validation import RowValidator, examples
from bulk_invite.validation.service_model import FOLDER, load

ROW_BYTES = 1000


def write_rows(path: Path, count: int, kinds: Sequence[dict[str, object]]) -> float:
    """Write `count` valid rows without a token, the kinds in turn; returns their mean size in bytes."""
    with path.open("wb") as file:
        for number in range(count):
            row = kinds[number % len(kinds)]
            row["EngagementIdentifier"] = f"eng-{number:014d}"
            file.write(orjson.dumps(row) + b"\n")
    return path.stat().st_size / count


def sample_rows() -> dict[str, dict[str, object]]:
    """A row of about ROW_BYTES of each payload type, by that type."""
    rows: dict[str, dict[str, object]] = {}
    for example in examples(load()):
        text = orjson.dumps({name: value for name, value in example.items() if name != "ClientToken"})
        row = orjson.loads(text)
        payload = row["Invitation"]["Payload"]
        if opportunity := payload.get("OpportunityInvitation"):
            _as_usual(opportunity)
        message = row["Invitation"]["Message"]
        room = max(0, ROW_BYTES - len(orjson.dumps(row)))
        row["Invitation"]["Message"] = (message + " And so on." * 30)[: min(255, len(message) + room)]
        if lead := payload.get("LeadInvitation"):
            room = max(0, ROW_BYTES - len(orjson.dumps(row)))
            lead["Interaction"]["Usecase"] = (lead["Interaction"]["Usecase"] + " And so on." * 30)[
                : 60 + room
            ]
        rows[next(iter(payload))] = row
    return rows


def _as_usual(opportunity: dict[str, Any]) -> None:
    """Two contacts, responsibilities and sums in place of long texts: a usual opportunity of 1 kB."""
    contact = opportunity["SenderContacts"][0]
    opportunity["SenderContacts"] = [
        contact,
        {**contact, "Email": "tomas.okafor@example.com", "FirstName": "Tomas"},
    ]
    opportunity["ReceiverResponsibilities"] = ["Services Partner", "Reseller"]
    spend = dict(opportunity["Project"]["ExpectedCustomerSpend"][0])
    del spend["EstimationUrl"]
    opportunity["Project"]["ExpectedCustomerSpend"] = [spend, {**spend, "CurrencyCode": "EUR"}]
    opportunity["Project"]["BusinessProblem"] = "Stock reports take eleven hours."


def ours(path: Path) -> int:
    validator = RowValidator(
        load(), catalog="Sandbox", campaign="bench", today=dt.datetime.now(tz=dt.UTC).date()
    )
    valid = 0
    for source in resolve([str(path)]):
        for batch in source.batches(500, 1 << 20):
            valid += sum(not isinstance(validator.check(row), Rejection) for row in batch)
    return valid


def botocores(path: Path) -> int:
    loader = botocore.loaders.Loader()
    loader.search_paths.insert(0, str(FOLDER))
    model = botocore.model.ServiceModel(loader.load_service_model("partnercentral-selling", "service-2"))
    shape = model.operation_model("CreateEngagementInvitation").input_shape
    validator = botocore.validate.ParamValidator()
    valid = 0
    with path.open("rb") as file:
        for line in file:
            request = json.loads(line)
            request["ClientToken"] = "made-up-by-the-sdk"
            valid += not validator.validate(request, shape).has_errors()
    return valid


def rate(side: Callable[[Path], int], path: Path, count: int) -> float:
    started = time.process_time()
    valid = side(path)
    elapsed = time.process_time() - started
    if valid != count:
        raise SystemExit(
            f"{side.__name__}: only {valid} of {count} rows are valid; the figure would mean nothing"
        )
    return count / elapsed


def measure(rows: int, rounds: int) -> dict[str, dict[str, float]]:
    """Figures by payload type, and of both in turn."""
    samples = sample_rows()
    kinds = {"both": list(samples.values()), **{name: [row] for name, row in samples.items()}}
    with tempfile.TemporaryDirectory() as folder:
        return {name: _measure(Path(folder) / name, rows, rounds, kind) for name, kind in kinds.items()}


def _measure(path: Path, rows: int, rounds: int, kinds: Sequence[dict[str, object]]) -> dict[str, float]:
    row_bytes = write_rows(path, rows, kinds)
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(rate(ours, path, rows))
        theirs.append(rate(botocores, path, rows))
    return {
        "rows": rows,
        "row_bytes": round(row_bytes),
        "rows_per_s": round(max(mine)),
        "rows_per_s_median": round(statistics.median(mine)),
        "botocore_rows_per_s": round(max(theirs)),
        "botocore_rows_per_s_median": round(statistics.median(theirs)),
        "ratio": round(max(mine) / max(theirs), 2),
        "ratio_of_medians": round(statistics.median(mine) / statistics.median(theirs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    figures = measure(options.rows, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    for kind, numbers in figures.items():
        print(kind)
        for name, figure in numbers.items():
            print(f"  {name:28} {figure:>12,}")


if __name__ == "__main__":
    main()
