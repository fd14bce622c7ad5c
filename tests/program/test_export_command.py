"""`export`: every column of every row, as NDJSON and as CSV."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
from checkpoints import NOW, Place, answered, created, writing
from command import run
from fakes import invitation, row

from bulk_invite.cli.export_rows import COLUMNS
from bulk_invite.domain.events import Sent
from bulk_invite.domain.rows import Rejection, RowError
from bulk_invite.domain.verdicts import State
from bulk_invite.manual import text_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Rows of a campaign: created, failed and labeled, repeated, and rejected."""
    place = Place(str(tmp_path / "bulk-invite.db"))
    with writing(place) as writer:
        rejected = Rejection(row(4, "x"), (RowError("$.a", "missing", ""), RowError("$.b", "too_long", "")))
        rows = [invitation(token, line=line) for line, token in enumerate("aba", 1)]
        writer.admit([*rows, rejected], campaign="spring", retry_failed=False)
        writer.record([Sent("a", NOW + 0.25), Sent("b", NOW + 1)])
        refused = answered("b", State.FAILED, "refused", NOW + 2, code="ValidationException")
        writer.record([created("a"), refused])
        writer.record([Sent("b", NOW + 60.5)])
        writer.record([refused])
    place.run("UPDATE invitations SET label = '=Example Ltd' WHERE client_token = 'b'")
    return place


def test_a_row_has_its_campaign_label_and_times_and_a_duplicate_names_its_original(place: Place) -> None:
    exported = run("export", *place.options, cwd=Path(place.name).parent).lines
    assert [each["position"]["line"] for each in exported] == [1, 2, 3, 4]
    assert {each["campaign"] for each in exported} == {"spring"}
    assert [each["label"] for each in exported] == [None, "=Example Ltd", None, None]
    assert [each["duplicate_of"] for each in exported] == [None, None, exported[0]["position"], None]
    assert [each["token"] for each in exported] == ["a", "b", "a", None]
    times = [(each["first_sent"], each["last_sent"]) for each in exported]
    assert times[:2] == [
        ("2027-01-15T08:00:00.250Z", "2027-01-15T08:00:00.250Z"),
        ("2027-01-15T08:00:01.000Z", "2027-01-15T08:01:00.500Z"),
    ]
    assert times[2:] == [(None, None)] * 2


def test_csv_has_the_same_columns_also_without_a_row(place: Place) -> None:
    cwd = Path(place.name).parent
    text = run("export", *place.options, "--format", "csv", cwd=cwd).stdout
    lines = list(csv.DictReader(StringIO(text)))
    assert [each["label"] for each in lines] == ["", "'=Example Ltd", "", ""]
    assert [each["duplicate_of"] for each in lines] == ["", "", "rows:1", ""]
    assert [each["first_sent"] for each in lines][:2] == [
        "2027-01-15T08:00:00.250Z",
        "2027-01-15T08:00:01.000Z",
    ]
    assert lines[3]["errors"] == "missing at $.a; too_long at $.b"
    none = run("export", *place.options, "--format", "csv", "--state", "in_doubt", cwd=cwd)
    assert none.stdout.splitlines() == text.splitlines()[:1] == [",".join(COLUMNS)]


def test_the_manual_explains_every_column(place: Place) -> None:
    topic = text_of("results")
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", topic, re.MULTILINE))))
    (first, *_) = run("export", *place.options, cwd=Path(place.name).parent).lines
    assert {*COLUMNS, *first} <= explained
