"""Rows of one campaign with the same engagement and account: found, skipped, and never stored as such."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from checkpoints import NOW, OWNER, Place, answered, created, records_of, writing
from fakes import invitation
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.page import page
from bulk_invite.domain.admissions import Admission, AlreadySettled, Duplicate, SameReceiver, ToSend
from bulk_invite.domain.events import Sent
from bulk_invite.domain.records import BEFORE_ALL_CHANGES
from bulk_invite.domain.rows import Invitation, Position, Rejection, RowError
from bulk_invite.domain.same_receiver import OnSameReceiver, Twin, described
from bulk_invite.domain.verdicts import State

WARN, SKIP, SEND = OnSameReceiver.WARN, OnSameReceiver.SKIP, OnSameReceiver.SEND
ACCOUNT = "998877665544"

_NOT_INVITED = {"throttled": State.PENDING, "engagement_full": State.DEFERRED}
"""Ends of calls that certainly created nothing, while the row still waits."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "checkpoint.db"))


def _row(token: str, line: int = 1, *, account: str = ACCOUNT, **more: str) -> Invitation:
    return replace(invitation(token, line=line, **more), account=account)


def _begin(writer: CheckpointWriter, mode: OnSameReceiver, at: float = NOW) -> None:
    writer.begin_run(at, on_same_receiver=mode)


def _admit(
    writer: CheckpointWriter, *rows: Invitation, campaign: str = "", retry_failed: bool = False
) -> list[Admission]:
    return writer.admit(rows, campaign=campaign, retry_failed=retry_failed)


def _ended(writer: CheckpointWriter, token: str, ending: str) -> None:
    writer.record([Sent(token, NOW)])
    if ending == "created":
        writer.record([created(token)])
    elif ending in _NOT_INVITED:
        writer.record([answered(token, _NOT_INVITED[ending], ending)])
    elif ending == "failed":
        writer.record([answered(token, State.FAILED, "refused", code="ValidationException")])


def _twin(admission: Admission) -> Twin | None:
    assert isinstance(admission, ToSend | SameReceiver | AlreadySettled)
    return admission.twin


@pytest.mark.parametrize("kind", ["file", "database"])
@pytest.mark.parametrize("mode", list(OnSameReceiver))
def test_a_later_run_finds_the_row_that_was_invited(
    kind: str, mode: OnSameReceiver, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = Place(str(tmp_path / "checkpoint.db"))
    if kind == "database":
        place = Place(request.getfixturevalue("db").url, "checkpoint")
    arn = "arn:aws:partnercentral:us-east-1:123456789012:engagement/Sandbox/eng-1"
    with writing(place) as writer:
        _admit(writer, _row("a", 1), _row("other", 2, account="111122223333"))
        _ended(writer, "a", "created")
    with writing(place) as writer:
        _begin(writer, mode)
        mended, alone = _admit(
            writer, _row("b", 7, source="more", engagement=arn), _row("c", 8, engagement="e")
        )
        (again,) = _admit(writer, _row("a", 1))
    twin = Twin(Position("rows", 1), State.CREATED, NOW)
    row = _row("b", 7, source="more", engagement=arn)
    expected = {WARN: ToSend(row, twin=twin), SKIP: SameReceiver(row, twin), SEND: ToSend(row)}
    assert mended == expected[mode]
    assert alone == ToSend(_row("c", 8, engagement="e"))
    assert isinstance(again, AlreadySettled)
    if mode is SKIP:
        (skipped,) = records_of(place, State.DUPLICATE)
        assert (skipped.client_token, skipped.code) == ("b", "same_receiver")
        assert skipped.errors == (RowError("$", "same_receiver", ""),)
        assert skipped.duplicate_of == Position("rows", 1)
    else:
        with writing(place) as writer:
            _ended(writer, "b", "created")
    with place.reader() as reader:
        assert reader.overview(NOW).same_receiver == 1
        proof = reader.proof(NOW)
    assert (proof.adds_up, proof.invited_again) == (True, mode is not SKIP)
    named = {f"{each.row.position} {each.state}" for one in proof.shared for each in one.first}
    assert named == (set() if mode is SKIP else {"rows:1 created", "more:7 created"})


def test_a_report_names_the_partners_of_several_rows(place: Place) -> None:
    with writing(place) as writer:
        for line, account in enumerate(["1", "2", "3", "1", "2", "4", "2"] + ["3"] * 6, start=1):
            _admit(writer, _row(f"{line:02}", line, account=account * 12))
        for token, ending in {"01": "created", "02": "created", "05": "failed", "07": "created"}.items():
            _ended(writer, token, ending)
        _ended(writer, "04", "engagement_full")
    with place.reader() as reader:
        proof = reader.proof(NOW)
    lines = summary(proof).partition("Same engagement and account:\n")[2].splitlines()
    assert [line.partition(" engagement")[0] for line in lines[:2]] == [
        "  1 partner has more than one invitation to the same",
        "  2 partners have several rows for the same",
    ]
    pending = ", ".join(f"rows:{line} (pending)" for line in (3, 8, 9, 10, 11))
    assert lines[2:6] == [
        "    rows:2, rows:7",
        "    rows:1, rows:4 (deferred)",
        f"    {pending} and 2 more",
        "",
    ]
    assert "<li>rows:2, rows:7</li>" in page(proof).replace("<wbr>", "")
    assert members(proof)["shared_receivers"][0]["invited"] == members(proof)["invited_again"] + 1 == 2


def test_rows_of_another_campaign_and_rows_without_an_account_are_not_compared(place: Place) -> None:
    with writing(place) as writer:
        _begin(writer, SKIP)
        _admit(writer, _row("a"), _row("b", account=""), _row("c", account=""))
        admitted = _admit(writer, _row("d", 4), campaign="spring")
        assert admitted == [ToSend(_row("d", 4))]
        assert {each.state for each in records_of(place)} == {State.PENDING}


def test_a_row_with_the_same_token_is_no_twin_of_itself(place: Place) -> None:
    edited = replace(_row("a", 1, body="edited"), has_key_token=True)
    with writing(place) as writer:
        _begin(writer, SKIP)
        assert _admit(writer, edited, edited) == [ToSend(edited), Duplicate(edited)]
        writer.admit([edited], campaign="", retry_failed=False, follows=True)
        _begin(writer, SKIP)
        other = replace(_row("a", 1, account="111122223333"), has_key_token=True)
        assert _admit(writer, other) == [ToSend(other)]
        # The stored receiver is that of the edited row.
        assert _twin(_admit(writer, _row("b", 2))[0]) is None
        assert _twin(_admit(writer, _row("c", 3, account="111122223333"))[0]) is not None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["sent one first", "other one first"])
