"""The checkpoint in real SQLite files and a real PostgreSQL: against a model, and killed midway."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from checkpoints import (
    NOW,
    OWNER,
    Place,
    admit,
    answered,
    created,
    first_line,
    overview_of,
    python,
    records_of,
    settle,
    writing,
)
from fakes import invitation, row
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bulk_invite.checkpoint.tables.values import VERSION
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import Admission, AlreadySettled, Duplicate, SeenAgain, ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.outcomes import NOT_SENT
from bulk_invite.domain.records import BEFORE_ALL_CHANGES, Change, Owner, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection, RowError
from bulk_invite.domain.verdicts import State


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(str(tmp_path / "checkpoint.db"))
    return Place(request.getfixturevalue("db").url, "checkpoint")


_TOKENS = st.sampled_from(["a", "b", "c", "d", "e"])


_ROWS = st.one_of(st.none(), st.tuples(_TOKENS, st.sampled_from(["", "", "other"])))


_ENDINGS = st.sampled_from(["created", "failed", "throttled", "doubtful", "full", "unreachable"])


@dataclass
class _Row:
    """The expected state of a token; `run` read it last."""

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

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._model = _Model()
        self._clock = NOW
        self._run = 0
        self._next_line = 1
        self._writer: CheckpointWriter | None = None
        self.start_again()

    def teardown(self) -> None:
        self._close()

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
        self._writer = self._place.writer()
        self._open.claim(OWNER)
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
        assert admit(self._open, *rows, retry_failed=retry_failed) == expected

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
        refused = known.state is State.FAILED and retry_failed
        if refused:
            known.state = State.PENDING
            known.code, known.errors = "", ()
        if known.state in {State.CREATED, State.FAILED}:
            arn = f"arn:{each.client_token}" if known.state is State.CREATED else ""
            return AlreadySettled(each, known.state, known.invitation_id, arn, known.code, known.errors)
        deferred, answer = known.state is State.DEFERRED, (known.code, known.errors)
        return ToSend(each, known.doubt_since, known.last_sent, *answer, deferred=deferred, refused=refused)

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
            "created": created(token),
            "failed": answered(token, State.FAILED, "refused", code="V", errors=(error,)),
            "throttled": answered(token, pending, "throttled", code="T", doubt_since=doubt_before),
            "doubtful": answered(token, State.IN_DOUBT, "doubtful", doubt_since=known.doubt_since),
            "full": answered(token, State.DEFERRED, "engagement_full", code="F"),
            "unreachable": answered(token, pending, "unreachable", doubt_since=doubt_before, counted=False),
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
        with self._place.reader() as reader:
            records, overview = list(reader.records(())), reader.overview(self._clock)
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
        for record in records:
            first = rows[record.client_token].position if record.state is State.DUPLICATE else None
            assert (record.campaign, record.duplicate_of) == ("", first)
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


def test_the_checkpoint_behaves_like_a_model(place: Place) -> None:
    numbers = count()

    def machine() -> CheckpointMachine:
        """In a separate place."""
        name = f"checkpoint{next(numbers)}"
        file = Path(place.name).with_name(f"{name}.db")
        return CheckpointMachine(Place(str(file)) if place.is_file else Place(place.name, name))

    some = settings(max_examples=20 if place.is_file else 8, stateful_step_count=12, deadline=None)
    run_state_machine_as_test(machine, settings=some)  # type: ignore[arg-type]  # a factory is as good


def test_the_same_row_twice_is_a_duplicate_within_a_batch_and_across_batches(place: Place) -> None:
    with writing(place) as writer:
        first, second = admit(writer, invitation("a", line=1), invitation("a", line=2))
        (third,) = admit(writer, invitation("a", line=3))
        assert [type(each) for each in (first, second, third)] == [ToSend, Duplicate, Duplicate]


def test_a_token_with_another_body_is_rejected_and_the_first_body_is_kept(place: Place) -> None:
    with writing(place) as writer:
        _, reused = admit(writer, invitation("a", line=1), invitation("a", line=2, body="changed"))
        assert isinstance(reused, Rejection)
        assert [(error.path, error.code) for error in reused.errors] == [("$.ClientToken", "token_reused")]
    with writing(place) as writer:
        (reused,) = admit(writer, invitation("a", body="changed"))
        assert isinstance(reused, Rejection)
        assert admit(writer, invitation("a", line=2)) == [ToSend(invitation("a", line=2))]


@pytest.mark.parametrize(
    ("answer", "doubt_since"),
    [
        (None, NOW),  # killed between the intent and the answer
        (answered("a", State.PENDING, "throttled"), None),
        (answered("a", State.IN_DOUBT, "doubtful", doubt_since=NOW), NOW),
        (answered("a", State.DEFERRED, "engagement_full"), None),
    ],
)
def test_unsettled_rows_continue_in_the_next_run(
    place: Place, answer: Answered | None, doubt_since: float | None
) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        if answer is not None:
            writer.record([answer])
    with writing(place) as writer:
        deferred = answer is not None and answer.state is State.DEFERRED
        code = "" if answer is None else answer.code
        assert admit(writer, invitation("a")) == [
            ToSend(invitation("a"), doubt_since, NOW, code, deferred=deferred)
        ]


def test_doubt_dates_from_the_first_attempt_over_all_runs(place: Place) -> None:
    for run in range(3):
        with writing(place) as writer:
            admit(writer, invitation("a"))
            writer.record([Sent("a", NOW + run)])
    with writing(place) as writer:
        assert admit(writer, invitation("a")) == [ToSend(invitation("a"), NOW, NOW + 2)]


@pytest.mark.parametrize("outcome", sorted(NOT_SENT))
def test_an_attempt_that_never_left_is_not_counted(place: Place, outcome: str) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.PENDING, outcome, counted=False)])
    assert [record.attempts for record in records_of(place)] == [0]


def test_a_corrected_line_replaces_its_rejection(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, Rejection(row(1, "bad"), (RowError("$", "bad", ""),)), invitation("b", line=2))
    assert [record.state for record in records_of(place, State.REJECTED)] == [State.REJECTED]
    with writing(place) as writer:
        admit(writer, invitation("a", line=1), invitation("b", line=2))
    assert records_of(place, State.REJECTED) == []
    assert overview_of(place).states == {State.PENDING: 2}


def test_a_removed_line_removes_its_rejection(place: Place) -> None:
    bad = RowError("$", "bad", "")
    with writing(place) as writer:
        admit(writer, invitation("a", line=1), Rejection(row(9, "bad"), (bad,)))
    with writing(place) as writer:
        admit(writer, invitation("a", line=1), Rejection(row(3, "bad"), (bad,)))
        writer.end_source("another", "")
        assert {record.position.line for record in records_of(place, State.REJECTED)} == {3, 9}
        writer.end_source("rows", "")
    assert [record.position.line for record in records_of(place, State.REJECTED)] == [3]


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_failed_row_is_sent_again_only_on_request(place: Place, *, retry_failed: bool) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.FAILED, "refused")])
    with writing(place) as writer:
        (admission,) = admit(writer, invitation("a"), retry_failed=retry_failed)
    assert isinstance(admission, ToSend if retry_failed else AlreadySettled)
    assert overview_of(place).states == {State.PENDING if retry_failed else State.FAILED: 1}


def test_a_look_up_of_a_row_in_doubt_has_the_refusal_of_its_last_attempt(place: Place) -> None:
    error = RowError("$.A", "INVALID", "a message that may repeat a value")
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.IN_DOUBT, "refused", code="V", errors=(error,), doubt_since=NOW)])
        expected_errors = (RowError("$.A", "INVALID", ""),)
        assert [(row.code, row.errors) for row in writer.rows_of(["eng-1"])[0]] == [("V", expected_errors)]
        assert [(row.code, row.errors) for row, *_ in writer.in_doubt("", 5)] == [("V", expected_errors)]
    with writing(place) as writer:
        assert admit(writer, invitation("a")) == [ToSend(invitation("a"), NOW, NOW, "V", expected_errors)]
        writer.record([Sent("a", NOW + 1)])
        assert [(row.code, row.errors) for row, *_ in writer.in_doubt("", 5)] == [("", ())]


def test_engagements_to_send_are_those_of_the_open_rows_of_this_run_by_id_or_arn(place: Place) -> None:
    arn = "arn:aws:partnercentral:us-east-1:111122223333:catalog/Sandbox/engagement/eng-1"
    with writing(place) as writer:
        admit(writer, invitation("gone", engagement="eng-7"))
    with writing(place) as writer:
        engagements = {"a": "eng-1", "b": arn, "c": "eng-2", "d": "eng-3"}
        admit(writer, *(invitation(token, engagement=each) for token, each in engagements.items()))
        writer.record([Sent("d", NOW)])
        writer.record([created("d")])
    with place.reader() as reader:
        assert reader.engagements_to_send() == 2


def test_a_failed_row_that_is_sent_again_loses_its_refusal(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.FAILED, "refused", code="V")])
    for retry_failed in (True, False):  # a run that dies before it sends the row, and the next one
        with writing(place) as writer:
            [admission] = writer.admit([invitation("a")], campaign="", retry_failed=retry_failed)
        assert admission == ToSend(invitation("a"), None, NOW, refused=retry_failed)
    assert overview_of(place).states == {State.PENDING: 1}


def test_messages_of_the_service_are_not_stored(place: Place) -> None:
    secret = "jane.doe@example.com"
    with writing(place) as writer:
        admit(
            writer,
            invitation("a", body=secret),
            Rejection(row(2, secret), (RowError("$.Email", "pattern", secret),)),
        )
        writer.record([Sent("a", NOW)])
        writer.record(
            [answered("a", State.FAILED, "refused", errors=(RowError("$.Email", "INVALID", secret),))]
        )
        assert secret not in place.content()
    assert [record.errors for record in records_of(place, State.FAILED)] == [
        (RowError("$.Email", "INVALID", ""),)
    ]


def test_rows_missing_from_the_file_stop_the_sender(place: Place) -> None:
    with writing(place) as writer, pytest.raises(CheckpointError, match="changed by another program"):
        writer.record([Sent("nobody", NOW)])


def test_a_batch_is_atomic(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        with pytest.raises(CheckpointError):
            writer.record([Sent("a", NOW), Sent("nobody", NOW)])
    assert [record.state for record in records_of(place)] == [State.PENDING]


def test_a_checkpoint_belongs_to_the_first_account(place: Place) -> None:
    with writing(place):
        pass
    with (
        pytest.raises(CheckpointError, match="belongs to account 123456789012"),
        writing(place, Owner("999999999999", "a" * 64)),
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
        ([Owner("", ""), Owner("", "")], True),  # a temporary key identifies no account
        ([Owner("", ""), Owner("1", "")], True),
        ([Owner("", ""), Owner("1", ""), Owner("2", "")], False),
        ([Owner("1", ""), Owner("", "")], False),  # and does not release the bound account
    ],
)
def test_the_hash_of_the_key_replaces_an_unknown_account(
    place: Place, owners: list[Owner], *, allowed: bool
) -> None:
    for owner in owners[:-1]:
        with writing(place, owner):
            pass
    if allowed:
        with writing(place, owners[-1]):
            pass
    else:
        with pytest.raises(CheckpointError, match="belongs to"), writing(place, owners[-1]):
            pass


def test_another_catalog_is_refused(place: Place) -> None:
    with writing(place):
        pass
    with pytest.raises(CheckpointError, match="belongs to catalog Sandbox, not AWS"):
        place.writer("AWS")


_HOLD = """
    from pathlib import Path
    import structlog, sys, time
    from bulk_invite.checkpoint.writer import CheckpointWriter
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with CheckpointWriter.open(sys.argv[1], schema=sys.argv[2], catalog="Sandbox"):
        print("open", flush=True)
        time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_ends_even_by_sigkill(place: Place) -> None:
    with python(_HOLD, place.name, place.schema) as process:
        assert first_line(process) == "open\n"
        named = rf"Another sender is working on the checkpoint .*: process {process.pid} of .*, since 2"
        with pytest.raises(CheckpointError, match=named):
            place.writer("Sandbox")
        assert overview_of(place).active
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not overview_of(place).active
    with writing(place):
        pass


