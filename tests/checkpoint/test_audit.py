"""The audit of a checkpoint: every history of a row passes it, and every damage fails it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import pytest
from checkpoints import NOW, Place, admit, answered, created, writing
from database import Database
from fakes import invitation, row

from bulk_invite.checkpoint.audit.invariants import Figures, lines
from bulk_invite.checkpoint.audit.result import UNANSWERED, LookUps, Open, Proof
from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.findings import Absent, Found, Listed, TooEarly, Unclear
from bulk_invite.domain.rows import Rejection, RowError
from bulk_invite.domain.verdicts import State

FULL = "ServiceQuotaExceededException"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "checkpoint.db"))


def found(token: str, invitation_id: str) -> Answered:
    listed = Listed(invitation_id, "arn", "eng-1", "LeadInvitation", "111122223333", NOW)
    finding = Found(listed, 1)
    return answered(token, State.CREATED, "found", invitation_id=invitation_id, finding=finding)


def lives(token: str) -> Iterator[tuple[str, list[Event]]]:
    """Every possible history of a row, by the name of its row."""
    sent, yes = Sent(token, NOW), created(token)
    doubt = answered(token, State.IN_DOUBT, "doubtful", code="TimeoutError", doubt_since=NOW)
    denied = answered(token, State.PENDING, "denied", code="AccessDeniedException")
    absent = answered(token, State.PENDING, "absent", finding=Absent(0, 60.0))
    unclear = answered(
        token,
        State.IN_DOUBT,
        "unclear",
        code="NotComparable",
        doubt_since=NOW,
        finding=Unclear("NotComparable"),
    )
    early = answered(token, State.IN_DOUBT, "too_early", doubt_since=NOW, finding=TooEarly(0, 1.0))
    full = answered(token, State.DEFERRED, "engagement_full", code=FULL)
    aside = answered(token, State.DEFERRED, "set_aside", code="EngagementFull")
    stopped = answered(token, State.PENDING, "denied", code="AccessDeniedException", counted=False)
    away = answered(token, State.PENDING, "unreachable", code="ClientConnectorError", counted=False)
    throttled = answered(token, State.PENDING, "throttled", code="ThrottlingException")
    refused = answered(token, State.FAILED, "refused", code="ValidationException")
    own = answered(token, State.FAILED, "denied", code="AccessDeniedException")
    yield "created", [sent, yes]
    yield "throttled", [sent, throttled, sent, throttled, sent, yes]
    yield "doubtful", [sent, doubt, sent, yes]
    yield "killed", [sent, sent, yes]
    yield "away", [sent, away, sent, yes]
    yield "denied", [sent, denied, own]
    yield "stopped", [sent, stopped, sent, yes]
    yield "found", [sent, doubt, early, found(token, "engi-found")]
    yield "absent", [sent, absent, sent, yes]
    yield "full", [aside, sent, full, aside, sent, yes]
    yield "refused", [sent, refused]
    yield "unclear", [sent, unclear]
    yield "open", [sent]
    yield "deferred", [aside]
    yield "waiting", [sent, throttled]
    yield "unsent", []


LIVES = {name: next(events for each, events in lives(name) if each == name) for name, _ in lives("")}


def rounds() -> Iterator[list[Event]]:
    """The events of all rows interleaved: the first events of each, then the second ones ..."""
    for events in zip_longest(*LIVES.values()):
        yield [event for event in events if event is not None]


def take_up(writer: CheckpointWriter) -> None:
    rows = [invitation(name, line=line) for line, name in enumerate(LIVES, 1)]
    rejected = Rejection(row(90, "x"), (RowError("$.a", "missing", ""),))
    admit(writer, *rows, invitation("created", line=91), rejected)


def fill(writer: CheckpointWriter) -> None:
    take_up(writer)
    for events in rounds():
        writer.record(events)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is finished: one file, to be copied."""
    path = tmp_path_factory.mktemp("filled") / "checkpoint.db"
    with writing(Place(str(path))) as writer:
        fill(writer)
    return path


