"""How a writer notices that its checkpoint lacks the last writes, and what it does then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from checkpoints import NOW, OWNER, Place, admit, answered, created, records_of
from database import Database
from fakes import invitation

from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.checkpoint.storage.last_transaction import LastTransactionFile
from bulk_invite.checkpoint.storage.postgres_cluster import Cluster, _judge, _risk
from bulk_invite.checkpoint.tables.values import UncertainPeriod
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import AlreadySettled, ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, Found, Listed
from bulk_invite.domain.verdicts import State

_LATER = NOW + 3600
TABLES = ("about", "runs", "invitations", "log", "findings", "unsent_rows", "generation", "gaps")


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(str(tmp_path / "checkpoint.db"))
    return Place(request.getfixturevalue("db").url, "checkpoint")


@contextmanager
def writing(
    place: Place, known: RecentWrites | None = None, at: float = NOW, *, look_up_first: bool | None = None
) -> Iterator[CheckpointWriter]:
    with CheckpointWriter.open(
        place.name, catalog="Sandbox", schema=place.schema, recent_writes=known
    ) as writer:
        writer.claim(OWNER)
        writer.begin_run(at, look_up_first=look_up_first)
        yield writer


class Copy:
    """The current files of a checkpoint, to be restored later."""

    def __init__(self, place: Place) -> None:
        self._place = place
        if place.is_file:
            shutil.copy(place.name, f"{place.name}.copy")
            return
        with psycopg.connect(place.name) as connection:
            connection.execute(f"SET search_path TO {place.schema}".encode())
            for name in TABLES:
                connection.execute(f"CREATE TABLE old_{name} AS TABLE {name}".encode())

    def restore(self) -> None:
        if self._place.is_file:
            shutil.copy(f"{self._place.name}.copy", self._place.name)
            return
        put_back = [f"INSERT INTO {name} SELECT * FROM old_{name}" for name in TABLES]
        self._place.run(f"TRUNCATE {', '.join(TABLES)}", *put_back)


def calls_of_day(writer: CheckpointWriter) -> int:
    times: list[float] = []
    writer.count_calls(_LATER, grace=30.0, into=times.append)
    assert times == sorted(times)
    return len(times)


def _sent(writer: CheckpointWriter, *tokens: str, at: float = NOW) -> None:
    writer.record([Sent(token, at) for token in tokens])
    writer.record([created(token) for token in tokens])


def _begun(place: Place, known: RecentWrites | None) -> Copy:
    """Row a was sent before the copy, b to d after it, and of d no answer came; e was never called."""
    with writing(place, known) as writer:
        admit(writer, *(invitation(each, line=line) for line, each in enumerate("ab", 1)))
        _sent(writer, "a")
    copy = Copy(place)
    with writing(place, known, NOW + 5) as writer:
        admit(writer, *(invitation(each, line=line) for line, each in enumerate("abcde", 1)))
        _sent(writer, "b", "c", at=NOW + 10)
        writer.record([Sent("d", NOW + 11)])
    return copy


def test_remembered_writes_are_restored_as_they_were(place: Place) -> None:
    known = RecentWrites()
    copy = _begun(place, known)
    before = records_of(place)
    copy.restore()
    assert len(records_of(place)) == 2
    with writing(place, known, _LATER) as writer:
        assert writer.uncertain_period is not None
        assert writer.uncertain_period == UncertainPeriod(NOW, _LATER, is_counted=True)
        again = {each.client_token: each for each in records_of(place)}
        assert again == {each.client_token: each for each in before if each.client_token != "e"}
        assert calls_of_day(writer) == 4
        rows = [invitation(each, line=line) for line, each in enumerate("abcde", 1)]
        settled, _, third, doubtful, first = admit(writer, *rows)
    assert isinstance(settled, AlreadySettled)
    assert isinstance(third, AlreadySettled)
    assert isinstance(doubtful, ToSend)
    assert (doubtful.doubt_since, doubtful.code) == (NOW + 11, MAY_BE_MISSING)
    assert first == ToSend(rows[4], NOW, _LATER, MAY_BE_MISSING)


def test_another_program_counts_the_missing_writes_and_looks_up_the_open_rows(place: Place) -> None:
    copy = _begun(place, None)
    copy.restore()
    with CheckpointWriter.open(place.name, catalog="Sandbox", schema=place.schema) as writer:
        # The day is counted before it is known whose the checkpoint is.
        assert calls_of_day(writer) == (4 if place.is_file else 1)
        writer.claim(OWNER)
        (gap,) = writer.begin_run(_LATER)
        assert (gap.since, gap.until, gap.calls) == (NOW, _LATER, 3 if place.is_file else None)
        assert (".last" if place.is_file else "dump") in gap.why
        assert calls_of_day(writer) == (4 if place.is_file else 1)
        settled, *others = admit(writer, *(invitation(each, line=line) for line, each in enumerate("abc", 1)))
        assert isinstance(settled, AlreadySettled)
        assert [(each.doubt_since, each.code) for each in others if isinstance(each, ToSend)] == [
            (NOW, MAY_BE_MISSING)
        ] * 2
    with writing(place, at=_LATER + 9) as writer:
        assert calls_of_day(writer) == (4 if place.is_file else 1)  # noticed once
        assert writer.uncertain_period is not None
        assert writer.uncertain_period.is_counted is place.is_file
        (row,) = admit(writer, invitation("f", line=9))
        assert isinstance(row, ToSend)
        assert (row.doubt_since, row.last_sent) == (NOW, _LATER)


def test_a_row_found_after_a_gap_counts_once_and_an_absent_one_was_never_sent(place: Place) -> None:
    _begun(place, None).restore()
    listed = Listed("engi-9", "arn:9", "eng-1", "LeadInvitation", "111122223333", NOW + 10)
    found = answered("b", State.CREATED, "found", _LATER, invitation_id="engi-9", finding=Found(listed, 1))
    with writing(place, at=_LATER) as writer:
        admit(writer, *(invitation(each, line=line) for line, each in enumerate("abce", 1)))
        writer.record([found])
        writer.record([answered("c", State.PENDING, "absent", _LATER, finding=Absent(1, 60.0))])
        assert calls_of_day(writer) == (4 if place.is_file else 2)
        rows = {each.client_token: each for each in records_of(place)}
        assert (rows["b"].state, rows["b"].attempts, rows["b"].first_sent) == (State.CREATED, 1, NOW + 10)
        assert (rows["c"].state, rows["c"].attempts, rows["c"].last_sent) == (State.PENDING, 0, None)
        _sent(writer, "c", at=_LATER + 1)
    with place.reader() as reader:
        proof = reader.proof(_LATER)
        assert reader.overview(_LATER + 60).counted == (5 if place.is_file else 3)
    assert [line.key for line in proof.lines if not line.ok] == ["whole"]
    assert not proof.adds_up


def test_a_row_throttled_before_a_gap_may_have_been_sent_during_it(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, *(invitation(each) for each in "ab"))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.PENDING, "throttled")])
    with writing(place, at=_LATER, look_up_first=True) as writer:
        (row,) = admit(writer, invitation("a"))
        assert (row.doubt_since, row.code) == (0.0, MAY_BE_MISSING)  # type: ignore[union-attr]
        writer.record([answered("a", State.PENDING, "absent", finding=Absent(0, 60.0))])
        writer.record([Sent("a", _LATER + 1)])
        writer.record([answered("a", State.PENDING, "throttled", _LATER + 1)])
        writer.begin_run(_LATER + 2, look_up_first=True)  # another round of the same program
        assert admit(writer, invitation("a")) == [ToSend(invitation("a"), last_sent=_LATER + 1)]
    with writing(place, at=_LATER + 3) as writer:
        assert writer.uncertain_period is None
        assert admit(writer, invitation("b")) == [ToSend(invitation("b"))]


def test_the_operator_can_skip_the_look_up(place: Place) -> None:
    _begun(place, None).restore()
    with writing(place, at=_LATER, look_up_first=False) as writer:
        assert admit(writer, invitation("c")) == [ToSend(invitation("c"))]


def test_a_checkpoint_replaced_meanwhile_lets_no_call_leave(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"), invitation("b", line=2))
        place.run("UPDATE generation SET number = number - 1")
        with pytest.raises(CheckpointError, match="has changed since this program last wrote it") as raised:
            writer.record([Sent("a", NOW)])
        assert raised.value.retryable
    assert {each.attempts for each in records_of(place)} == {0}


def test_a_checkpoint_reopened_after_a_kill_is_current(place: Place) -> None:
    known = RecentWrites()
    _begun(place, known)
    for memory in (known, None):
        with writing(place, memory) as writer:
            assert writer.uncertain_period is None


def test_a_checkpoint_without_its_last_transaction_number_is_damaged(place: Place) -> None:
    _begun(place, None)
    place.run("DELETE FROM generation")
    with pytest.raises(CheckpointError, match="damaged"):
        place.writer()
    with place.reader() as reader, pytest.raises(CheckpointError, match="damaged"):
        reader.older()


def test_a_checkpoint_is_not_changed_before_it_is_identified(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    _begun(place, None)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if "lock" not in path.name}
    with CheckpointWriter.open(place.name, catalog="Sandbox"):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if "lock" not in path.name} == before


@pytest.mark.parametrize("content", [b"", b"x" * 300, b"{}", b"[]", None])
def test_an_unreadable_companion_file_counts_as_none(tmp_path: Path, content: bytes | None) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    _begun(place, None)
    beside = Path(f"{place.name}.last")
    with closing(LastTransactionFile(beside)) as last_transaction:
        assert last_transaction.known() is not None
    if content is None:
        beside.unlink()
        beside.mkdir()
    else:
        beside.write_bytes(content)
    with closing(LastTransactionFile(beside)) as last_transaction:
        assert last_transaction.known() is None
    if content is None:
        with pytest.raises(CheckpointError, match="cannot be written"), writing(place):
            pass
    else:
        with writing(place) as writer:
            assert writer.uncertain_period is not None


def test_a_companion_file_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    (tmp_path / "checkpoint.db.last").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="beside the checkpoint cannot be written"), writing(place):
        pass


_KEPT = SimpleNamespace(writer=7, wrote=7, system="1", timeline=3, replicated=0)


@pytest.mark.parametrize(
    ("kept", "here", "says"),
    [
        ({}, Cluster("1", 3), ""),
        ({"writer": 8}, Cluster("1", 3), "dump"),
        ({}, Cluster("2", 3), "another database cluster"),
        ({}, Cluster("1", 4), "timeline 3, now 4"),
        ({"replicated": 1}, Cluster("1", 4), ""),
        ({"replicated": 1}, Cluster("2", 4), "another database cluster"),
        ({}, Cluster(None, None), ""),
        ({"system": None, "timeline": None}, Cluster("2", 4), ""),
    ],
)
def test_the_identity_of_a_database_cluster(kept: dict[str, Any], here: Cluster, says: str) -> None:
    said = _judge(SimpleNamespace(**{**vars(_KEPT), **kept}), here)
    assert (says in said) if says else said == ""


def test_the_risk_of_a_failover_is_reported_without_synchronous_commits() -> None:
    assert (_risk(waits=False, receivers=0), _risk(waits=True, receivers=2)) == ("", "")
    assert "2 standbys" in _risk(waits=False, receivers=2)
    assert "a standby" in _risk(waits=False, receivers=1)


@pytest.mark.parametrize(
    ("role", "ours"), [("remote_write", "on"), ("local", "on"), ("remote_apply", "remote_apply")]
)
def test_commits_wait_for_standbys_whatever_the_role_says(db: Database, role: str, ours: str) -> None:
    db.run(f"ALTER ROLE postgres IN DATABASE {db.name} SET synchronous_commit = {role}")
    with writing(Place(db.url, "checkpoint")) as writer, writer._transactions.begin() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == ours


def test_the_writes_kept_in_memory_are_bounded(tmp_path: Path) -> None:
    place, known = Place(str(tmp_path / "checkpoint.db")), RecentWrites(most=4)
    with writing(place, known) as writer:
        admit(writer, *(invitation(each, line=line) for line, each in enumerate("abcdef", 1)))
        for number, each in enumerate("abcdef"):
            _sent(writer, each, at=NOW + number)
        assert (known._events, len(known._rows)) == (4, 4)


def test_a_checkpoint_killed_during_its_first_commit_is_no_copy(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    with place.writer():
        assert Path(f"{place.name}.last").exists()
    with writing(place) as writer:
        assert writer.uncertain_period is None