def test_the_receiver_is_that_of_the_version_that_is_sent(place: Place, order: tuple[int, int]) -> None:
    sent, other = _row("a", 1), _row("a", 2, account="111122223333", body="other")
    with writing(place) as writer:
        _begin(writer, SKIP)
        assert isinstance(_admit(writer, sent, other)[1], Rejection)
        for free in ("b", "c"):  # in the same run and in the next one, after both were read again
            (admission,) = _admit(writer, _row(free, 3, account="111122223333"))
            assert isinstance(admission, ToSend), free
            _ended(writer, free, "failed")
            _begin(writer, SKIP)
            versions = [
                replace((sent, other)[each], row=_row("a", line).row) for line, each in enumerate(order, 1)
            ]
            assert [type(each) for each in _admit(writer, *versions)].count(Rejection) == 1
        (twin,) = _admit(writer, _row("d", 4))
        assert isinstance(twin, SameReceiver)


def test_a_refused_row_does_not_count_until_it_is_sent_again(place: Place) -> None:
    with writing(place) as writer:
        _begin(writer, SKIP)
        _admit(writer, _row("a", 1))
        _ended(writer, "a", "failed")
        assert _admit(writer, _row("b", 2)) == [ToSend(_row("b", 2))]
        _ended(writer, "b", "created")
        _begin(writer, SKIP)
        (again,) = _admit(writer, _row("a", 1), retry_failed=True)
        assert isinstance(again, AlreadySettled)
        assert again.state is State.FAILED
        assert again.twin == Twin(Position("rows", 2), State.CREATED, NOW)
        _begin(writer, WARN)
        (retried,) = _admit(writer, _row("a", 1), retry_failed=True)
        assert isinstance(retried, ToSend)
        assert retried.twin == again.twin


def test_an_uncalled_row_that_left_the_source_keeps_no_other_from_being_sent(place: Place) -> None:
    with writing(place) as writer:
        _begin(writer, SKIP)
        assert isinstance(_admit(writer, _row("typo", 1))[0], ToSend)
        _begin(writer, SKIP)  # the first run was killed before the call, and the typo corrected
        assert _admit(writer, _row("correct", 1)) == [ToSend(_row("correct", 1))]
        _ended(writer, "correct", "created")
        (late,) = _admit(writer, _row("typo", 9))  # it was only moved
        assert isinstance(late, SameReceiver)
    assert {each.client_token: each.state for each in records_of(place)} == {
        "correct": State.CREATED,
        "typo": State.DUPLICATE,
    }


def test_a_row_that_may_have_its_invitation_is_never_skipped(place: Place) -> None:
    with writing(place) as writer:
        _begin(writer, WARN)
        rows = [_row("a", 1), _row("b", 2), _row("c", 3)]
        _admit(writer, *rows)
        _ended(writer, "a", "created")
        _ended(writer, "b", "doubtful")
        _begin(writer, SKIP)
        first, second, third = _admit(writer, *rows)
    assert isinstance(first, AlreadySettled)
    assert isinstance(second, ToSend)
    assert isinstance(third, SameReceiver)


