"""`validate` compares rows with those of earlier runs, while a run may be writing to the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from checkpoints import NOW, Place, answered, created, writing
from command import CREDENTIALS, run, together
from row_checks import MODEL, TODAY, VALIDATOR
from rows import make_row, make_rows, write_rows

from bulk_invite.checkpoint.seen_rows import SeenRows
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.cli.row_comparison import RowComparison
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.member_path import KEY
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.earlier_rows import EarlierRows
from bulk_invite.validation import RowValidator


def _edited(number: int, ending: str = "?", **members: Any) -> dict[str, Any]:
    row = make_row(number, **members)
    row["Invitation"]["Message"] += ending
    return row


def _rows(source: str, members: Sequence[dict[str, Any]]) -> list[Row]:
    return [Row(Position(source, line), orjson.dumps(row)) for line, row in enumerate(members, 1)]


@dataclass
class _Run:
    """An earlier run, still holding its checkpoint."""

    writer: CheckpointWriter
    validator: RowValidator = VALIDATOR
    tokens: list[str] = field(default_factory=list)

    def admits(self, *members: dict[str, Any]) -> None:
        rows = [self.validator.validate(row) for row in _rows("march", members)]
        self.tokens = [row.client_token for row in rows if isinstance(row, Invitation)]
        self.writer.admit(rows, campaign="spring", retry_failed=False)

    def invites(self, *tokens: str) -> None:
        self.writer.record([Sent(token, NOW) for token in tokens])
        self.writer.record([created(token) for token in tokens])


@contextmanager
def _comparison(
    place: str | Path, schema: str = "", validator: RowValidator = VALIDATOR, *, is_required: bool = True
) -> Iterator[RowComparison]:
    named = {"checkpoint": str(place), **({"checkpoint_schema": schema} if schema else {})}
    settings = Settings.model_validate({**named, "campaign": "spring"})
    with SeenRows("spring") as seen, EarlierRows(settings, is_required=is_required) as earlier:
        yield RowComparison(validator, seen, earlier)


def _messages(comparison: RowComparison, rows: Sequence[Row]) -> list[str]:
    """The warnings of each row, or the codes of its rejection."""
    return [
        " ".join(each.code for each in checked.errors)
        if isinstance(checked, Rejection)
        else " and ".join(each.message for each in checked)
        for checked in comparison.check(rows)
    ]


@pytest.mark.parametrize("kind", ["file", "database"])
@pytest.mark.parametrize("mode", [OnSameReceiver.WARN, OnSameReceiver.SEND])
def test_each_row_is_compared_as_the_next_run_would(
    kind: str, mode: OnSameReceiver, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A run that compares nothing creates no index, so the rows are read from a copy then."""
    place = Place(str(tmp_path / "checkpoint.db"))
    if kind == "database":
        place = Place(request.getfixturevalue("db").url, "checkpoint")
    with writing(place) as writer:
        writer.begin_run(NOW, on_same_receiver=mode)
        before = _Run(writer)
        before.admits(*make_rows(4))
        invited, refused, _, in_doubt = before.tokens
        before.invites(invited)
        writer.record([Sent(refused, NOW), Sent(in_doubt, NOW)])
        writer.record([answered(refused, State.FAILED, "refused", code="ValidationException")])
        expected = {
            1: "same engagement and account as march:1, invited on 2027-01-15",
            4: "same engagement and account as march:4, which was sent on 2027-01-15, outcome unknown",
            7: "same engagement and account as line 3",
            9: "same engagement and account as line 2",
            10: "same row as line 5; it is sent once",
            11: "same row as line 6; it is sent once",
            12: "same row as line 1; it is sent once",
        }
        members = [_edited(number) for number in range(4)]
        members += [*make_rows(4), _edited(1, "!"), make_row(0), make_row(1), _edited(0)]
        rows = _rows("april", members)
        with _comparison(place.name, place.schema) as comparison:
            assert _messages(comparison, rows) == [expected.get(line, "") for line in range(1, 13)]
            assert comparison.counts() == {"duplicate": 3, "same_receiver": 4, "already_created": 1}
            assert comparison.members()["not_compared"] is None
            assert str(comparison.members()["compared_with"]) in comparison.sentences()[0]
        with _comparison(place.name, place.schema) as comparison:
            rows = _rows("march", [make_row(1), _edited(1), _edited(0, "!"), _edited(3)])
            same = "same engagement and account as"
            assert _messages(comparison, rows) == [
                *("", ""),
                f"{same} line 1, invited on 2027-01-15",
                f"{same} the row that line 4 had before, which was sent on 2027-01-15, outcome unknown",
            ]


