"""Rows of `rejected.ndjson` that are sent again, corrected or not, in both kinds of checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from checkpoints import NOW, Place, admit, created, overview_of, records_of, writing
from fakes import TinyValidator, row

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.events import Sent
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.result_line import line_for

MISSING, LONG = RowError("$.a", "missing", ""), RowError("$.b", "too_long", "")


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A checkpoint in which two rows of a file were rejected."""
    place = Place(str(tmp_path / "checkpoint.db"))
    if request.param == "database":
        place = Place(request.getfixturevalue("db").url, "checkpoint")
    with writing(place) as writer:
        read(writer, Rejection(row(5, "x"), (MISSING, LONG)), Rejection(row(6, "x"), (MISSING,)))
    return place


def read(writer: CheckpointWriter, *batch: Invitation | Rejection, follows: bool = False) -> None:
    """Read a source to its end."""
    writer.admit(batch, campaign="", retry_failed=False, follows=follows)
    writer.end_source(batch[0].row.position.source, "")


def returned(
    line: int,
    first: int,
    *errors: RowError,
    source: str = "out/rejected.ndjson",
    said: str = "position",
    of: str = "rows",
) -> Row:
    """A row of a results file that was rejected in line `first` with these errors."""
    place = {"position": {"source": source, "line": 99}, said: {"source": of, "line": first}}
    known = [{"path": each.path, "code": each.code, "message": "m"} for each in errors]
    return Row(Position(source, line), orjson.dumps({"_bulk_invite": {**place, "errors": known}}))


def corrected(of: Row, token: str) -> Invitation:
    valid = TinyValidator().validate(row(1, token))
    assert isinstance(valid, Invitation)
    return Invitation(of, token, valid.body, valid.body_hash, valid.engagement, valid.payload_type)


def lines(place: Place) -> list[tuple[str, int, Sequence[str]]]:
    records = records_of(place, State.REJECTED)
    return [
        (each.position.source, each.position.line, [error.code for error in each.errors]) for each in records
    ]


@pytest.mark.parametrize("said", ["position", "origin"])
def test_a_rejected_row_that_is_sent_again_counts_once_and_not_at_all_when_it_is_valid(
    place: Place, said: str
) -> None:
    again = returned(1, 5, MISSING, LONG, said=said)
    partly = Rejection(again, (LONG,))
    for _ in range(2):  # the second time, an interrupted run has stored the errors that it has now
        with writing(place) as writer:
            admit(writer, partly, Rejection(returned(2, 6, MISSING, said=said), (MISSING,)))
        assert lines(place) == [("rows", 5, ["too_long"]), ("rows", 6, ["missing"])]
    valid = corrected(returned(1, 5, LONG, source="later.ndjson"), "t")
    for _ in range(2):
        with writing(place) as writer:
            read(writer, valid)
        assert overview_of(place).states == {State.REJECTED: 1, State.PENDING: 1}
        assert lines(place) == [("rows", 6, ["missing"])]
    with writing(place) as writer:  # the first file still has them
        read(writer, Rejection(row(5, "x"), (MISSING, LONG)), Rejection(row(6, "x"), (MISSING,)))
    assert [line for _, line, _ in lines(place)] == [5, 6]


def test_a_row_that_every_run_rejects_keeps_its_first_position(place: Place) -> None:
    rejected = Rejection(row(5, "x"), (MISSING, LONG))
    for line in (1, 2, 3):  # of the results file that the run before has written
        text = line_for(rejected.row, rejected.errors, "")
        rejected = Rejection(Row(Position("out/rejected.ndjson", line), text.encode()), (MISSING, LONG))
        with writing(place) as writer:
            read(writer, rejected)
        assert lines(place) == [("rows", 5, ["missing", "too_long"]), ("rows", 6, ["missing"])]


@pytest.mark.parametrize(
    "again",
    [
        returned(1, 5, MISSING),
        returned(1, 7, MISSING),
        returned(1, 6, MISSING, of="other"),
        returned(1, 6, MISSING, of="rows\0"),
        returned(1, 1 << 62, MISSING),
        returned(1, -6, MISSING),
        Row(Position("out/rejected.ndjson", 1), b'{"_bulk_invite": {"position": 1, "errors": [1]}}'),
        Row(Position("out/rejected.ndjson", 1), b'{"_bulk_invite": ['),
        Row(
            Position("out/rejected.ndjson", 1),
            b'{"_bulk_invite": {"position": {"source": "rows", "line": true}, "errors": []}}',
        ),
    ],
    ids=[
        "other errors",
        "other line",
        "other file",
        "nul",
        "huge",
        "negative",
        "other types",
        "no JSON",
        "no line",
    ],
)
def test_a_row_hides_no_other_row(place: Place, again: Row) -> None:
    with writing(place) as writer:
        read(writer, Rejection(again, (LONG,)))
    assert sorted(lines(place)) == [
        ("out/rejected.ndjson", 1, ["too_long"]),
        ("rows", 5, ["missing", "too_long"]),
        ("rows", 6, ["missing"]),
    ]
    with writing(place) as writer:
        read(writer, corrected(again, "t"))
    assert overview_of(place).states == {State.REJECTED: 2, State.PENDING: 1}


def test_two_rows_that_say_the_same_are_two_rows(place: Place) -> None:
    with writing(place) as writer:
        read(writer, *(Rejection(returned(line, 6, MISSING), (MISSING,)) for line in (1, 2)))
    assert sorted(lines(place)) == [
        ("out/rejected.ndjson", 2, ["missing"]),
        ("rows", 5, ["missing", "too_long"]),
        ("rows", 6, ["missing"]),
    ]


def test_a_followed_results_file_takes_its_rows_over(place: Place) -> None:
    again = Rejection(returned(1, 6, MISSING), (MISSING,))
    with writing(place) as writer:
        for _ in range(2):
            writer.admit([again], campaign="", retry_failed=False, follows=True)
    assert sorted(lines(place)) == [
        ("out/rejected.ndjson", 1, ["missing"]),
        ("rows", 5, ["missing", "too_long"]),
    ]


def test_a_row_that_was_edited_after_it_was_sent_keeps_its_first_position(place: Place) -> None:
    sent = replace(corrected(row(1, "t"), "t"), has_key_token=True)
    changed = RowError("$", "changed_since_sent", "")
    with writing(place) as writer:
        admit(writer, sent)
        writer.record([Sent("t", NOW)])
        writer.record([created("t")])
    for again in (row(7, "t"), *(returned(1, 7, changed, said=said) for said in ("position", "origin"))):
        with writing(place) as writer:
            admit(writer, replace(sent, row=again, body_hash="edited"))
        assert [each for each in lines(place) if each[2] == ["changed_since_sent"]] == [
            ("rows", 7, ["changed_since_sent"])
        ]
