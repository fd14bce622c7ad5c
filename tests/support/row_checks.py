"""Rows to validate: the examples, changed in one place or another."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import orjson

from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.validation import RowValidator, examples
from bulk_invite.validation.service_model import load

MODEL = load()
TODAY = dt.date(2026, 5, 1)
VALIDATOR = RowValidator(MODEL, catalog="Sandbox", campaign="spring", today=TODAY)
OPPORTUNITY: dict[str, Any]
LEAD: dict[str, Any]
OPPORTUNITY, LEAD = examples(MODEL)
PAYLOAD = "$.Invitation.Payload.OpportunityInvitation"


def validate(data: bytes, validator: RowValidator = VALIDATOR) -> Invitation | Rejection:
    row = Row(Position("rows.ndjson", 1), data)
    result = validator.validate(row)
    if isinstance(result, Invitation):
        result = result.as_new()
    # The command `validate` asks without making an invitation: it must hear the same of every row.
    assert validator.check(row) == (result if isinstance(result, Rejection) else result.warnings)
    return result


def accepted(data: bytes, validator: RowValidator = VALIDATOR) -> Invitation:
    result = validate(data, validator)
    assert isinstance(result, Invitation), result
    return result


def rejected(data: bytes) -> dict[str, str]:
    """Codes by path; two at one path are joined."""
    result = validate(data)
    assert isinstance(result, Rejection)
    assert result.errors
    found: dict[str, str] = {}
    for error in result.errors:
        assert "\n" not in error.message + error.path
        found[error.path] = f"{found[error.path]} {error.code}" if error.path in found else error.code
    return found


def changed(path: str, value: object, row: dict[str, Any] = OPPORTUNITY) -> bytes:
    """The row with `value` at a dotted path; `...` takes the member away."""
    row = copy.deepcopy(row)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = row
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return orjson.dumps(row)


def without(row: dict[str, Any], *members: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in members}


def places(value: object, path: str = "") -> list[str]:
    """Dotted paths of every member and element below `value`."""
    items: list[tuple[object, object]] = []
    if isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
    steps = [(f"{path}.{step}".removeprefix("."), inner) for step, inner in items]
    return [place for step, inner in steps for place in (step, *places(inner, step))]


def at(value: Any, place: str) -> object:
    for step in place.split("."):
        value = value[int(step) if step.isdigit() else step]
    return value