def test_a_refused_open_releases_the_lock(place: Place) -> None:
    with writing(place):
        pass
    with pytest.raises(CheckpointError):
        place.writer("AWS")
    with writing(place):
        pass


def test_readers_do_not_block_a_writer(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, 3001)))
        with place.reader() as reader:
            records = reader.records([])
            assert next(records).state is State.PENDING
            settle(writer, "t1", "t2")
            assert sum(1 for _ in records) == 2999
            assert reader.overview(NOW).states == {State.CREATED: 2, State.PENDING: 2998}


def test_the_overview_counts_rows_by_state(place: Place) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a", line=1), invitation("b", line=2))
        settle(writer, "a")
        writer.record([Sent("b", NOW + 100)])
        writer.record([answered("b", State.PENDING, "throttled", at=NOW + 101)])
    with writing(place, at=NOW + 1000) as writer:
        admit(writer, invitation("b", line=2))
        writer.record([Sent("b", NOW + 1010)])
    overview = overview_of(place, NOW + 150)
    assert overview.owner == OWNER
    assert overview.catalog == "Sandbox"
    assert overview.states == {State.CREATED: 1, State.IN_DOUBT: 1}
    assert (overview.attempts, overview.throttled) == (3, 1)
    assert overview.elapsed == 101 + 10
    assert overview.last_event == NOW + 1010
    assert (overview.sent_last_minute, overview.throttled_last_minute) == (2, 1)


