"""Every code that the program knows has its own remedy, and none falls back to a general sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import topic

from bulk_invite.delivery.lookup import queries
from bulk_invite.domain import classify, matching
from bulk_invite.domain.remedies import _FALL_BACK, remedy_of
from bulk_invite.domain.verdicts import State
from bulk_invite.validation.service_model import load
from bulk_invite.validation.shape_validator import _CODES

_PACKAGE = Path(__file__).parents[2] / "bulk_invite"

_LOOK_UPS = {
    matching.SEVERAL_INVITATIONS,
    matching.SEVERAL_ROWS,
    matching.NOT_COMPARABLE,
    matching.DATED_BEFORE,
    queries.LOOK_UP_DENIED,
    queries.LOOK_UP_FAILED,
    queries.LOOK_UP_REFUSED,
}

_NO_CODE = {"HTTPClientError"}
"""An exception that is named by the one inside it, whatever that is."""


def _row_errors() -> Iterator[str]:
    """Codes that are written out where an error of a row is made, or are in the validator's table."""
    files = [*(_PACKAGE / "validation").glob("*.py"), _PACKAGE / "checkpoint" / "tables" / "edited_rows.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(ast.Name("RowError"), [_, ast.Constant(str(code)), *_]):
                    yield code
                case ast.Call(ast.Name("NotReadableError"), [ast.Constant(str(code)), *_]):
                    yield code
                case _:
                    pass
    yield from [*_CODES.values(), "wrong_type"]


def _answers() -> set[str]:
    """Codes and exceptions of the classifier's own tables."""
    tables = (value for value in vars(classify).values() if isinstance(value, frozenset))
    return set().union(*tables) | {classify.NO_ID, "AccessDeniedException", "AccessDenied"}


def _has_its_own(state: State, code: str) -> bool:
    return remedy_of(state, code) != _FALL_BACK[state]


def test_the_search_finds_all_codes() -> None:
    found = set(_row_errors())
    assert found >= {
        "date_in_past",
        "garbled_text",
        "missing",
        "wrong_catalog",
        "token_reused",
        "invalid_utf8",
        "too_deep",
    }
    assert {"ThrottlingException", "ValidationException", "TimeoutError", "ExpiredToken"} <= _answers()


@pytest.mark.parametrize("code", sorted(set(_row_errors())))
def test_every_code_of_a_rejected_row_has_its_own_remedy(code: str) -> None:
    assert _has_its_own(State.REJECTED, code)


@pytest.mark.parametrize(
    "code", sorted((_answers() | _LOOK_UPS | {"", "500", "503", "408", "429"}) - _NO_CODE)
)
def test_every_code_of_a_row_in_doubt_has_its_own_remedy(code: str) -> None:
    assert _has_its_own(State.IN_DOUBT, code)


def test_every_code_of_a_refused_row_has_its_own_remedy() -> None:
    named = load().shape("ValidationExceptionErrorCode")["enum"]
    refusals = {*classify.REFUSALS, "AccessDeniedException", "AccessDenied", "unnamed", *named}
    assert {code for code in refusals if not _has_its_own(State.FAILED, code)} == set()
    assert {code for code in refusals if "reconcile" not in remedy_of(State.IN_DOUBT, code)} == set()
    assert "limit of invitations" in remedy_of(State.DEFERRED, classify.FULL)


def test_the_remedy_of_a_pending_row_says_what_held_it_back() -> None:
    kept = {code for code in _answers() if _has_its_own(State.PENDING, code)}
    assert {"ThrottlingException", "ClientConnectorError", "ExpiredToken", "AccessDeniedException"} <= kept


@pytest.mark.parametrize("state", State)
def test_the_remedy_of_an_unknown_code_follows_the_state(state: State) -> None:
    assert remedy_of(state, "SomethingNew") == _FALL_BACK[state]
    assert remedy_of(state, "²") == _FALL_BACK[state]
    assert remedy_of(state, "other") == _FALL_BACK[state]


def test_the_manual_names_every_code() -> None:
    """Its table names every code that can leave a row for the operator to look at."""
    manual_text = topic("troubleshooting")
    in_the_table = {"token_reused", "changed_since_sent", "changed_since_refused", "key_of_another_source"}
    for code in in_the_table | _LOOK_UPS | classify.NOES | {"wrong_catalog", "AccessDeniedException"}:
        assert f"{code}" in manual_text, code
