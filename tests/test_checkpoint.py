"""Real SQLite files: against a model in memory, under every kind of damage, and killed in the middle."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import pytest
from fakes import invitation, row
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bulk_invite.checkpoint.database import writing_engine
from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.errors import CheckpointError
from bulk_invite.invitation import Invitation, Position, Rejection, RowError
from bulk_invite.journal import (
    Admission,
    AlreadySettled,
    Answered,
    Duplicate,
    Overview,
    Owner,
    Record,
    Sent,
    ToSend,
)
from bulk_invite.outcome import State

_OWNER = Owner("123456789012", "a" * 64)
_NOW = 1_800_000_000.0


@contextmanager
def _writing(path: Path, owner: Owner = _OWNER, *, at: float = _NOW) -> Iterator[CheckpointWriter]:
    with CheckpointWriter.open(path, catalog="Sandbox") as writer:
        writer.claim(owner)
        writer.begin_run(at)
        yield writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.db"


def _admit(
    writer: CheckpointWriter, *batch: Invitation | Rejection, retry_failed: bool = False
) -> list[Admission]:
    return writer.admit(batch, campaign="", retry_failed=retry_failed)


def _records(path: Path, *states: State) -> list[Record]:
    with CheckpointReader(path) as reader:
        return list(reader.records(states))


def _overview(path: Path, now: float = _NOW) -> Overview:
    with CheckpointReader(path) as reader:
        return reader.overview(now)


def _answered(token: str, state: State, outcome: str, at: float = _NOW, **more: object) -> Answered:
    return Answered(token, at, state, outcome, **more)  # type: ignore[arg-type]  # the fields are checked where they are read


def _created(token: str) -> Answered:
    return _answered(token, State.CREATED, "created", invitation_id=f"engi-{token}", arn=f"arn:{token}")


def _settle(writer: CheckpointWriter, *tokens: str) -> None:
    writer.record([Sent(token, _NOW) for token in tokens])
    writer.record([_created(token) for token in tokens])


# What the checkpoint does, against a model of it


_TOKENS = st.sampled_from(["a", "b", "c", "d", "e"])
_ROWS = st.one_of(st.none(), st.tuples(_TOKENS, st.sampled_from(["", "", "other"])))
"""None stands for a rejected row."""

_ENDINGS = st.sampled_from(["created", "failed", "throttled", "doubtful", "full", "unreachable"])


@dataclass
class _Row:
    """What is expected of a token; `run` read it last."""

    run: int
    body: str
    line: int
    state: State = State.PENDING
    doubt_since: float | None = None
    attempts: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    invitation_id: str = ""
    code: str = ""
    errors: tuple[RowError, ...] = ()


@dataclass
class _Unsent:
    run: int
    state: State
    token: str


@dataclass
class _Model:
    rows: dict[str, _Row] = field(default_factory=dict)
    unsent: dict[int, _Unsent] = field(default_factory=dict)
    throttled: int = 0


class CheckpointMachine(RuleBasedStateMachine):
    """Any order of reading, sending, answering and starting again."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._path = Path(self._folder.name) / "checkpoint.db"
        self._model = _Model()
        self._clock = _NOW
        self._run = 0
        self._next_line = 1
        self._writer: CheckpointWriter | None = None
        self.start_again()

    def teardown(self) -> None:
        self._close()
        self._folder.cleanup()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)

    @property
    def _open(self) -> CheckpointWriter:
        assert self._writer is not None
        return self._writer

    def _tick(self) -> float:
        self._clock += 1.0
        return self._clock

    @rule()
    def start_again(self) -> None:
        self._close()
        self._writer = CheckpointWriter.open(self._path, catalog="Sandbox")
        self._open.claim(_OWNER)
        self._open.begin_run(self._tick())
        self._run += 1
        self._next_line = 1

    @rule(batch=st.lists(_ROWS, min_size=1, max_size=8), retry_failed=st.booleans())
    def admit(self, batch: list[tuple[str, str] | None], *, retry_failed: bool) -> None:
        rows: list[Invitation | Rejection] = []
        for line, each in enumerate(batch, self._next_line):
            if each is None:
                rows.append(Rejection(row(line, "bad"), (RowError("$.x", "bad", "secret"),)))
            else:
                rows.append(invitation(each[0], line=line, body=each[1]))
        first, self._next_line = self._next_line, self._next_line + len(batch)
        for line in range(first, self._next_line):
            if line in self._model.unsent and self._model.unsent[line].run < self._run:
                del self._model.unsent[line]
        expected = [self._expect(each, retry_failed=retry_failed) for each in rows]
        assert _admit(self._open, *rows, retry_failed=retry_failed) == expected

    def _expect(self, each: Invitation | Rejection, *, retry_failed: bool) -> Admission:
        if isinstance(each, Rejection):
            self._model.unsent[each.row.position.line] = _Unsent(self._run, State.REJECTED, "")
            return each
        line = each.position.line
        known = self._model.rows.get(each.client_token)
        if known is None:
            self._model.rows[each.client_token] = _Row(self._run, each.body_hash, line)
            return ToSend(each)
        if known.body != each.body_hash:
            self._model.unsent[line] = _Unsent(self._run, State.REJECTED, "")
            return _Reused(each.row)
        if known.run == self._run:
            self._model.unsent[line] = _Unsent(self._run, State.DUPLICATE, each.client_token)
            return Duplicate(each)
        known.run, known.line = self._run, line
        if known.state is State.FAILED and retry_failed:
            known.state = State.PENDING
            known.code, known.errors = "", ()
        if known.state in {State.CREATED, State.FAILED}:
            arn = f"arn:{each.client_token}" if known.state is State.CREATED else ""
            return AlreadySettled(each, known.state, known.invitation_id, arn, known.code, known.errors)
        deferred = known.state is State.DEFERRED
        return ToSend(each, known.doubt_since, known.last_sent, known.code, known.errors, deferred=deferred)

    def _to_send(self) -> list[str]:
        return sorted(
            token
            for token, known in self._model.rows.items()
            if known.run == self._run and known.state not in {State.CREATED, State.FAILED}
        )

    @precondition(lambda self: self._to_send())
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """One transaction for the intents of some rows, perhaps one for their answers, perhaps a crash."""
        tokens = data.draw(st.lists(st.sampled_from(self._to_send()), unique=True, min_size=1))
        at = self._tick()
        self._open.record([Sent(token, at) for token in tokens])
        for token in tokens:
            known = self._model.rows[token]
            known.state = State.IN_DOUBT
            known.attempts += 1
            known.first_sent = at if known.first_sent is None else known.first_sent
            known.last_sent = at
            known.code, known.errors = "", ()
        before = {token: self._model.rows[token].doubt_since for token in tokens}
        for token in tokens:
            known = self._model.rows[token]
            known.doubt_since = at if known.doubt_since is None else known.doubt_since
        answered = [token for token in tokens if data.draw(st.booleans())]
        if answered:
            at = self._tick()
            self._open.record(
                [self._answer(token, data.draw(_ENDINGS), at, before[token]) for token in answered]
            )

    def _answer(self, token: str, ending: str, at: float, doubt_before: float | None) -> Answered:
        known = self._model.rows[token]
        pending = State.PENDING if doubt_before is None else State.IN_DOUBT
        error = RowError("$.A", "INVALID", "a message that may repeat a value")
        answers = {
            "created": _created(token),
            "failed": _answered(token, State.FAILED, "refused", code="V", errors=(error,)),
            "throttled": _answered(token, pending, "throttled", code="T", doubt_since=doubt_before),
            "doubtful": _answered(token, State.IN_DOUBT, "doubtful", doubt_since=known.doubt_since),
            "full": _answered(token, State.DEFERRED, "engagement_full", code="F"),
            "unreachable": _answered(token, pending, "unreachable", doubt_since=doubt_before, counted=False),
        }
        answer = answers[ending]
        known.state, known.doubt_since = answer.state, answer.doubt_since
        known.invitation_id, known.code = answer.invitation_id, answer.code
        known.errors = tuple(RowError(each.path, each.code, "") for each in answer.errors)
        known.attempts -= not answer.counted
        self._model.throttled += ending == "throttled"
        return Answered(**{**{name: getattr(answer, name) for name in answer.__slots__}, "at": at})

    @invariant()
    def reader_sees_what_the_model_expects(self) -> None:
        records = _records(self._path)
        rows = {record.client_token: record for record in records if record.engagement}
        assert rows == {
            token: Record(
                token, known.state, Position("rows", known.line), "eng-1", "LeadInvitation",
                known.invitation_id,
                f"arn:{token}" if known.state is State.CREATED else "", known.code, known.errors,
                known.attempts, known.first_sent, known.last_sent, "",
            )
            for token, known in self._model.rows.items()
        }  # fmt: skip
        assert {
            record.position.line: (record.state, record.client_token)
            for record in records
            if not record.engagement
        } == {line: (each.state, each.token) for line, each in self._model.unsent.items()}
        overview = _overview(self._path, self._clock)
        assert sum(overview.states.values()) == len(records)
        assert overview.throttled == self._model.throttled
        assert overview.attempts == sum(known.attempts for known in self._model.rows.values())
        assert overview.active
        assert self._open.has_created() == any(
            known.state is State.CREATED for known in self._model.rows.values()
        )