@pytest.mark.parametrize("sent", [True, False])
def test_a_row_with_a_token_from_its_key_may_change_until_it_is_sent(place: Place, *, sent: bool) -> None:
    first = replace(invitation("a"), has_key_token=True)
    second = replace(invitation("a", body="other"), has_key_token=True)
    with writing(place) as writer:
        assert admit(writer, first, second)[0] == ToSend(
            first
        )  # not within a run, in which it may be leaving
        if sent:
            writer.record([Sent("a", NOW)])
    with writing(place) as writer:
        changed, again = admit(writer, second, second)
        if sent:
            assert isinstance(changed, Rejection)
            assert [error.code for error in changed.errors] == ["changed_since_sent"]
        else:
            assert (changed, again) == (ToSend(second), Duplicate(second))
    with writing(place) as writer:
        assert admit(writer, first if sent else second)[0].__class__ is ToSend


def test_a_watermark_is_as_durable_as_its_rows_and_is_removed_at_the_end_of_the_source(place: Place) -> None:
    def keyed(token: str, key: str) -> Invitation:
        made = invitation(token)
        return replace(made, row=replace(made.row, position=Position("db", key=key)))

    rows = [keyed("a", "1"), keyed("b", "2"), keyed("c", "3")]
    with writing(place) as writer:
        writer.admit(rows, campaign="", retry_failed=False, reached=rows[-1].position)
        settle(writer, "b")
    with writing(place) as writer:
        assert writer.watermark("db", "") == "3"
        assert writer.watermark("rows", "") is None
        assert writer.open_keys("db", "", "", 10) == ["1", "3"]
        assert writer.open_keys("db", "", "1", 10) == ["3"]
        assert writer.open_keys("db", "", "", 1) == ["1"]
        (arrived,) = writer.created_rows("db", "", "", 10)
        assert (arrived.position, arrived.client_token, arrived.invitation_id) == (
            Position("db", key="2"),
            "b",
            "engi-b",
        )
        assert writer.created_rows("db", "", "2", 10) == []
        assert writer.watermark("db", "another") is None
        assert (writer.open_keys("db", "another", "", 9), writer.created_rows("db", "another", "", 9)) == (
            [],
            [],
        )
        with place.reader() as reader:
            assert (reader.known_rows("db", ""), reader.known_rows("db", "another")) == (3, 0)
        writer.end_source("db", "another")
        assert writer.watermark("db", "") == "3"
        writer.end_source("db", "")
        assert writer.watermark("db", "") is None


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_a_checkpoint_of_another_version_is_left_unchanged(place: Place, version: int) -> None:
    with writing(place):
        pass
    place.run(f"UPDATE about SET value = '{version}' WHERE key = 'version'")
    before = place.content()
    for opened in (place.reader, place.writer):
        with pytest.raises(
            CheckpointError, match=f"has version {version}; .* only version {VERSION}"
        ) as refused:
            opened()
        assert "the bulk-invite version that wrote it" in refused.value.hint
    assert place.content() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invitations SET state = 'treated' WHERE client_token = 't3'",
        "UPDATE invitations SET errors = '[' WHERE client_token = 't3'",
        "DELETE FROM about WHERE key = 'version'",
        "UPDATE about SET value = 'x' WHERE key = 'version'",
    ],
)
def test_values_that_no_sender_writes_count_as_damage(place: Place, statement: str) -> None:
    with writing(place) as writer:
        admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, 11)))
        settle(writer, "t3")
    place.run(statement)
    with pytest.raises(CheckpointError, match="Restore it"):
        _look_at_all(place)
    with pytest.raises(CheckpointError, match="Restore it"):
        _go_on_with(place, "t3")


