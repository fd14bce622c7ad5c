"""The sentences at the end of a run: what needs something, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.next_steps import End, Outcome, counted, sentences

_RESULTS = Path("out")
_SAME = "Run the same command to continue."


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(End.FINISHED, {State.CREATED: 2}), ["2 of 2 invitations created; nothing needs attention."]),
        (
            Outcome(
                End.FINISHED,
                {State.CREATED: 19, State.REJECTED: 1, State.DUPLICATE: 1},
                earlier=20,
                codes={State.REJECTED: {"missing": 1}},
                results=_RESULTS,
            ),
            [
                "39 of 40 invitations created (19 in this run); 1 needs attention.",
                "1 row was rejected (missing): out/rejected.ndjson (fix and send it).",
            ],
        ),
        (
            Outcome(End.FINISHED, {State.REJECTED: 1}, in_databases=True),
            [
                "0 of 1 invitations created; 1 needs attention.",
                (
                    "1 row was rejected: fix it in the database and run the same command; bulk-invite export "
                    "--state rejected lists it."
                ),
            ],
        ),
        (
            Outcome(End.FINISHED, {State.REJECTED: 2}, results=Path("my out")),
            [
                "0 of 2 invitations created; 2 need attention.",
                "2 rows were rejected: 'my out/rejected.ndjson' (fix and send them).",
            ],
        ),
        (
            Outcome(
                End.FINISHED,
                {State.REJECTED: 60, State.FAILED: 3},
                codes={
                    State.REJECTED: {"wrong_catalog": 10, "not_json": 48, "missing": 1, "too_long": 1},
                    State.FAILED: {"ResourceNotFoundException": 3},
                },
                checkpoint=" --checkpoint live.db",
            ),
            [
                "0 of 63 invitations created; 63 need attention.",
                (
                    "60 rows were rejected (not_json 48, wrong_catalog 10, missing 1, 1 more): add "
                    "--results DIR to the same command to get them in a file, to fix and send."
                ),
                (
                    "3 rows failed (ResourceNotFoundException): bulk-invite export --state failed "
                    "--checkpoint live.db lists them; --retry-failed sends them unchanged."
                ),
            ],
        ),
        (
            Outcome(End.FINISHED, {State.FAILED: 3}, failed_before=2, results=_RESULTS, published=False),
            [
                "0 of 3 invitations created; 3 need attention.",
                (
                    "1 row failed: out/failed.ndjson.partial (fix and send them); --retry-failed sends "
                    "them unchanged."
                ),
                "2 rows failed in an earlier run and were not sent again: --retry-failed retries them.",
            ],
        ),
        (
            Outcome(End.FINISHED, {State.FAILED: 1}, failed_before=1),
            [
                "0 of 1 invitations created; 1 needs attention.",
                (
                    "1 row failed in an earlier run and was not sent again: --retry-failed retries it; "
                    "bulk-invite export --state failed lists it."
                ),
            ],
        ),
        (
            Outcome(End.FINISHED, {State.DEFERRED: 2, State.IN_DOUBT: 1, State.CREATED: 1}),
            [
                "1 of 4 invitations created; 3 still open.",
                (
                    "2 rows are deferred, because their engagements are full: run the same command when they "
                    "have room again, or invite to other engagements; bulk-invite export --state deferred "
                    "lists them."
                ),
                (
                    "1 row is in doubt (it is unknown whether it was invited): run the same command "
                    "later, or bulk-invite reconcile; bulk-invite export --state in_doubt says why."
                ),
            ],
        ),
        (
            Outcome(End.LIMIT, {State.CREATED: 20}, not_read=3971, limit=20),
            [
                "20 of 20 invitations created; about 4,000 rows were not read.",
                (
                    "Stopped at --limit 20. Run the same command to send up to 20 more, or without "
                    "--limit to send the rest."
                ),
            ],
        ),
        (
            Outcome(End.LIMIT, {State.CREATED: 20}, not_read=None, limit=20),
            [
                "20 of 20 invitations created; the rest of the source was not read.",
                (
                    "Stopped at --limit 20. Run the same command to send up to 20 more, or without "
                    "--limit to send the rest."
                ),
            ],
        ),
        (
            Outcome(End.LIMIT, {State.CREATED: 20}, not_read=0, limit=20),
            ["20 of 20 invitations created; nothing needs attention."],
        ),
        (
            Outcome(End.CONFIRMED, {State.CREATED: 20, State.PENDING: 1}, not_read=0),
            [
                "20 of 21 invitations created; 1 still open.",
                (
                    "Stopped at the number of invitations that was confirmed: the sources have more rows to "
                    "send now. Run the same command to send them, too."
                ),
                "1 row was read and not sent.",
            ],
        ),
        (
            Outcome(End.STOPPED, {}, not_read=None),
            ["No row was read.", f"Stopped before the end. {_SAME}"],
        ),
        (
            Outcome(
                End.STOPPED,
                {State.CREATED: 5, State.PENDING: 3, State.DEFERRED: 1, State.IN_DOUBT: 2},
                not_read=1,
                parked="parked until 14:05 CET: daily quota",
            ),
            [
                "5 of 11 invitations created; 6 still open; about 1 row was not read.",
                f"Stopped before the end. Sending was parked until 14:05 CET: daily quota. {_SAME}",
                "1 row is deferred, because its engagement is full.",
                (
                    "2 rows are in doubt (it is unknown whether they were invited); bulk-invite export "
                    "--state in_doubt says why."
                ),
                "3 rows were read and not sent.",
            ],
        ),
        (
            Outcome(End.ABORTED, {State.IN_DOUBT: 1}, not_read=0),
            [
                "0 of 1 invitations created; 1 still open.",
                f"Interrupted: calls in flight were aborted. {_SAME}",
                (
                    "1 row is in doubt (it is unknown whether it was invited); bulk-invite export "
                    "--state in_doubt says why."
                ),
            ],
        ),
        (
            Outcome(End.ERROR, {State.CREATED: 1, State.PENDING: 1}, not_read=123_456),
            [
                "1 of 2 invitations created; 1 still open; about 120,000 rows were not read.",
                "1 row was read and not sent.",
            ],
        ),
        (
            Outcome(
                End.FINISHED, {State.CREATED: 9}, warned=2, codes={"warning": {"past_date": 2, "padded": 1}}
            ),
            [
                "9 of 9 invitations created; nothing needs attention.",
                "2 rows have warnings (past_date 2, padded 1): bulk-invite validate lists them.",
            ],
        ),
        (
            Outcome(
                End.FINISHED,
                {State.CREATED: 9},
                same_receiver=7,
                twins=[Position("may.ndjson", 3), Position("may.ndjson", 7), Position("leads", key="a")],
            ),
            [
                "9 of 9 invitations created; nothing needs attention.",
                (
                    "7 rows have the same engagement and account as another row (may.ndjson:3, :7, leads:a "
                    "and 4 more): --on-same-receiver skip leaves such rows out; -v logs all of them, and "
                    "bulk-invite report lists those that were sent."
                ),
            ],
        ),
        (
            Outcome(
                End.FINISHED,
                {State.CREATED: 1, State.DUPLICATE: 1},
                same_receiver=1,
                twins=[Position("may.ndjson", 3)],
                skips_them=True,
            ),
            [
                "1 of 1 invitations created; nothing needs attention.",
                (
                    "1 row has the same engagement and account as another row and was not sent "
                    "(may.ndjson:3): --on-same-receiver send sends it, too."
                ),
            ],
        ),
        (
            Outcome(
                End.FINISHED,
                {State.REJECTED: 7, State.FAILED: 1},
                codes={
                    State.REJECTED: {
                        "changed_since_sent": 3,
                        "changed_since_called": 2,
                        "changed_since_refused": 1,
                        "missing": 1,
                    },
                },
                has_keys=True,
                results=_RESULTS,
            ),
            [
                "0 of 8 invitations created; 8 need attention.",
                (
                    "3 rows were changed after their invitations were sent; the invitations stay as they "
                    "were: the change is not sent."
                ),
                (
                    "2 rows were changed after calls that created no invitations, and are not sent: undo the "
                    "change, or give the changed row another key."
                ),
                (
                    "1 row was changed after the service had refused it, and is not sent: give the changed "
                    "row another key."
                ),
                "1 row was rejected (missing): out/rejected.ndjson (fix and send it).",
                (
                    "1 row failed: out/failed.ndjson (fix, change the key, and send it); --retry-failed "
                    "sends it unchanged."
                ),
            ],
        ),
        (
            Outcome(End.FINISHED, {State.DUPLICATE: 3}),
            ["Every row is a duplicate of another one; nothing needs attention."],
        ),
    ],
)
def test_each_kind_of_row_has_one_sentence_with_the_next_step(outcome: Outcome, said: list[str]) -> None:
    assert sentences(outcome) == said


def test_codes_are_named_by_frequency() -> None:
    assert counted({"a": 1, "c": 1000, "b": 1}) == ["c 1,000", "a 1", "b 1"]