class _Reused(Rejection):
    """Equal to any rejection of the row that says its token was used before."""

    def __init__(self, of: object) -> None:
        object.__setattr__(self, "row", of)
        object.__setattr__(self, "errors", ())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Rejection)
            and other.row == self.row
            and [error.code for error in other.errors] == ["token_reused"]
        )

    __hash__ = None  # type: ignore[assignment]  # it is only compared


CheckpointMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
TestCheckpointAgainstAModel = CheckpointMachine.TestCase


# Rows over several runs


def test_the_same_row_twice_is_a_duplicate_within_a_batch_and_across_batches(path: Path) -> None:
    with _writing(path) as writer:
        first, second = _admit(writer, invitation("a", line=1), invitation("a", line=2))
        (third,) = _admit(writer, invitation("a", line=3))
        assert [type(each) for each in (first, second, third)] == [ToSend, Duplicate, Duplicate]


def test_a_token_with_another_body_is_rejected_and_the_first_body_stands(path: Path) -> None:
    with _writing(path) as writer:
        _, reused = _admit(writer, invitation("a", line=1), invitation("a", line=2, body="changed"))
        assert isinstance(reused, Rejection)
        assert [(error.path, error.code) for error in reused.errors] == [("$.ClientToken", "token_reused")]
    with _writing(path) as writer:
        (reused,) = _admit(writer, invitation("a", body="changed"))
        assert isinstance(reused, Rejection)
        assert _admit(writer, invitation("a", line=2)) == [ToSend(invitation("a", line=2))]


