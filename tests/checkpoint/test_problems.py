"""Why rows have no invitation, counted and one by one, in both kinds of checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import NOW, Place, admit, answered, settle, writing
from fakes import invitation, row

from bulk_invite.checkpoint.tables import problems
from bulk_invite.domain.events import Sent
from bulk_invite.domain.records import Failure, Problem
from bulk_invite.domain.rows import Position, Rejection, RowError
from bulk_invite.domain.verdicts import State


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(str(tmp_path / "checkpoint.db"))
    return Place(request.getfixturevalue("db").url, "checkpoint")


def error(path: str, code: str) -> RowError:
    return RowError(path, code, "what the row says")


def filled(place: Place) -> None:
    """Rows in every state; two of the errors are said of two rows each."""
    both = (error("$.a", "missing"), error("$.b", "too_long"), error("$.b", "too_long"))
    refused = (error("$.Invitation.Message", "INVALID_VALUE"),)
    with writing(place) as writer:
        rejected = [Rejection(row(5, "x"), both), Rejection(row(6, "x"), both[:1])]
        admit(writer, *(invitation(name, line=line) for line, name in enumerate("abcdefg", 7)), *rejected)
        settle(writer, "a")
        for at, name in enumerate("bcde"):
            writer.record([Sent(name, NOW + at)])
        writer.record([answered("b", State.FAILED, "refused", code="ValidationException", errors=refused)])
        writer.record([answered("c", State.FAILED, "conflict", code="ConflictException")])
        writer.record([answered("d", State.IN_DOUBT, "doubtful", code="TimeoutError", doubt_since=NOW)])
        writer.record([answered("f", State.DEFERRED, "set_aside", code="EngagementFull")])


def test_rows_are_counted_by_state_and_code(place: Place) -> None:
    filled(place)
    with place.reader() as reader:
        found = reader.problems()
    assert found == [
        Problem(State.REJECTED, "missing", "$.a", 2),
        Problem(State.DEFERRED, "EngagementFull", "$", 1),
        Problem(State.FAILED, "ConflictException", "$", 1),
        Problem(State.FAILED, "INVALID_VALUE", "$.Invitation.Message", 1),
        Problem(State.IN_DOUBT, "", "$", 1),
        Problem(State.IN_DOUBT, "TimeoutError", "$", 1),
        Problem(State.REJECTED, "too_long", "$.b", 1),
    ]


def test_the_first_rows_of_each_problem_are_listed_by_position(place: Place) -> None:
    filled(place)
    with writing(place, at=NOW + 1) as writer:
        admit(writer, Rejection(row(70, "x", "a rows"), (error("$.a", "missing"),)))
    with place.reader() as reader:
        found = reader.proof(NOW).first_rows
    lines = {
        reason: [(each.position.source, each.position.line) for each in found[reason]] for reason in found
    }
    assert lines[State.REJECTED, "missing", "$.a"] == [("a rows", 70), ("rows", 5), ("rows", 6)]
    assert lines[State.REJECTED, "too_long", "$.b"] == [("rows", 5)]
    assert lines[State.FAILED, "ConflictException", "$"] == [("rows", 9)]
    assert lines[State.IN_DOUBT, "TimeoutError", ""] == [("rows", 10)]
    assert lines[State.DEFERRED, "EngagementFull", ""] == [("rows", 12)]


def test_the_latest_rows_come_first_and_calls_in_flight_are_no_failures(place: Place) -> None:
    filled(place)
    with writing(place, at=NOW + 1.5) as writer:
        admit(writer, Rejection(row(99, "x"), (error("$", "invalid_json"),)))
    with place.reader() as reader:
        found = reader.last_failures(4)
        everything = reader.last_failures(50)
    line = [each.position.line for each in everything]
    assert found == everything[:4]
    assert found == [
        Failure(Position("rows", 10), State.IN_DOUBT, "TimeoutError", "$", NOW + 2),
        Failure(Position("rows", 99), State.REJECTED, "invalid_json", "$", None),
        Failure(Position("rows", 9), State.FAILED, "ConflictException", "$", NOW + 1),
        Failure(Position("rows", 5), State.REJECTED, "missing", "$.a", None),
    ]
    assert line == [10, 99, 9, 5, 6, 8]


def test_rows_beyond_the_largest_groups_are_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    with writing(place) as writer:
        batch = [Rejection(row(n, "x"), (error(f"$.m{n // 2}", "unknown_member"),)) for n in range(2, 605)]
        admit(writer, *batch)
    with place.reader() as reader:
        found = reader.problems()
        monkeypatch.setattr(problems, "_MOST_COUNTED", 50)
        fewer = reader.problems()
    assert len(found) == problems.MOST_PROBLEMS + 1
    assert found[-1] == Problem(State.REJECTED, problems.OTHER, "", 603 - 2 * problems.MOST_PROBLEMS)
    assert (len(fewer), sum(each.rows for each in fewer)) == (51, 603)
