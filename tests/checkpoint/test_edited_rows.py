"""Rows of files with tokens from keys: however they are edited and renamed, each key is sent once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from checkpoints import Place, admit, answered, created, writing
from fakes import invitation
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from row_checks import LEAD, MODEL, TODAY

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import AlreadySettled, Duplicate, SeenAgain, ToSend
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.findings import MAY_BE_MISSING
from bulk_invite.domain.member_path import KEY
from bulk_invite.domain.records import BEFORE_ALL_CHANGES
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.verdicts import State
from bulk_invite.validation import RowValidator

VALIDATOR = RowValidator(MODEL, catalog="Sandbox", campaign="", today=TODAY, key=KEY)
NOW = 1_800_000_000.0

rows = st.tuples(st.sampled_from("abc"), st.integers(0, 2))
"""A key, and the version of its row."""
ends = st.sampled_from(["created", "refused", "doubt", "throttled", "unsent"])
runs = st.tuples(
    st.lists(rows, max_size=5), st.sampled_from(["one.ndjson", "two.ndjson", "-"]), st.lists(ends, min_size=5)
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "bulk-invite.db"))


def made(key: str, version: int, line: int = 1, source: str = "rows.ndjson", label: str = "") -> Invitation:
    members = {name: value for name, value in LEAD.items() if name != "ClientToken"}
    ours = {"key": key, **({"label": label} if label else {})}
    row = {**members, "EngagementIdentifier": f"eng-{version:014}", "_bulk_invite": ours}
    result = VALIDATOR.validate(Row(Position(source, line), json.dumps(row).encode()))
    assert isinstance(result, Invitation)
    return result


def code_of(rejection: object) -> str:
    assert isinstance(rejection, Rejection)
    (error,) = rejection.errors
    return error.code


@dataclass
class Service:
    """What was called: bodies by token, and the tokens that have an invitation."""

    bodies: dict[str, set[str]] = field(default_factory=dict)
    invited: Counter[str] = field(default_factory=Counter)

    def call(self, writer: CheckpointWriter, row: Invitation, end: str) -> None:
        if end == "unsent":
            return
        token = row.client_token
        writer.record([Sent(token, NOW)])
        self.bodies.setdefault(token, set()).add(row.body_hash)
        if end == "created":
            self.invited[token] += 1
            writer.record([created(token)])
        elif end == "refused":
            writer.record([answered(token, State.FAILED, "refused", code="ValidationException")])
        elif end in {"throttled", "engagement_full"}:
            state = State.PENDING if end == "throttled" else State.DEFERRED
            writer.record([answered(token, state, end)])


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(runs, min_size=1, max_size=3))
def test_a_key_is_sent_in_one_version_and_invited_once_whatever_is_edited_and_renamed(
    history: list[tuple[list[tuple[str, int]], str, list[str]]],
) -> None:
    service = Service()
    with TemporaryDirectory() as folder:
        place = Place(str(Path(folder) / "c.db"))
        for source_rows, source, how in history:
            with writing(place) as writer:
                batch = [made(*row, line, source) for line, row in enumerate(source_rows, start=1)]
                first: dict[str, str] = {}
                for row, admission, end in zip(batch, admit(writer, *batch), how, strict=False):
                    if isinstance(admission, ToSend):
                        service.call(writer, row, end)
                    if isinstance(admission, Duplicate):
                        assert first[row.client_token] == row.body_hash
                    if not isinstance(admission, Rejection):
                        # Of the versions in a run, one is admitted: the first one, or the one sent before.
                        assert first.setdefault(row.client_token, row.body_hash) == row.body_hash
    assert all(len(bodies) == 1 for bodies in service.bodies.values())
    assert all(count == 1 for count in service.invited.values())


@pytest.mark.parametrize("source", ["rows.ndjson", "renamed.ndjson.gz", "-"])
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("created", "changed_since_sent"),
        ("doubt", "changed_since_sent"),
        ("refused", "changed_since_refused"),
        ("throttled", "changed_since_called"),
        ("engagement_full", "changed_since_called"),
        ("unsent", None),
    ],
)
def test_an_edited_row_is_sent_only_if_its_first_version_never_was(
    place: Place, source: str, end: str, code: str | None
) -> None:
    before, edited = made("a", 0), made("a", 1, 7, source, "new label")
    with writing(place) as writer:
        admit(writer, before)
        Service().call(writer, before, end)
    with writing(place) as writer:
        (admission,) = admit(writer, edited)
        if code is None:
            assert admission == ToSend(edited)
            return
        assert code_of(admission) == code
        assert isinstance(admission, Rejection)
        assert (admission.sent_as, admission.label) == (before.client_token, "new label")
        assert code == "changed_since_refused" or "(rows.ndjson:1)" in admission.errors[0].message
        (unchanged,) = admit(writer, made("a", 0, 8, source))
        assert unchanged.__class__ is (AlreadySettled if end in {"created", "refused"} else ToSend)


def test_an_edited_row_is_not_sent_if_calls_of_its_first_version_may_be_missing(place: Place) -> None:
    """A look-up of the new version would not find the invitation of the first one."""
    before, edited = made("a", 0), made("a", 1)
    with writing(place) as writer:
        admit(writer, before)
    with writing(place) as writer:
        writer.begin_run(NOW, look_up_first=True)
        assert code_of(admit(writer, edited)[0]) == "changed_since_sent"
        (unchanged,) = admit(writer, before)
        assert isinstance(unchanged, ToSend)
        assert unchanged.code == MAY_BE_MISSING


def test_the_same_key_twice_in_a_run_is_a_duplicate_or_names_the_first_row(place: Place) -> None:
    first, again, other = made("a", 0, 1), made("a", 0, 2), made("a", 1, 1, "second.ndjson")
    with writing(place) as writer:
        admitted = admit(writer, first, again, other)
        assert admitted[:2] == [ToSend(first), Duplicate(again)]
        assert code_of(admitted[2]) == "key_reused"
        assert isinstance(admitted[2], Rejection)
        assert "rows.ndjson:1" in admitted[2].errors[0].message
        assert admitted[2].sent_as == ""


def test_a_followed_row_that_is_edited_within_a_run_is_reported_as_changed(place: Place) -> None:
    with writing(place) as writer:
        for version, expected in ((0, ToSend(made("a", 0))), (0, SeenAgain(made("a", 0).row)), (1, None)):
            (admission,) = writer.admit([made("a", version)], campaign="", retry_failed=False, follows=True)
            if expected is None:
                assert code_of(admission) == "changed_since_sent"
            else:
                assert admission == expected


def test_a_key_of_a_database_is_not_taken_over_by_a_file(place: Place) -> None:
    data = json.dumps({name: value for name, value in LEAD.items() if name != "ClientToken"}).encode()
    of_database = VALIDATOR.validate(Row(Position("db", key="a"), data))
    assert isinstance(of_database, Invitation)
    of_file = made("a", 1)
    assert of_file.client_token == of_database.client_token
    for one, other in ((of_database, of_file), (of_file, of_database)):
        with writing(place) as writer:
            admit(writer, one)
        with writing(place) as writer:
            assert code_of(admit(writer, other)[0]) == "key_of_another_source"
        place.run("DELETE FROM invitations", "DELETE FROM unsent_rows")


def test_tokens_of_files_keep_their_basis_within_a_campaign(place: Place) -> None:
    by_key, by_member = "key $._bulk_invite.key", "key $.EngagementIdentifier"
    with writing(place) as writer:
        for basis in (by_key, "content", by_member, by_key):  # no row has a token yet
            writer.tokens.bind_files("", basis)
        admit(writer, made("a", 0))
        for basis in ("content", by_member):
            with pytest.raises(UsageError, match="would send all of them again") as raised:
                writer.tokens.bind_files("", basis)
            assert "--token-from key --key '$._bulk_invite.key'" in raised.value.hint
        writer.tokens.bind_files("another", "content")
        writer.tokens.bind_files("", by_key)
    with writing(place) as writer:
        writer.admit([invitation("b")], campaign="another", retry_failed=False)
        with pytest.raises(UsageError, match="were derived with --token-from content"):
            writer.tokens.bind_files("another", by_key)


# Labels


def test_a_label_is_stored_and_a_changed_one_replaces_it_in_any_state(place: Place) -> None:
    with writing(place) as writer:
        rejection = Rejection(Row(Position("rows.ndjson", 3), b"{"), made("x", 0).warnings, label="third")
        admit(writer, made("a", 0, 1, label="first"), made("a", 0, 2, label="second"), rejection)
        Service().call(writer, made("a", 0), "created")
    assert _labels(place) == {1: "first", 2: "second", 3: "third"}
    with writing(place) as writer:
        (settled,) = admit(writer, made("a", 0, 1, label="changed"))
        assert isinstance(settled, AlreadySettled)
        writer.admit([made("a", 0, 1, label="again")], campaign="", retry_failed=False, follows=True)
    assert _labels(place)[1] == "again"


def test_a_changed_label_of_a_database_row_is_a_change_to_write_back(place: Place) -> None:
    data = json.dumps({name: value for name, value in LEAD.items() if name != "ClientToken"}).encode()
    reached = BEFORE_ALL_CHANGES
    for label in ("first", "second", "second"):
        row = VALIDATOR.validate(Row(Position("db", key="a"), data, label=label))
        with writing(place) as writer:
            admit(writer, *([row] if isinstance(row, Invitation) else []))
            before, (reached, found) = reached, writer.changes("db", "", reached, 9)
            assert [each.label for each in found] == ([label] if reached != before else [])
    assert found == []


def _labels(place: Place) -> dict[int, str]:
    with place.reader() as reader:
        return {record.position.line: record.label for record in reader.records([])}
