"""A table that was read to its end: the next run reads what is new or open, and counts like a whole read."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest
from checkpoints import OWNER, created
from database import PASSWORD, Database

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.one_pass import OnePassIntake
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.events import Sent
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.source import PostgresSource

pytestmark = pytest.mark.anyio


class _Validator:
    """A row is {"n": number}; the number is its token, and a negative one is rejected. read: the keys."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def validate(self, row: Row) -> Invitation | Rejection:
        self.read.append(row.position.key)
        number = orjson.loads(row.data)["n"]
        if number < 0:
            return Rejection(row, (RowError("$", "bad", "a bad row"),))
        return Invitation(row, f"token-{number}", row.data, row.data.decode(), "eng-1", "LeadInvitation")


class Runs:
    """Runs of one command. Rows whose number is 3 stay open in the first one."""

    def __init__(self, db: Database, path: Path, selection: Selection) -> None:
        self._db = db
        self._path = path
        self._selection = selection
        self.read: list[str] = []
        self.sent: list[str] = []

    def source(self) -> PostgresSource:
        return PostgresSource(self._db.reader, self._selection, Backoff(0.05, 0.2), lambda: 1.0)

    def read_elsewhere(self, number: int) -> None:
        """Another run reads a row in a file."""
        with CheckpointWriter.open(self._path, catalog="Sandbox") as writer:
            writer.claim(OWNER)
            writer.begin_run(1000.0)
            row = Row(Position("rows.ndjson", 1), b'{"n": %d}' % number)
            writer.admit([_Validator().validate(row)], campaign="", retry_failed=False)

    async def run(self, *, leaves: str = "", basis: str = "1", times: int = 1) -> Counts:
        sources = [self.source() for _ in range(times)]
        validator, tally, self.sent = _Validator(), Tally(None), []
        with CheckpointWriter.open(self._path, catalog="Sandbox") as writer:
            writer.claim(OWNER)
            writer.begin_run(1000.0, basis=basis)
            committer = Committer(writer, campaign="", retry_failed=False, elapsed=time.monotonic)
            admitter = Admitter(validator, committer, FullEngagements(), tally)
            intake = OnePassIntake(sources, admitter, committer, StopSwitch())

            async def hand_over(rows: list[ToSend]) -> None:
                tokens = [row.invitation.client_token for row in rows]
                self.sent += tokens
                for token in tokens:
                    if token != leaves:
                        writer.record([Sent(token, 1000.0)])
                        writer.record([created(token)])

            await intake.run(hand_over)
            await intake.skipped.run(hand_over)
        self.read = validator.read
        return tally.counts


@pytest.fixture
def table(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    db.run("CREATE TABLE invitations (id bigint PRIMARY KEY, request jsonb)")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    db.run("INSERT INTO invitations SELECT n, jsonb_build_object('n', n) FROM generate_series(1, 6) n")
    db.run("INSERT INTO invitations VALUES (7, '{\"n\": -1}'), (8, '{\"n\": 2}')")
    return db


def _shown(counts: Counts) -> tuple[int, int, dict[State, int]]:
    return counts.rows, counts.already_created, {state: n for state, n in counts.states.items() if n}


async def test_only_new_and_open_rows_are_read(table: Database, tmp_path: Path) -> None:
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run(leaves="token-3")
    assert (len(runs.read), len(runs.sent)) == (8, 6)
    # Below the last key, and with the token of a row that is not read again.
    table.run("INSERT INTO invitations VALUES (0, '{\"n\": 9}'), (10, '{\"n\": 4}')")
    counts = await runs.run()
    assert runs.read == ["3", "7", "8", "0", "10"]
    assert runs.sent == ["token-3", "token-9"]
    rejected = {State.REJECTED: 1, State.DUPLICATE: 2}
    assert _shown(counts) == (10, 5, {**rejected, State.PENDING: 2})
    counts = await runs.run()
    assert (runs.read, runs.sent) == (["7", "8", "10"], [])
    assert _shown(counts) == (10, 7, rejected)


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM invitations WHERE id = 5", "UPDATE invitations SET request = '{\"n\": 11}' WHERE id = 5"],
)
async def test_after_other_changes_all_rows_are_read(table: Database, tmp_path: Path, change: str) -> None:
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run(leaves="token-5")
    table.run(change)
    left = 7 if change.startswith("DELETE") else 8
    await runs.run()
    assert len(runs.read) == left
    assert runs.sent == ([] if left == 7 else ["token-11"])
    counts = await runs.run()
    assert runs.read == ["7", "8"]
    assert _shown(counts) == (left, left - 2, {State.REJECTED: 1, State.DUPLICATE: 1})


async def test_a_row_that_was_read_elsewhere_since_is_read_again(table: Database, tmp_path: Path) -> None:
    """Also if as many rows are missing in the table as in what is known of it."""
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run(leaves="token-4")
    runs.read_elsewhere(4)
    table.run("DELETE FROM invitations WHERE id = 5")
    await runs.run()
    assert runs.sent == ["token-4"]


async def test_a_table_that_is_named_twice_has_duplicates_the_second_time(
    table: Database, tmp_path: Path
) -> None:
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run()
    counts = await runs.run(times=2)
    assert _shown(counts) == (16, 6, {State.REJECTED: 2, State.DUPLICATE: 8})


async def test_a_change_between_the_count_and_the_read_is_noticed_by_the_next_run(
    table: Database, tmp_path: Path
) -> None:
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run()
    source = runs.source()
    list(source.batches())
    first = str(source.finished)
    assert source.unchanged(first, lambda: False) == 8
    table.run("UPDATE invitations SET request = '{\"n\": 11}' WHERE id = 5")
    assert [row.position.key for batch in source.batches(since=first) for row in batch] == ["5"]
    assert source.unchanged(str(source.finished), lambda: False) == 7


async def test_what_is_read_in_another_way_is_read_again(table: Database, tmp_path: Path) -> None:
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id"))
    await runs.run()
    await runs.run(basis="2")
    assert len(runs.read) == 8
    runs = Runs(table, tmp_path / "c.db", Selection("invitations", None, "id", constants={}, label="id"))
    await runs.run(basis="2")
    assert len(runs.read) == 8
    query = Selection(None, "SELECT * FROM invitations", "id")
    runs = Runs(table, tmp_path / "query.db", query)
    await runs.run()
    await runs.run()
    assert len(runs.read) == 8
