"""The sentences that begin a report, a summary and the result of `reconcile`."""

from __future__ import annotations

import pytest

from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.headline import headline
from bulk_invite.runs.output.reconciliation import show_reconciliation


@pytest.mark.parametrize(
    ("states", "earlier", "sentence"),
    [
        ({}, 0, "No row was read."),
        (dict.fromkeys(State, 0), 0, "No row was read."),
        ({}, 3, "3 of 3 invitations created (all before this run); nothing needs attention."),
        ({State.CREATED: 2, State.DUPLICATE: 5}, 0, "2 of 2 invitations created; nothing needs attention."),
        (
            {State.CREATED: 3828, State.FAILED: 96, State.REJECTED: 76},
            0,
            "3,828 of 4,000 invitations created; 172 need attention (96 failed, 76 rejected).",
        ),
        (
            {State.CREATED: 1, State.FAILED: 1, State.PENDING: 2, State.IN_DOUBT: 1, State.DEFERRED: 3},
            0,
            (
                "1 of 8 invitations created; 1 needs attention (1 failed); "
                "6 still open (3 deferred, 1 in doubt, 2 pending)."
            ),
        ),
        (
            {State.CREATED: 5},
            1000,
            "1,005 of 1,005 invitations created (5 in this run); nothing needs attention.",
        ),
        (
            {State.CREATED: 0, State.PENDING: 1},
            4,
            "4 of 5 invitations created (all before this run); 1 still open (1 pending).",
        ),
    ],
)
def test_the_headline_counts_invitations_and_rows_that_need_attention(
    states: dict[State, int], earlier: int, sentence: str
) -> None:
    assert headline(states, earlier) == sentence


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({}, "No row was read."),
        ({State.CREATED: 2}, "2 of 2 invitations created; the rest of the source was not read."),
        (
            {State.CREATED: 2, State.PENDING: 3},
            "2 of 5 invitations created; 3 still open (3 pending); the rest of the source was not read.",
        ),
    ],
)
def test_it_says_that_a_source_was_not_read_to_its_end(states: dict[State, int], sentence: str) -> None:
    assert headline(states, unread="the rest of the source was not read") == sentence


@pytest.mark.parametrize(
    ("states", "left", "sentence"),
    [
        ({}, 0, "0 rows resolved; 0 still in doubt."),
        ({State.CREATED: 1}, 2, "1 row resolved; 2 still in doubt."),
        ({State.CREATED: 1000, State.PENDING: 6}, 0, "1,006 rows resolved; 0 still in doubt."),
    ],
)
def test_reconcile_says_how_many_rows_it_has_resolved(
    states: dict[State, int], left: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_reconciliation(states, left, 1.0, as_json=False, checkpoint=" --checkpoint a.db")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == sentence
    assert ("bulk-invite export --state in_doubt --checkpoint a.db" in second) == bool(left)
    show_reconciliation(states, left, 1.0, as_json=True)
    assert capsys.readouterr().out.startswith("{")