@pytest.mark.parametrize(
    ("answer", "doubt_since"),
    [
        (None, _NOW),  # killed between the intent and the answer
        (_answered("a", State.PENDING, "throttled"), None),
        (_answered("a", State.IN_DOUBT, "doubtful", doubt_since=_NOW), _NOW),
        (_answered("a", State.DEFERRED, "engagement_full"), None),
    ],
)
def test_what_is_not_settled_goes_on_in_the_next_run(
    path: Path, answer: Answered | None, doubt_since: float | None
) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        writer.record([Sent("a", _NOW)])
        if answer is not None:
            writer.record([answer])
    with _writing(path) as writer:
        deferred = answer is not None and answer.state is State.DEFERRED
        code = "" if answer is None else answer.code
        assert _admit(writer, invitation("a")) == [
            ToSend(invitation("a"), doubt_since, _NOW, code, deferred=deferred)
        ]


def test_doubt_dates_from_the_first_attempt_over_all_runs(path: Path) -> None:
    for run in range(3):
        with _writing(path) as writer:
            _admit(writer, invitation("a"))
            writer.record([Sent("a", _NOW + run)])
    with _writing(path) as writer:
        assert _admit(writer, invitation("a")) == [ToSend(invitation("a"), _NOW, _NOW + 2)]


