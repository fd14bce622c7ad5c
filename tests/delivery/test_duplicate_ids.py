"""An Id that another row already has does not identify this row: in the checkpoint, and in whole runs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from checkpoints import NOW, Place, admit, overview_of, records_of, writing
from fakes import Call, Entry, MemoryJournal, Reply, ScriptedSender, arrival, created, invitation
from runs import EPOCH, HOUR, Run
from sqlalchemy.dialects import sqlite
from virtual_time import VIRTUAL_TIME

from bulk_invite.checkpoint.tables.record_events import _OWNERS
from bulk_invite.domain.classify import ID_OF_ANOTHER
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.findings import DoubtfulRow, Found, Listed, Unclear
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.transitions import Transition, after_look_up
from bulk_invite.domain.verdicts import HttpAnswer, State

SAME = "engi-0123456789abc"


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(str(tmp_path / "checkpoint.db"))
    return Place(request.getfixturevalue("db").url, "checkpoint")


def yes(token: str, identifier: str = SAME) -> Answered:
    transition = Transition(State.CREATED, Outcome.CREATED, invitation_id=identifier, arn="arn:x")
    return transition.event(token, NOW + 1, since=NOW)


def sent(writer: object, *tokens: str) -> None:
    admit(writer, *(invitation(token, line=line) for line, token in enumerate(tokens, 1)))  # type: ignore[arg-type]
    writer.record([Sent(token, NOW) for token in tokens])  # type: ignore[attr-defined]


# In the checkpoint


@pytest.mark.parametrize("together", [False, True])
def test_the_first_row_keeps_its_id_and_the_second_is_in_doubt(place: Place, *, together: bool) -> None:
    with writing(place) as writer:
        sent(writer, "a", "b", "c")
        if together:
            others = writer.record([yes("a"), yes("b"), yes("c", "engi-c")])
        else:
            assert writer.record([yes("a")]) == frozenset()
            others = writer.record([yes("b"), yes("c", "engi-c")])
    assert others == {"b"}
    kept = {each.client_token: each for each in records_of(place)}
    assert {token: (each.state, each.invitation_id, each.code) for token, each in kept.items()} == {
        "a": (State.CREATED, SAME, ""),
        "b": (State.IN_DOUBT, "", ID_OF_ANOTHER),
        "c": (State.CREATED, "engi-c", ""),
    }
    assert kept["b"].arn == ""
    with place.reader() as reader:
        figures = reader.proof(NOW + 2).figures
    assert (figures.ids, figures.created_with_id) == (2, 2)


def test_another_run_knows_the_id_too_and_a_replay_keeps_its_own(place: Place) -> None:
    with writing(place) as writer:
        sent(writer, "a")
        writer.record([yes("a")])
    with writing(place) as writer:
        sent(writer, "b")
        assert writer.record([yes("b")]) == {"b"}
        writer.record([Sent("b", NOW)])
        assert writer.record([yes("b", "engi-b")]) == frozenset()
        assert writer.record([yes("b", "engi-b")]) == frozenset(), "the same token again"
    assert overview_of(place).states == {State.CREATED: 2}


def test_the_query_for_a_known_id_uses_an_index(tmp_path: Path) -> None:
    """A table of a million rows must not be read for every answer."""
    place = Place(str(tmp_path / "checkpoint.db"))
    with writing(place) as writer:
        sent(writer, "a")
        writer.record([yes("a")])
    query = str(_OWNERS.statement.compile(dialect=sqlite.dialect()))
    with closing(sqlite3.connect(place.name)) as file:
        plan = str(file.execute(f"EXPLAIN QUERY PLAN {query}", ['{"0": ["x"]}']).fetchall())
    assert "INDEX invitations_by_id (invitation_id=?)" in plan


def test_a_look_up_that_finds_the_id_of_another_row_is_unclear() -> None:
    listed = Listed(SAME, "arn:x", "eng-1", "LeadInvitation", "1", NOW)
    transition = Transition(State.CREATED, Outcome.FOUND, invitation_id=SAME)
    event = transition.event("b", NOW, since=NOW - 5, finding=Found(listed, 1))
    assert event.instead == replace(
        event,
        state=State.IN_DOUBT,
        outcome=Outcome.UNCLEAR,
        code=ID_OF_ANOTHER,
        invitation_id="",
        doubt_since=NOW - 5,
        finding=Unclear(ID_OF_ANOTHER, (SAME,)),
        instead=None,
    )


# In a run


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def rows(count: int) -> list[str]:
    return [f"t{number} eng-{number}" for number in range(count)]


def cached(until: float) -> Callable[[Call], Reply]:
    """A proxy that answers every call with the first answer it has seen, and passes the first one on."""
    first = HttpAnswer(200, invitation_id="engi-t0", arn="arn:t0")
    return lambda call: first if anyio.current_time() < until else created(call.token)


def states(run: Run) -> Counter[State]:
    return Counter(run.journal.states().values())


@pytest.mark.anyio
async def test_behind_a_caching_proxy_one_row_is_created_and_none_is_lost() -> None:
    sender = ScriptedSender(otherwise=cached(1e9), arrived=[arrival("t3 eng-3", EPOCH + 1.0)])
    run = await Run(rows(8), sender, in_flight=4).go()
    assert run.finished
    assert states(run) == {State.CREATED: 2, State.IN_DOUBT: 6}
    assert run.outlet.created_rows == {"t0": "engi-t0", "t3": "engi-t3-1"}
    assert {entry.code for entry in run.journal.rows.values() if entry.state is State.IN_DOUBT} == {
        ID_OF_ANOTHER
    }
    assert all(len(sender.calls_of(f"t{number}")) <= run.tries for number in range(8))
    assert len(sender.lists) >= 7, "each of them was looked up"


@pytest.mark.anyio
async def test_while_every_answer_is_another_rows_all_wait_and_keep_their_tokens() -> None:
    run = await Run(rows(60), ScriptedSender(otherwise=cached(300.0)), in_flight=20).go()
    assert states(run)[State.CREATED] >= 55
    assert states(run)[State.FAILED] == 0
    assert len(run.sender.calls) < 60 + 100
    made = [entry.invitation_id for entry in run.journal.rows.values() if entry.invitation_id]
    assert len(made) == len(set(made))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("says", "calls", "outcomes", "state"),
    [
        ("t0 eng-0", 0, ["unclear"], State.IN_DOUBT),
        ("t1 eng-0", 1, ["absent", "sent", "created"], State.CREATED),
    ],
)
async def test_the_content_of_the_invitation_decides_which_row_owns_the_id(
    says: str, calls: int, outcomes: list[str], state: State
) -> None:
    """t1 got the Id of t0, whose answer was lost; or t0 got that of t1. The tokens are forgotten."""
    then = EPOCH - 9 * HOUR
    listed, content = arrival(says, then)
    journal = MemoryJournal()
    journal.rows["t0"] = Entry(
        invitation("t0", engagement="eng-0").body_hash,
        State.IN_DOUBT,
        doubt_since=then,
        last_sent=then,
        code=ID_OF_ANOTHER,
        engagement="eng-0",
    )
    journal.rows["t1"] = Entry(
        invitation("t1", engagement="eng-0").body_hash,
        State.CREATED,
        invitation_id=listed.invitation_id,
        engagement="eng-0",
    )
    run = Run(["t0 eng-0", "t1 eng-0"], ScriptedSender(arrived=[(listed, content)]), journal=journal)
    await run.go()
    assert (journal.rows["t0"].state, journal.outcomes("t0")) == (state, outcomes)
    assert len(run.sender.calls) == calls


def test_a_failed_look_up_keeps_the_doubt_about_the_id() -> None:
    row = DoubtfulRow("t0", "", "eng-0", "LeadInvitation", NOW, NOW, ID_OF_ANOTHER)
    assert after_look_up(Unclear("LookUpFailed"), row).code == ID_OF_ANOTHER