@pytest.mark.parametrize("ending", sorted(_NOT_INVITED))
def test_a_row_corrected_after_a_call_that_created_nothing_is_sent(place: Place, ending: str) -> None:
    with writing(place) as writer:
        _begin(writer, SKIP)
        _admit(writer, _row("typo", 1))
        _ended(writer, "typo", ending)
        _begin(writer, SKIP)
        assert _admit(writer, _row("correct", 1)) == [ToSend(_row("correct", 1))]
        (late,) = _admit(writer, _row("typo", 9))  # it was only moved
        assert isinstance(late, SameReceiver)
        _begin(writer, SKIP)
        again = _admit(writer, _row("typo", 1), _row("correct", 9))
        assert isinstance(again[0], ToSend)
        assert isinstance(again[1], SameReceiver)


def test_a_skipped_row_is_sent_once_its_twin_was_refused_or_the_operator_says_so(place: Place) -> None:
    rows = [_row("a", 1), _row("b", 2), _row("c", 3)]
    with writing(place) as writer:
        for mode in (SKIP, SKIP, WARN):
            _begin(writer, mode)
            _admit(writer, *rows)
        assert {each.state for each in records_of(place)} == {State.PENDING}
        _begin(writer, SKIP)
        _admit(writer, *rows)
        _ended(writer, "a", "failed")
        _begin(writer, SKIP)
        first, second, third = _admit(writer, *rows)
    assert isinstance(first, AlreadySettled)
    assert second == ToSend(rows[1])
    assert isinstance(third, SameReceiver)
    assert third.twin.position == rows[1].position


def test_a_row_that_may_have_been_called_without_a_record_counts(place: Place) -> None:
    with writing(place) as writer:
        _begin(writer, SKIP)
        _admit(writer, _row("a", 1))
    with place.writer() as writer:
        writer.claim(OWNER)
        writer.begin_run(NOW + 9, look_up_first=True, on_same_receiver=SKIP)
        (mended,) = _admit(writer, _row("b", 1))
        (first,) = _admit(writer, _row("a", 1))
    assert isinstance(mended, SameReceiver)
    assert isinstance(first, ToSend)
    assert first.doubt_since is not None


def test_restored_rows_still_have_their_receiver(place: Place, tmp_path: Path) -> None:
    known = RecentWrites()
    with CheckpointWriter.open(place.name, catalog="Sandbox", recent_writes=known) as writer:
        writer.claim(OWNER)
        _begin(writer, SKIP)
    shutil.copy(place.name, tmp_path / "copy")
    with CheckpointWriter.open(place.name, catalog="Sandbox", recent_writes=known) as writer:
        writer.claim(OWNER)
        _begin(writer, SKIP, NOW + 1)
        _admit(writer, _row("a"), _row("b", account="111122223333"))
        _ended(writer, "a", "created")
        _ended(writer, "b", "failed")
    shutil.copy(tmp_path / "copy", place.name)
    with CheckpointWriter.open(place.name, catalog="Sandbox", recent_writes=known) as writer:
        writer.claim(OWNER)
        _begin(writer, SKIP, NOW + 2)
        skipped, sent = _admit(writer, _row("c", 3), _row("d", 4, account="111122223333"))
    assert isinstance(skipped, SameReceiver)
    assert isinstance(sent, ToSend)


def test_write_back_gets_a_skipped_row_with_its_code(place: Place) -> None:
    rows = [_row(token) for token in "ab"]
    keyed = [
        replace(row, row=replace(row.row, position=Position("rows", key=row.client_token))) for row in rows
    ]
    with writing(place) as writer:
        _begin(writer, SKIP)
        _admit(writer, *keyed)
        _, records = writer.changes("rows", "", BEFORE_ALL_CHANGES, 10)
    assert [(each.state, each.code) for each in records] == [
        (State.PENDING, ""),
        (State.DUPLICATE, "same_receiver"),
    ]


def test_neither_the_account_nor_a_hash_without_the_key_is_stored(place: Place) -> None:
    with writing(place) as writer:
        _admit(writer, _row("a"), _row("b", 2))
        _begin(writer, SKIP)
        _admit(writer, _row("c", 3))
    content = place.content()
    common = (ACCOUNT, f"eng-1\0{ACCOUNT}", f"\0eng-1\0{ACCOUNT}", f"eng-1{ACCOUNT}")
    assert ACCOUNT not in content
    for text in common:
        digest = hashlib.sha256(text.encode())
        assert digest.hexdigest()[:16] not in content
        assert digest.digest()[:8].decode("latin-1") not in content
    other = Place(f"{place.name}.other")
    with writing(other) as writer:
        _admit(writer, _row("a"))
    hashes = {_receivers(each) for each in (place, other)}
    assert len(hashes) == 2, "two checkpoints have the same key"