@pytest.fixture(scope="module")
def opened(filled: Path) -> Iterator[tuple[Place, CheckpointReader]]:
    """A copy of it that many tests use, and its reader: to make one costs more than to read."""
    place = Place(str(filled.with_name("copy.db")))
    shutil.copy(filled, place.name)
    with place.reader() as reader:
        yield place, reader


@pytest.fixture
def copied(filled: Path, opened: tuple[Place, CheckpointReader]) -> tuple[Place, CheckpointReader]:
    with closing(sqlite3.connect(filled)) as whole, closing(sqlite3.connect(opened[0].name)) as copy:
        whole.backup(copy)
    return opened


def proof_of(place: Place) -> Proof:
    with place.reader() as reader:
        return reader.proof(NOW)


def wrong(proof: Proof) -> set[str]:
    return {line.key for line in proof.lines if not line.ok}


def _expect_all(proof: Proof) -> None:
    assert wrong(proof) == set()
    assert proof.adds_up
    figures = proof.figures
    assert (figures.rows, figures.created, figures.calls, figures.attempts) == (18, 9, 22, 20)
    assert (figures.created_by_call, figures.created_by_look_up) == (8, 1)
    assert (figures.uncounted, figures.unanswered, proof.throttled) == (1, 4, 3)
    assert (proof.repeats.rows, proof.repeats.calls) == (7, 8)
    assert proof.repeats.why == {
        "throttled": 2,
        "absent": 1,
        "denied": 1,
        "doubtful": 1,
        "set_aside": 1,
        UNANSWERED: 1,
        "unreachable": 1,
    }
    assert proof.look_ups == (
        LookUps("absent", "", 1, {State.CREATED: 1}),
        LookUps("found", "", 1, {State.CREATED: 1}),
        LookUps("too early", "", 1, {}),
        LookUps("unclear", "NotComparable", 1, {State.IN_DOUBT: 1}),
    )
    assert proof.rows_open == 5
    assert set(proof.open) == {
        Open(State.IN_DOUBT, "", 1),
        Open(State.IN_DOUBT, "NotComparable", 1),
        Open(State.DEFERRED, "EngagementFull", 1),
        Open(State.PENDING, "ThrottlingException", 1),
        Open(State.PENDING, "", 1),
    }


def test_every_history_of_a_row_passes_the_audit(place: Place) -> None:
    with writing(place) as writer:
        fill(writer)
        during = proof_of(place)
        assert during.active
    _expect_all(during)
    after = proof_of(place)
    _expect_all(after)
    assert not after.active


def test_every_moment_of_a_run_passes_the_audit(place: Place) -> None:
    """Also between an intent and its answer: an open row is no error."""
    with writing(place) as writer:
        take_up(writer)
        for events in rounds():
            writer.record(events)
            assert wrong(proof_of(place)) == set(), events


_CREATED = "WHERE client_token = 'created'"

_EVEN = "CASE client_token WHEN 'waiting' THEN attempts + 1 ELSE attempts - 1 END"
_COLUMNS = "entry, client_token, event, at, outcome, request_id"