def test_an_attempt_that_never_left_is_not_counted(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        writer.record([Sent("a", _NOW)])
        writer.record([_answered("a", State.PENDING, "unreachable", counted=False)])
    assert [record.attempts for record in _records(path)] == [0]


def test_a_mended_line_takes_the_place_of_its_rejection(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, Rejection(row(1, "bad"), (RowError("$", "bad", ""),)), invitation("b", line=2))
    assert [record.state for record in _records(path, State.REJECTED)] == [State.REJECTED]
    with _writing(path) as writer:
        _admit(writer, invitation("a", line=1), invitation("b", line=2))
    assert _records(path, State.REJECTED) == []
    assert _overview(path).states == {State.PENDING: 2}


def test_a_line_that_is_gone_takes_its_rejection_with_it(path: Path) -> None:
    bad = RowError("$", "bad", "")
    with _writing(path) as writer:
        _admit(writer, invitation("a", line=1), Rejection(row(9, "bad"), (bad,)))
    with _writing(path) as writer:
        _admit(writer, invitation("a", line=1), Rejection(row(3, "bad"), (bad,)))
        writer.end_source("another", "")
        assert {record.position.line for record in _records(path, State.REJECTED)} == {3, 9}
        writer.end_source("rows", "")
    assert [record.position.line for record in _records(path, State.REJECTED)] == [3]


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_failed_row_is_sent_again_only_when_asked_for(path: Path, *, retry_failed: bool) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        writer.record([Sent("a", _NOW)])
        writer.record([_answered("a", State.FAILED, "refused")])
    with _writing(path) as writer:
        (admission,) = _admit(writer, invitation("a"), retry_failed=retry_failed)
    assert isinstance(admission, ToSend if retry_failed else AlreadySettled)
    assert _overview(path).states == {State.PENDING if retry_failed else State.FAILED: 1}


def test_a_row_in_doubt_is_looked_up_with_what_its_last_attempt_was_refused_for(path: Path) -> None:
    error = RowError("$.A", "INVALID", "a message that may repeat a value")
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        writer.record([Sent("a", _NOW)])
        writer.record(
            [_answered("a", State.IN_DOUBT, "refused", code="V", errors=(error,), doubt_since=_NOW)]
        )
        told = (RowError("$.A", "INVALID", ""),)
        assert [(row.code, row.errors) for row in writer.rows_of(["eng-1"])[0]] == [("V", told)]
        assert [(row.code, row.errors) for row, *_ in writer.in_doubt("", 5)] == [("V", told)]
    with _writing(path) as writer:
        assert _admit(writer, invitation("a")) == [ToSend(invitation("a"), _NOW, _NOW, "V", told)]
        writer.record([Sent("a", _NOW + 1)])
        assert [(row.code, row.errors) for row, *_ in writer.in_doubt("", 5)] == [("", ())]


def test_a_failed_row_in_doubt_is_sent_again_as_one_in_doubt(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        writer.record([Sent("a", _NOW)])
        writer.record([_answered("a", State.FAILED, "refused", code="V", doubt_since=_NOW)])
    for retry_failed in (True, False):  # a run that dies before it sends the row, and the next one
        with _writing(path) as writer:
            [admission] = writer.admit([invitation("a")], campaign="", retry_failed=retry_failed)
        assert admission == ToSend(invitation("a"), _NOW, _NOW)
    assert _overview(path).states == {State.IN_DOUBT: 1}


def test_messages_of_the_service_stay_out_of_the_file(path: Path) -> None:
    secret = "jane.doe@example.com"
    with _writing(path) as writer:
        _admit(
            writer,
            invitation("a", body=secret),
            Rejection(row(2, secret), (RowError("$.Email", "pattern", secret),)),
        )
        writer.record([Sent("a", _NOW)])
        writer.record(
            [_answered("a", State.FAILED, "refused", errors=(RowError("$.Email", "INVALID", secret),))]
        )
        for file in path.parent.iterdir():
            assert secret.encode() not in file.read_bytes()
    assert [record.errors for record in _records(path, State.FAILED)] == [
        (RowError("$.Email", "INVALID", ""),)
    ]


def test_rows_that_vanished_from_the_file_stop_the_sender(path: Path) -> None:
    with _writing(path) as writer, pytest.raises(CheckpointError, match="changed from outside"):
        writer.record([Sent("nobody", _NOW)])


def test_a_batch_is_written_whole_or_not_at_all(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        with pytest.raises(CheckpointError):
            writer.record([Sent("a", _NOW), Sent("nobody", _NOW)])
    assert [record.state for record in _records(path)] == [State.PENDING]


# Whom it belongs to


def test_it_belongs_to_the_first_account(path: Path) -> None:
    with _writing(path):
        pass
    with (
        pytest.raises(CheckpointError, match="belongs to account 123456789012"),
        _writing(path, Owner("999999999999", "a" * 64)),
    ):
        pass


@pytest.mark.parametrize(
    ("owners", "allowed"),
    [
        ([Owner("1", "a"), Owner("1", "b")], True),  # a rotated key
        ([Owner("", "a"), Owner("", "a")], True),
        ([Owner("", "a"), Owner("", "b")], False),
        ([Owner("", "a"), Owner("1", "a")], True),  # STS answers this time
        ([Owner("", "a"), Owner("1", "b")], False),
        ([Owner("1", "a"), Owner("", "a")], True),
        ([Owner("1", "a"), Owner("", "b")], False),
        ([Owner("1", "a"), Owner("1", "b"), Owner("", "b")], True),  # the newest key is remembered
        ([Owner("", "a"), Owner("1", "a"), Owner("2", "a")], False),  # and the account once it is known
        ([Owner("1", "a"), Owner("", "a"), Owner("1", "c")], True),
        ([Owner("", ""), Owner("", "")], True),  # a temporary key binds to nobody
        ([Owner("", ""), Owner("1", "")], True),
        ([Owner("", ""), Owner("1", ""), Owner("2", "")], False),
        ([Owner("1", ""), Owner("", "")], False),  # and does not get at what is bound
    ],
)
def test_the_hash_of_the_key_stands_in_for_the_account(
    path: Path, owners: list[Owner], *, allowed: bool
) -> None:
    for owner in owners[:-1]:
        with _writing(path, owner):
            pass
    if allowed:
        with _writing(path, owners[-1]):
            pass
    else:
        with pytest.raises(CheckpointError, match="belongs to"), _writing(path, owners[-1]):
            pass


def test_another_catalog_is_refused(path: Path) -> None:
    with _writing(path):
        pass
    with pytest.raises(CheckpointError, match="belongs to catalog Sandbox, not AWS"):
        CheckpointWriter.open(path, catalog="AWS")


# One writer, many readers

_HOLD = """
    from pathlib import Path
    import sys, time
    from bulk_invite.checkpoint.writer import CheckpointWriter
    with CheckpointWriter.open(Path(sys.argv[1]), catalog="Sandbox"):
        print("open", flush=True)
        time.sleep(60)
"""


@contextmanager
def _python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_second_writer_is_refused_until_the_first_is_gone_even_by_sigkill(path: Path) -> None:
    with _python(_HOLD, path) as process:
        assert _first_line(process) == "open\n"
        with pytest.raises(CheckpointError, match="Another sender is working"):
            CheckpointWriter.open(path, catalog="Sandbox")
        assert _overview(path).active
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not _overview(path).active
    with _writing(path):
        pass


def test_a_refused_opening_frees_the_lock(path: Path) -> None:
    with _writing(path):
        pass
    with pytest.raises(CheckpointError):
        CheckpointWriter.open(path, catalog="AWS")
    with _writing(path):
        pass


def test_looking_does_not_keep_a_writer_out(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, 3001)))
        with CheckpointReader(path) as reader:
            records = reader.records([])
            assert next(records).state is State.PENDING
            _settle(writer, "t1", "t2")
            assert sum(1 for _ in records) == 2999
            assert reader.overview(_NOW).states == {State.CREATED: 2, State.PENDING: 2998}


def test_overview(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a", line=1), invitation("b", line=2))
        _settle(writer, "a")
        writer.record([Sent("b", _NOW + 100)])
        writer.record([_answered("b", State.PENDING, "throttled", at=_NOW + 101)])
    with _writing(path, at=_NOW + 1000) as writer:
        _admit(writer, invitation("b", line=2))
        writer.record([Sent("b", _NOW + 1010)])
    overview = _overview(path, _NOW + 150)
    assert overview.owner == _OWNER
    assert overview.catalog == "Sandbox"
    assert overview.states == {State.CREATED: 1, State.IN_DOUBT: 1}
    assert (overview.attempts, overview.throttled) == (3, 1)
    assert overview.elapsed == 101 + 10
    assert overview.last_event == _NOW + 1010
    assert (overview.sent_last_minute, overview.throttled_last_minute) == (2, 1)


def test_readers_need_a_checkpoint(tmp_path: Path, path: Path) -> None:
    for wrong in (path, tmp_path):
        with pytest.raises(CheckpointError, match="no checkpoint"):
            CheckpointReader(wrong)
    assert list(tmp_path.iterdir()) == [], "and looking for it makes none"
    path.touch()
    with pytest.raises(CheckpointError, match="is empty"):
        CheckpointReader(path)


def test_files_are_the_owners_alone(path: Path) -> None:
    umask = os.umask(0)
    try:
        with _writing(path) as writer:
            _admit(writer, invitation("a"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert {"checkpoint.db", "checkpoint.db-wal", "checkpoint.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


# Files that are no checkpoint, or none any more


def _sqlite(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _refused(path: Path) -> str:
    """What both ways of opening say; the file has to be as it was."""
    before = path.read_bytes()
    with pytest.raises(CheckpointError):
        CheckpointReader(path)
    with pytest.raises(CheckpointError) as raised:
        CheckpointWriter.open(path, catalog="Sandbox")
    assert path.read_bytes() == before
    return str(raised.value)


def test_a_text_file_is_left_as_it_is(path: Path) -> None:
    path.write_text("a,b,c\n" * 1000)
    assert "not a database" in _refused(path)


def test_a_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    _sqlite(path, "CREATE TABLE about (key TEXT, value TEXT)")
    assert "database of another program" in _refused(path)
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_an_empty_file_beside_the_log_of_what_was_in_it_is_no_new_checkpoint(
    path: Path, *, gone: bool
) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        log = path.with_name(f"{path.name}-wal")
        saved = log.read_bytes()
    assert saved
    path.write_bytes(b"")
    log.write_bytes(saved)
    if gone:
        path.unlink()
        with pytest.raises(CheckpointError, match="belong together"):
            CheckpointWriter.open(path, catalog="Sandbox")
        assert not path.exists()
    else:
        assert "belong together" in _refused(path)
    assert log.read_bytes() == saved


_UNSENT_ROWS_OF_VERSION_1 = """
    CREATE TABLE old (source TEXT, line INTEGER, run INTEGER NOT NULL, state TEXT NOT NULL,
    client_token TEXT NOT NULL, errors TEXT NOT NULL, PRIMARY KEY (source, line)) WITHOUT ROWID
"""


def test_a_checkpoint_of_the_first_version_is_read_and_brought_up_to_date(path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"), Rejection(row(2, "bad"), (RowError("$.x", "bad", ""),)))
        _settle(writer, "a")
    before = _records(path)
    for statement in (
        "DROP TABLE watermarks",
        "ALTER TABLE invitations DROP COLUMN row_key",
        _UNSENT_ROWS_OF_VERSION_1,
        "INSERT INTO old SELECT source, line, run, state, client_token, errors FROM unsent_rows",
        "DROP TABLE unsent_rows",
        "ALTER TABLE old RENAME TO unsent_rows",
        "UPDATE about SET value = '1' WHERE key = 'version'",
    ):
        _sqlite(path, statement)
    assert _records(path) == before  # nobody has written to it yet
    with _writing(path) as writer:
        assert _records(path) == before
        admitted = _admit(writer, invitation("a"), invitation("b"))
        assert [type(each) for each in admitted] == [AlreadySettled, ToSend]
    with _writing(path) as writer:
        assert writer.watermark("rows", "") is None


@pytest.mark.parametrize("sent", [True, False])
def test_a_row_whose_token_is_its_keys_may_change_until_it_is_sent(path: Path, *, sent: bool) -> None:
    first = replace(invitation("a"), has_key_token=True)
    second = replace(invitation("a", body="other"), has_key_token=True)
    with _writing(path) as writer:
        assert _admit(writer, first, second)[0] == ToSend(
            first
        )  # not within a run, in which it may be leaving
        if sent:
            writer.record([Sent("a", _NOW)])
    with _writing(path) as writer:
        changed, again = _admit(writer, second, second)
        if sent:
            assert isinstance(changed, Rejection)
            assert [error.code for error in changed.errors] == ["changed_since_sent"]
        else:
            assert (changed, again) == (ToSend(second), Duplicate(second))
    with _writing(path) as writer:
        assert _admit(writer, first if sent else second)[0].__class__ is ToSend


def test_a_watermark_is_as_durable_as_its_rows_and_goes_with_the_end_of_the_source(path: Path) -> None:
    def keyed(token: str, key: str) -> Invitation:
        made = invitation(token)
        return replace(made, row=replace(made.row, position=Position("db", key=key)))

    rows = [keyed("a", "1"), keyed("b", "2"), keyed("c", "3")]
    with _writing(path) as writer:
        writer.admit(rows, campaign="", retry_failed=False, reached=rows[-1].position)
        _settle(writer, "b")
    with _writing(path) as writer:
        assert writer.watermark("db", "") == "3"
        assert writer.watermark("rows", "") is None
        assert writer.open_keys("db", "", "", 10) == ["1", "3"]
        assert writer.open_keys("db", "", "1", 10) == ["3"]
        assert writer.open_keys("db", "", "", 1) == ["1"]
        (arrived,) = writer.arrived("db", "", "", 10)
        assert (arrived.position, arrived.client_token, arrived.invitation_id) == (
            Position("db", key="2"),
            "b",
            "engi-b",
        )
        assert writer.arrived("db", "", "2", 10) == []
        assert writer.watermark("db", "another") is None
        assert (writer.open_keys("db", "another", "", 9), writer.arrived("db", "another", "", 9)) == ([], [])
        writer.end_source("db", "another")
        assert writer.watermark("db", "") == "3"
        writer.end_source("db", "")
        assert writer.watermark("db", "") is None


def test_a_newer_version_is_left_as_it_is(path: Path) -> None:
    with _writing(path):
        pass
    _sqlite(path, "UPDATE about SET value = '3' WHERE key = 'version'")
    assert "version 3" in _refused(path)


def test_an_empty_file_becomes_a_checkpoint(path: Path) -> None:
    path.touch()
    with _writing(path) as writer:
        assert not writer.has_created()


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        CheckpointWriter.open(tmp_path / "tpyo" / "checkpoint.db", catalog="Sandbox")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="directory"):
        CheckpointWriter.open(tmp_path / "folder", catalog="Sandbox")


def _with_rows(path: Path, number: int = 500) -> None:
    with _writing(path) as writer:
        _admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, number + 1)))
        _settle(writer, *(f"t{line}" for line in range(1, number // 2)))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9])
def test_a_truncated_checkpoint_is_not_used(path: Path, share: float) -> None:
    _with_rows(path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(CheckpointError):
        CheckpointWriter.open(path, catalog="Sandbox")


def test_damage_that_opening_would_not_come_across_is_found_by_looking_for_it(path: Path) -> None:
    _with_rows(path)
    data = bytearray(path.read_bytes())
    at = len(data) // 4096 // 2 * 4096
    data[at : at + 4096] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        CheckpointWriter.open(path, catalog="Sandbox")


@pytest.mark.parametrize("seed", range(12))
def test_noise_in_a_checkpoint_is_an_error_with_a_sentence_or_does_not_matter(path: Path, seed: int) -> None:
    _with_rows(path)
    noise = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(noise.choice([1, 4, 64])):
        at = noise.randrange(0 if seed % 2 else 4096, len(data) - 512)
        data[at : at + 512] = noise.randbytes(512)
    path.write_bytes(data)
    with suppress(CheckpointError):  # anything else, such as a ValueError, would be a traceback
        with _writing(path) as writer:
            _admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, 501)))
        _records(path)
        _overview(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invitations SET state = 'treated' WHERE client_token = 't3'",
        "UPDATE invitations SET state = CAST(x'ff' AS TEXT) WHERE client_token = 't3'",
        "UPDATE invitations SET errors = '[' WHERE client_token = 't3'",
        "DELETE FROM about WHERE key = 'version'",
        "UPDATE about SET value = 'x' WHERE key = 'version'",
    ],
)
def test_values_that_no_sender_writes_are_damage(path: Path, statement: str) -> None:
    _with_rows(path, 10)
    _sqlite(path, statement)
    with pytest.raises(CheckpointError, match="Restore it"):
        _look_at_all(path)
    with pytest.raises(CheckpointError, match="Restore it"):
        _go_on_with(path, "t3")


def _look_at_all(path: Path) -> None:
    _overview(path)
    _records(path)


def _go_on_with(path: Path, token: str) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation(token))


def test_a_commit_returns_when_it_is_flushed_to_the_disk(path: Path) -> None:
    engine = writing_engine(path)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
    engine.dispose()


_FULL = """
    import resource, sys
    from pathlib import Path
    from bulk_invite.errors import CheckpointError
    sys.path.insert(0, sys.argv[2])
    from fakes import invitation
    from bulk_invite.journal import Owner, Sent
    from bulk_invite.checkpoint.writer import CheckpointWriter
    with CheckpointWriter.open(Path(sys.argv[1]), catalog="Sandbox") as writer:
        writer.claim(Owner("1", "a"))
        writer.begin_run(0.0)
        rows = [invitation(f"t{line}", line=line) for line in range(1, 101)]
        writer.admit(rows, campaign="", retry_failed=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for line in range(1, 101):
            try:
                writer.record([Sent(f"t{line}", float(line))])
            except CheckpointError as error:
                print(f"failed: {error}")
                break
            print(f"sent t{line}", flush=True)
"""


def test_a_full_disk_is_an_error_and_what_had_returned_is_there(path: Path) -> None:
    with _python(_FULL, path, Path(__file__).parent) as process:
        assert process.stdout is not None
        *sent, failed = process.stdout.read().splitlines()
    assert failed.startswith("failed: The checkpoint")
    assert "disk" in failed
    assert 0 < len(sent) < 100
    in_doubt = {record.client_token for record in _records(path, State.IN_DOUBT)}
    assert in_doubt == {line.removeprefix("sent ") for line in sent}
    with _writing(path, Owner("1", "a")) as writer:
        (again,) = _admit(writer, invitation("t1", line=1))
        assert again == ToSend(invitation("t1", line=1), 1.0, 1.0)


_ENDLESS = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from fakes import invitation
    from bulk_invite.outcome import State
    from bulk_invite.journal import Answered, Owner, Sent
    from bulk_invite.checkpoint.writer import CheckpointWriter
    with CheckpointWriter.open(Path(sys.argv[1]), catalog="Sandbox") as writer:
        writer.claim(Owner("1", "a"))
        writer.begin_run(0.0)
        for n in range(100_000):
            writer.admit([invitation(f"t{n}", line=n + 1)], campaign="", retry_failed=False)
            print(f"t{n} pending", flush=True)
            writer.record([Sent(f"t{n}", 1.0)])
            print(f"t{n} in_doubt", flush=True)
            writer.record([Answered(f"t{n}", 2.0, State.CREATED, "created", invitation_id=f"engi-{n}")])
            print(f"t{n} created", flush=True)
"""

_RANK = {"pending": 0, "in_doubt": 1, "created": 2}


@pytest.mark.parametrize("lines", [1, 2, 3, 50, 301])
def test_what_had_returned_before_a_sigkill_is_there_after_it(path: Path, lines: int) -> None:
    with _python(_ENDLESS, path, Path(__file__).parent) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        printed += process.stdout.readlines()
    known = {record.client_token: record.state.value for record in _records(path)}
    for line in printed:
        if line.endswith("\n"):
            token, state = line.split()
            assert _RANK[known[token]] >= _RANK[state]
    assert len(known) <= len(printed) // 3 + 2
    with _writing(path, Owner("1", "a")) as writer:
        admitted = _admit(writer, *(invitation(token, line=1) for token in known))
        assert [type(each) for each in admitted] == [
            AlreadySettled if state == "created" else ToSend for state in known.values()
        ]


# A copy for export


def test_a_copy_made_during_a_run_is_a_checkpoint(path: Path, tmp_path: Path) -> None:
    with _writing(path) as writer:
        _admit(writer, invitation("a"))
        with CheckpointReader(path) as reader:
            reader.copy_to(tmp_path / "copy.db")
        _settle(writer, "a")
    assert [record.state for record in _records(tmp_path / "copy.db")] == [State.PENDING]