def _receivers(place: Place) -> str:
    with sqlite3.connect(place.name) as file:
        return str(file.execute("SELECT receiver FROM invitations WHERE client_token = 'a'").fetchone()[0])


@pytest.mark.parametrize(
    ("twin", "text"),
    [
        (Twin(Position("rows", 1), State.CREATED, NOW), "line 1, invited on 2027-01-15"),
        (Twin(Position("old", 1), State.CREATED, NOW), "old:1, invited on 2027-01-15"),
        (Twin(Position("rows", key="k"), State.PENDING), "key k, which is waiting to be sent"),
        (
            Twin(Position("rows", 1), State.IN_DOUBT, NOW),
            "line 1, which was sent on 2027-01-15, outcome unknown",
        ),
        (Twin(Position("rows", 1), State.DEFERRED), "line 1, which waits for room in its engagement"),
    ],
)
def test_the_warning_names_the_row_and_its_fate(twin: Twin, text: str) -> None:
    assert described(twin, Position("rows", 5)) == f"same engagement and account as {text}"


# The model: what the sender must have kept in mind of each row, without any of the tables.

_RECEIVER = {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2", "f": ""}
_BATCHES = st.lists(
    st.lists(st.sampled_from(sorted(_RECEIVER)), min_size=1, max_size=6), min_size=1, max_size=3
)
_ENDS = st.sampled_from(["created", "failed", "doubtful", "uncalled", "uncalled", *_NOT_INVITED])


@dataclass
class _Seen:
    """called: tokens that have or may have an invitation, or were refused. read: those this run has read."""

    called: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def has_twin(self, token: str) -> bool:
        others = (self.called - self.refused) | self.open
        return bool(_RECEIVER[token]) and any(
            _RECEIVER[other] == _RECEIVER[token] for other in others if other != token
        )


@settings(max_examples=30, deadline=None)
@given(
    modes=st.lists(st.sampled_from([WARN, SKIP, SKIP, SEND]), min_size=1, max_size=4),
    retry_failed=st.booleans(),
    data=st.data(),
)
def test_every_row_is_compared_with_what_was_called_or_is_waiting(
    modes: list[OnSameReceiver], data: st.DataObject, *, retry_failed: bool
) -> None:
    seen = _Seen()
    with TemporaryDirectory() as folder, writing(Place(f"{folder}/checkpoint.db")) as writer:
        for mode in modes:  # each run may have been killed at any commit: nothing else is kept
            _begin(writer, mode)
            seen.open, seen.read = set(), set()
            for batch in data.draw(_BATCHES):
                rows = [_row(token, account=_RECEIVER[token]) for token in batch]
                admitted = _admit(writer, *rows, retry_failed=retry_failed)
                for token, admission in zip(batch, admitted, strict=True):
                    _check(seen, token, admission, mode, retry_failed=retry_failed)
                for token in sorted(seen.open & set(batch)):
                    _end(writer, seen, token, data.draw(_ENDS))
    if set(modes) == {SKIP}:
        invited = [_RECEIVER[token] for token in seen.called - seen.refused if _RECEIVER[token]]
        assert len(invited) == len(set(invited)), "two rows of one receiver were sent"


def _check(
    seen: _Seen, token: str, admission: Admission, mode: OnSameReceiver, *, retry_failed: bool
) -> None:
    if token in seen.read:
        assert isinstance(admission, Duplicate)
        return
    seen.read.add(token)
    is_retried = retry_failed and token in seen.refused
    is_first_call = token not in seen.called or is_retried
    has_twin = mode is not SEND and is_first_call and seen.has_twin(token)
    assert not isinstance(admission, Duplicate)
    assert (_twin(admission) is not None) == has_twin, (token, admission)
    if has_twin and mode is SKIP:
        assert isinstance(admission, AlreadySettled if is_retried else SameReceiver)
    elif token not in seen.called or is_retried or isinstance(admission, ToSend):
        assert isinstance(admission, ToSend)
        seen.open.add(token)
        if is_retried:  # it is sent once more, so the refused call no longer counts
            seen.refused.discard(token)
            seen.called.discard(token)


def _end(writer: CheckpointWriter, seen: _Seen, token: str, ending: str) -> None:
    if ending == "uncalled":
        return
    _ended(writer, token, ending)
    if ending in _NOT_INVITED:
        seen.called.discard(token)
        return
    seen.called.add(token)
    seen.open.discard(token)
    (seen.refused.add if ending == "failed" else seen.refused.discard)(token)