BROKEN: dict[str, tuple[str, set[str]]] = {
    "an_id_of_two_rows": (
        "UPDATE invitations SET invitation_id = 'engi-created' WHERE client_token = 'killed'",
        {"ids_differ"},
    ),
    "created_without_an_id": (f"UPDATE invitations SET invitation_id = '' {_CREATED}", {"ids"}),
    "an_id_of_a_failed_row": (
        "UPDATE invitations SET invitation_id = 'engi-x' WHERE client_token = 'refused'",
        {"ids_created"},
    ),
    "skipped_in_doubt": (
        "UPDATE invitations SET state = 'duplicate' WHERE client_token = 'open'",
        {"skipped"},
    ),
    "no_such_state": ("UPDATE invitations SET state = 'lost' WHERE client_token = 'refused'", {"states"}),
    "no_such_state_of_an_unsent_row": ("UPDATE unsent_rows SET state = 'lost'", {"states"}),
    "no_intent": (
        f"DELETE FROM log {_CREATED} AND event = 'sent'",
        {"created", "called", "intents", "attempts"},
    ),
    "no_answer": (f"DELETE FROM log {_CREATED} AND event = 'answered'", {"created"}),
    "the_intent_after_the_answer": (
        f"UPDATE log SET entry = 1000 {_CREATED} AND event = 'sent'",
        {"created", "intents", "after_id"},
    ),
    "no_log": ("DELETE FROM log", {"created", "called", "attempts"}),
    "the_beginning_of_the_log_is_cut": (
        "DELETE FROM log WHERE entry <= 4",
        {"created", "called", "intents", "attempts"},
    ),
    "a_row_is_gone": (f"DELETE FROM invitations {_CREATED}", {"logged", "yeses"}),
    "back_to_pending": (
        f"UPDATE invitations SET state = 'pending', invitation_id = '' {_CREATED}",
        {"yeses"},
    ),
    "called_after_its_id": (
        f"INSERT INTO log ({_COLUMNS}) VALUES (99, 'created', 'sent', 1, '', '')",
        {"after_id", "attempts"},
    ),
    "an_attempt_too_many": (
        "UPDATE invitations SET attempts = attempts + 1 WHERE client_token = 'waiting'",
        {"attempts"},
    ),
    "attempts_that_even_out": (
        f"UPDATE invitations SET attempts = {_EVEN} WHERE client_token IN ('waiting', 'created')",
        {"attempts"},
    ),
    "no_finding": ("DELETE FROM findings WHERE client_token = 'found'", {"created"}),
    "found_another": (
        "UPDATE invitations SET invitation_id = 'engi-x' WHERE client_token = 'found'",
        {"found"},
    ),
    "older_than_the_last_call": (
        "INSERT INTO gaps (since, until, calls, found, why) VALUES (0, 1, 3, 3, 'a file knows better')",
        {"whole"},
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_checkpoint_fails_the_audit(copied: tuple[Place, CheckpointReader], how: str) -> None:
    statement, expected = BROKEN[how]
    place, reader = copied
    place.run(statement)
    proof = reader.proof(NOW)
    assert wrong(proof) == expected
    assert not proof.adds_up


def test_every_invariant_is_seen_to_fail() -> None:
    assert set().union(*(keys for _, keys in BROKEN.values())) == {line.key for line in lines(Figures())}


def test_a_broken_database_fails_the_audit_too(db: Database) -> None:
    place = Place(db.url, "checkpoint")
    with writing(place) as writer:
        fill(writer)
    _expect_all(proof_of(place))
    broken = set[str]()
    for how in (
        "an_id_of_two_rows",
        "skipped_in_doubt",
        "no_such_state",
        "no_finding",
        "no_intent",
        "a_row_is_gone",
    ):
        statement, expected = BROKEN[how]
        place.run(statement)
        broken |= expected
        assert wrong(proof_of(place)) >= expected, how
    assert broken == {line.key for line in lines(Figures())} - {
        "ids",
        "ids_created",
        "found",
        "after_id",
        "whole",
    }


def test_an_empty_checkpoint_passes_the_audit(place: Place) -> None:
    with writing(place):
        pass
    proof = proof_of(place)
    assert (proof.adds_up, proof.figures.rows, proof.rows_open) == (True, 0, 0)
    assert proof.course.over_time.buckets == ()


def test_sources_and_campaigns_are_reported_with_their_rows(place: Place) -> None:
    with writing(place) as writer:
        admit(
            writer,
            invitation("a", source="one"),
            invitation("b", source="two"),
            Rejection(row(2, "x", "one"), ()),
        )
        writer.admit([invitation("c", source="one")], campaign="spring", retry_failed=False)
    proof = proof_of(place)
    assert [(each.name, each.rows, dict(each.states)) for each in proof.sources] == [
        ("one", 3, {State.REJECTED: 1, State.PENDING: 2}),
        ("two", 1, {State.PENDING: 1}),
    ]
    assert [(each.name, each.rows) for each in proof.campaigns] == [("", 2), ("spring", 1)]
    assert (proof.sources_in_all, proof.campaigns_in_all) == (2, 2)
