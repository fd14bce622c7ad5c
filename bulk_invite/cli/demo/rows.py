"""The rows of the demo: mostly valid, plus a few of every problem that real exports have."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bulk_invite.validation import examples, service_model

PER_ENGAGEMENT: Final = 9
"""Invitations that one engagement allows."""

UNKNOWN_ENGAGEMENT: Final = "eng-0000000unknown"
FORBIDDEN_ENGAGEMENT: Final = "eng-00000forbidden"

_FULL_ENGAGEMENT: Final = "eng-0000000popular"
_PLAIN, _FULL, _UNKNOWN, _FORBIDDEN, _INVALID, _DUPLICATE = 440, 12, 8, 6, 10, 24


@dataclass(frozen=True, slots=True)
class DemoRows:
    """What the demo sends. Every row has a unique message, by which it is found in the ledger.

    to_arrive: messages that must be in the ledger exactly once. at_will: messages of one full engagement, of
    which exactly `PER_ENGAGEMENT` must be there.
    """

    lines: list[bytes]
    to_arrive: frozenset[str]
    at_will: frozenset[str]

    @property
    def expected(self) -> dict[str, int]:
        """Rows by the state in which they must end."""
        return {
            "created": _PLAIN + PER_ENGAGEMENT,
            "deferred": _FULL - PER_ENGAGEMENT,
            "failed": _UNKNOWN + _FORBIDDEN,
            "rejected": _INVALID,
            "duplicate": _DUPLICATE,
        }


def make_rows(chance: random.Random) -> DemoRows:
    """Some 500 rows in random order; the same `chance` gives the same rows."""
    templates = examples(service_model.load())
    plain = [_row(templates, n, f"eng-{n // PER_ENGAGEMENT:014}") for n in range(_PLAIN)]
    full = [_row(templates, _PLAIN + n, _FULL_ENGAGEMENT) for n in range(_FULL)]
    refused = [_row(templates, 1000 + n, UNKNOWN_ENGAGEMENT) for n in range(_UNKNOWN)]
    refused += [_row(templates, 2000 + n, FORBIDDEN_ENGAGEMENT) for n in range(_FORBIDDEN)]
    lines = [orjson.dumps(row) for row in [*plain, *full, *refused, *chance.sample(plain, _DUPLICATE)]]
    lines += list(_invalid(templates))
    chance.shuffle(lines)
    return DemoRows(lines, frozenset(map(message_of, plain)), frozenset(map(message_of, full)))


def message_of(request: dict[str, Any]) -> str:
    message: str = request["Invitation"]["Message"]
    return message


def _row(templates: list[dict[str, Any]], number: int, engagement: str) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads(orjson.dumps(templates[number % len(templates)]))
    row.pop("ClientToken", None)
    row.pop("Catalog", None)
    row["EngagementIdentifier"] = engagement
    row["Invitation"]["Receiver"]["Account"]["AwsAccountId"] = f"{200_000_000_000 + number}"
    row["Invitation"]["Message"] = f"Would you join us on project {number:04}?"
    return row


def _invalid(templates: list[dict[str, Any]]) -> Iterator[bytes]:
    """Typical mistakes of an export: truncated lines, misspelled members, empty values, the wrong catalog."""
    for number in range(_INVALID):
        row = _row(templates, 3000 + number, "eng-00000000000000")
        match number % 5:
            case 0:
                yield orjson.dumps(row)[:-20]
                continue
            case 1:
                row["EngagementIdentifier"] = "ENG-1"
            case 2:
                row["Invitation"]["Messsage"] = row["Invitation"].pop("Message")
            case 3:
                row["Invitation"]["Message"] = ""
            case 4:
                row["Catalog"] = "AWS"
        yield orjson.dumps(row)