def test_a_row_with_a_key_is_itself_whatever_was_edited(tmp_path: Path) -> None:
    validator, strict = (
        RowValidator(MODEL, catalog="Sandbox", campaign="spring", today=TODAY, key=KEY, strict=strict)
        for strict in (False, True)
    )
    keyed = {"_bulk_invite": {"key": "crm-1"}}
    with writing(place := Place(str(tmp_path / "checkpoint.db"))) as writer:
        before = _Run(writer, validator)
        before.admits(make_row(0, **keyed))
        before.invites(*before.tokens)
    rows = _rows("april", [_edited(0, " ", **keyed), _edited(0, " ", _bulk_invite={"key": "crm-2"})])
    with _comparison(place.name, validator=validator) as comparison:
        _, other = _messages(comparison, rows)
        assert other.endswith(" and same engagement and account as march:1, invited on 2027-01-15")
        assert comparison.counts() == {"duplicate": 0, "same_receiver": 1, "already_created": 1}
    with _comparison(place.name, validator=strict) as comparison:
        accepted, rejected = _messages(comparison, rows)
        assert accepted != "padded_text"
        assert rejected == "padded_text"


def test_rows_of_another_campaign_do_not_count(tmp_path: Path) -> None:
    with writing(place := Place(str(tmp_path / "checkpoint.db"))) as writer:
        before = _Run(writer)
        before.admits(make_row(0))
        before.invites(*before.tokens)
        settings = Settings.model_validate({"checkpoint": place.name, "campaign": "autumn"})
        with SeenRows("autumn") as seen, EarlierRows(settings, is_required=True) as earlier:
            assert _messages(RowComparison(VALIDATOR, seen, earlier), _rows("april", [_edited(0)])) == [""]


def _damaged(path: Path) -> None:
    path.write_bytes(b"damaged" * 1000)


def _of_another_catalog(path: Path) -> None:
    with Place(str(path)).writer("AWS"):
        pass


def _of_another_version(path: Path) -> None:
    with writing(place := Place(str(path))):
        pass
    place.run("UPDATE about SET value = '1' WHERE key = 'version'")


@pytest.mark.parametrize("make", [_damaged, _of_another_catalog, _of_another_version])
def test_a_checkpoint_that_cannot_be_used_is_named(make: Any, tmp_path: Path) -> None:
    make(path := tmp_path / "checkpoint.db")
    with pytest.raises(CheckpointError) as raised, _comparison(path):
        pass
    with _comparison(path, is_required=False) as comparison:
        rows = _rows("april", [make_row(0), _edited(0)])
        assert _messages(comparison, rows) == ["", "same engagement and account as line 1"]
        assert comparison.sentences() == [
            f"Rows were not compared with those of earlier runs. {raised.value}"
        ]
        assert comparison.members() == {"compared_with": None, "not_compared": raised.value.members()}


def test_a_checkpoint_that_fails_in_between_is_named(tmp_path: Path) -> None:
    with writing(place := Place(str(tmp_path / "checkpoint.db"))) as writer:
        before = _Run(writer)
        before.admits(make_row(0))
        before.invites(*before.tokens)
    rows = _rows("april", [_edited(0), _edited(0, "!")])
    with _comparison(place.name, is_required=False) as comparison:
        assert "march:1" in _messages(comparison, rows[:1])[0]
        place.run("ALTER TABLE invitations RENAME TO gone")
        assert _messages(comparison, rows[1:]) == ["same engagement and account as line 1"]
        (sentence,) = comparison.sentences()
        assert sentence.startswith("Only some rows were compared with those of earlier runs. The checkpoint ")
        assert comparison.members()["compared_with"] is None


def test_no_room_for_the_copy_of_a_checkpoint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.db"
    with writing(Place(str(path))) as writer:  # it compares nothing, so it creates no index
        writer.begin_run(NOW, on_same_receiver=OnSameReceiver.SEND)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        with _comparison(path, is_required=False) as comparison:
            assert _messages(comparison, _rows("april", make_rows(1))) == [""]
            (sentence,) = comparison.sentences()
    assert sentence.startswith("Rows were not compared with those of earlier runs. Temporary files cannot")


def test_only_the_command_line_requires_a_checkpoint(tmp_path: Path) -> None:
    """The environment and the file of a sender may name one that this machine cannot reach."""
    source = write_rows(tmp_path / "rows.ndjson", [make_row(0)])
    _damaged(tmp_path / "damaged.db")
    in_environment = {**CREDENTIALS, "BULK_INVITE_CHECKPOINT": "damaged.db"}
    named, by_environment, missing, default = together(
        partial(run, "validate", source, "--json", "--checkpoint", "damaged.db", cwd=tmp_path),
        partial(run, "validate", source, "--json", cwd=tmp_path, env=in_environment),
        partial(run, "validate", source, "--checkpoint", "new.db", cwd=tmp_path),
        partial(run, "validate", source, "--json", cwd=tmp_path),
    )
    assert (named.code, named.json["error"]["code"]) == (4, "checkpoint")
    assert (by_environment.code, by_environment.json["not_compared"]) == (0, named.json["error"])
    assert missing.code == 0
    assert missing.stdout.endswith(
        "Rows were not compared with those of earlier runs. There is no checkpoint at new.db. Name it with "
        "--checkpoint, or send something first.\n"
    )
    assert (default.json["compared_with"], default.json["not_compared"]) == (None, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.db", "rows.ndjson"]