def _look_at_all(place: Place) -> None:
    overview_of(place)
    records_of(place)


def _go_on_with(place: Place, token: str) -> None:
    with writing(place) as writer:
        admit(writer, invitation(token))


_ENDLESS = """
    import structlog, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from fakes import invitation
    from bulk_invite.domain.verdicts import State
    from bulk_invite.domain.events import Answered, Sent
    from bulk_invite.domain.records import Owner
    from bulk_invite.checkpoint.writer import CheckpointWriter
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with CheckpointWriter.open(sys.argv[1], schema=sys.argv[2], catalog="Sandbox") as writer:
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
def test_a_returned_commit_survives_a_sigkill(place: Place, lines: int) -> None:
    with python(_ENDLESS, place.name, place.schema, Path(__file__).parents[1] / "support") as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        printed += process.stdout.readlines()
    known = {record.client_token: record.state.value for record in records_of(place)}
    for line in printed:
        if line.endswith("\n"):
            token, state = line.split()
            assert _RANK[known[token]] >= _RANK[state]
    assert len(known) <= len(printed) // 3 + 2
    with writing(place, Owner("1", "a")) as writer:
        admitted = admit(writer, *(invitation(token, line=1) for token in known))
        assert [type(each) for each in admitted] == [
            AlreadySettled if state == "created" else ToSend for state in known.values()
        ]


def test_a_copy_made_during_a_run_is_a_valid_checkpoint(place: Place, tmp_path: Path) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        with place.reader() as reader:
            reader.copy_to(tmp_path / "copy.db")
        settle(writer, "a")
    assert [record.state for record in records_of(Place(str(tmp_path / "copy.db")))] == [State.PENDING]


# Followed sources, and readers of changed rows


def _keyed(token: str, key: str, body: str = "") -> Invitation:
    made = invitation(token, body=body)
    return replace(made, row=replace(made.row, position=Position("db", key=key)))


def _bad(key: str, code: str = "bad") -> Rejection:
    made = row(1, "x")
    return Rejection(replace(made, position=Position("db", key=key)), (RowError("$.x", code, ""),))


def _rows() -> list[Invitation | Rejection]:
    return [_keyed("a", "1"), _keyed("b", "2"), _keyed("a", "3"), _bad("4")]


def test_a_row_of_a_followed_source_that_is_read_again_is_no_duplicate(place: Place) -> None:
    rows = _rows()
    with writing(place) as writer:
        first = writer.admit(rows, campaign="", retry_failed=False, follows=True)
        assert [type(each) for each in first] == [ToSend, ToSend, Duplicate, Rejection]
        writer.record([Sent("b", NOW)])
        again = writer.admit([*rows, _bad("4", "worse")], campaign="", retry_failed=False, follows=True)
        assert [type(each) for each in again] == [SeenAgain, SeenAgain, Duplicate, SeenAgain, Rejection]
        once = writer.admit(rows[:1], campaign="", retry_failed=False)
        assert [type(each) for each in once] == [Duplicate]  # elsewhere it is
    with writing(place) as writer:
        later = writer.admit(rows, campaign="", retry_failed=False, follows=True)
        assert [type(each) for each in later] == [ToSend, ToSend, Duplicate, Rejection]
    states = {each.position.key: each.state for each in records_of(place)}
    assert states == {
        "1": State.PENDING,
        "2": State.IN_DOUBT,
        "3": State.DUPLICATE,
        "4": State.REJECTED,
    }


def test_a_strict_row_with_warnings_is_rejected_unless_an_earlier_run_has_accepted_it(place: Place) -> None:
    lenient = replace(_keyed("a", "1"), warnings=(RowError("$.x", "odd", ""),))
    strict = replace(lenient, is_strict=True)
    kinds: list[type[object]] = []
    for each in (strict, strict, lenient, strict):
        with writing(place) as writer:
            for _ in range(2):
                admitted = writer.admit([each], campaign="", retry_failed=False, follows=True)
                kinds += map(type, admitted)
    assert kinds == [Rejection, SeenAgain, SeenAgain, SeenAgain, ToSend, SeenAgain, ToSend, SeenAgain]


def test_a_file_that_is_read_again_keeps_the_rejections_between_known_rows(place: Place) -> None:
    rows: list[Invitation | Rejection] = [
        invitation("a", line=1),
        Rejection(row(2, "bad"), (RowError("$.x", "bad", ""),)),
        invitation("c", line=3),
    ]
    with writing(place) as writer:
        writer.admit(rows, campaign="", retry_failed=False, follows=True)
        changed = [invitation("other", line=1), *rows[1:]]
        more = [*changed, Rejection(row(4, "bad"), (RowError("$.x", "bad", ""),))]
        again = writer.admit(more, campaign="", retry_failed=False, follows=True)
        assert [type(each) for each in again] == [ToSend, SeenAgain, SeenAgain, Rejection]
    rejected = [each.position.line for each in records_of(place, State.REJECTED)]
    assert rejected == [2, 4]


def test_a_watermark_is_as_durable_as_its_rows_and_belongs_to_its_campaign(place: Place) -> None:
    with writing(place) as writer:
        assert writer.source_cursor("db", "") is None
        writer.admit([_keyed("a", "1")], campaign="", retry_failed=False, reached=SourceCursor("db", "one"))
        writer.admit([], campaign="", retry_failed=False, reached=SourceCursor("db", "two"))
    with writing(place) as writer:
        assert (
            writer.source_cursor("db", ""),
            writer.source_cursor("db", "other"),
            writer.source_cursor("rows", ""),
        ) == (
            "two",
            None,
            None,
        )
        assert writer.watermark("db", "") is None


def _changes(writer: CheckpointWriter, after: Change, limit: int = 100) -> tuple[Change, dict[str, Record]]:
    reached, found = writer.changes("db", "", after, limit)
    return reached, {each.position.key: each for each in found}


def test_a_changed_row_is_returned_once_in_its_current_state(place: Place) -> None:
    with writing(place) as writer:
        rows = _rows()
        writer.admit(rows, campaign="", retry_failed=False)
        admit(writer, invitation("elsewhere"))
        after, found = _changes(writer, BEFORE_ALL_CHANGES)
        assert {key: each.state.value for key, each in found.items()} == {
            "1": "pending",
            "2": "pending",
            "3": "duplicate",
            "4": "rejected",
        }
        assert _changes(writer, after) == (after, {})
        writer.record([Sent("b", NOW)])
        after, found = _changes(writer, after)
        assert [(key, each.state) for key, each in found.items()] == [("2", State.IN_DOUBT)]
        writer.record([created("b")])
        after, found = _changes(writer, after)
        assert [(key, each.state, each.invitation_id) for key, each in found.items()] == [
            ("2", State.CREATED, "engi-b")
        ]
    with writing(place) as writer:  # a row that is only read again has not changed
        writer.admit([_keyed("b", "2")], campaign="", retry_failed=False)
        assert _changes(writer, after) == (after, {})
        assert writer.changes("db", "another campaign", BEFORE_ALL_CHANGES, 10)[1][0].position.key == "3"
        pages, at = list[str](), BEFORE_ALL_CHANGES
        while page := writer.changes("db", "", at, 1)[1]:
            at = writer.changes("db", "", at, 1)[0]
            pages += [each.position.key for each in page]
        assert sorted(pages) == ["1", "2", "3", "4"]


def test_a_row_not_yet_sent_is_not_replaced_by_a_row_of_another_source(place: Place) -> None:
    first = replace(_keyed("a", "1"), has_key_token=True)
    other = replace(_keyed("a", "1", body="other"), has_key_token=True)
    other = replace(other, row=replace(other.row, position=Position("another db", key="1")))
    with writing(place) as writer:
        writer.admit([first], campaign="", retry_failed=False)
    with writing(place) as writer:
        (refused,) = writer.admit([other], campaign="", retry_failed=False)
        assert isinstance(refused, Rejection)
        assert [error.code for error in refused.errors] == ["key_of_another_source"]
    with writing(place) as writer:
        assert writer.admit([first], campaign="", retry_failed=False) == [ToSend(first)]


def test_a_changed_row_that_was_sent_is_reported_with_its_invitation(place: Place) -> None:
    first = replace(_keyed("a", "1"), has_key_token=True)
    with writing(place) as writer:
        writer.admit([first], campaign="", retry_failed=False)
        settle(writer, "a")
    with writing(place) as writer:
        changed = replace(_keyed("a", "1", body="other"), has_key_token=True)
        writer.admit([changed], campaign="", retry_failed=False)
        _, found = writer.changes("db", "", BEFORE_ALL_CHANGES, 10)
        last = found[-1]
        assert (last.state, last.invitation_id) == (State.CREATED, "engi-a")
        assert [error.code for error in last.errors] == ["changed_since_sent"]
