"""Valid rows, each with a unique message by which the ledger is searched, and files of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bulk_invite.validation import examples
from bulk_invite.validation.service_model import load

_EXAMPLES = examples(load())


def make_row(number: int, **members: Any) -> dict[str, Any]:
    """A row without Catalog and ClientToken, with its own engagement; odd numbers are leads."""
    row: dict[str, Any] = json.loads(json.dumps(_EXAMPLES[number % len(_EXAMPLES)]))
    del row["Catalog"], row["ClientToken"]
    row["EngagementIdentifier"] = f"eng-{number:014}"
    row["Invitation"]["Message"] = message(number)
    return {**row, **members}


def make_rows(count: int, *, start: int = 0, **members: Any) -> list[dict[str, Any]]:
    return [make_row(number, **members) for number in range(start, start + count)]


def message(number: int) -> str:
    return f"Would you join us on project {number:05}?"


def messages(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["Invitation"]["Message"] for row in rows]


def ndjson(rows: Iterable[dict[str, Any] | str]) -> bytes:
    """Lines of rows; a text is kept as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def write_rows(path: Path, rows: Sequence[dict[str, Any] | str]) -> Path:
    path.write_bytes(ndjson(rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]
