"""Which calls of the checkpoint's log take from the day, and since when."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import invitation

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.outcomes import NOT_COUNTED, WITHOUT_CALL, Outcome
from bulk_invite.domain.records import Owner
from bulk_invite.domain.transitions import after_answer
from bulk_invite.domain.verdicts import (
    Conflict,
    Created,
    Denied,
    Doubtful,
    EngagementFull,
    Refused,
    SenderRefused,
    State,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)

_NOW = 1_800_000_000.0
_DAY = 86_400.0
_GRACE = 30.0

_VERDICTS: list[Verdict] = [
    Created("engi-1", "arn"),
    Throttled("T", None),
    EngagementFull("F"),
    Doubtful("D"),
    Unreachable("U"),
    Withheld("W"),
    Conflict("C"),
    Refused("R"),
    Denied("A", whole_account=False),
    SenderRefused("S"),
    Unknown("?"),
]


def _answer(at: float, outcome: str, state: State = State.PENDING) -> Answered:
    return Answered("a", at=at, state=state, outcome=Outcome(outcome))


def _times(folder: Path, events: list[Event], *, now: float = _NOW) -> list[float]:
    """The calls of the day, as seconds from now, after these events of one row."""
    path = folder / "checkpoint.db"
    with CheckpointWriter.open(path, catalog="Sandbox") as writer:
        writer.claim(Owner("111122223333", "hash"))
        writer.begin_run(_NOW)
        writer.admit([invitation("a")], campaign="", retry_failed=False)
        for event in events:
            writer.record([event])
        times: list[float] = []
        writer.count_calls(now, grace=_GRACE, into=times.append)
    with CheckpointReader(path) as reader:
        assert reader.overview(now).counted == sum(time <= now for time in times)
    return [round(time - now, 3) for time in times]


@pytest.mark.parametrize("verdict", _VERDICTS, ids=lambda verdict: type(verdict).__name__)
def test_the_log_and_the_pacing_agree_on_what_is_counted(tmp_path: Path, verdict: Verdict) -> None:
    transition = after_answer(verdict, doubt_since=None, sent_at=_NOW)
    events: list[Event] = [Sent("a", _NOW - 10), _answer(_NOW - 9, transition.outcome, transition.state)]
    is_counted = not isinstance(verdict, Throttled | Unreachable | Withheld | SenderRefused)
    assert (_times(tmp_path, events) == [-9.0]) is is_counted
    assert (verdict.outcome not in NOT_COUNTED) is is_counted


def test_a_call_counts_for_a_day_from_its_answer(tmp_path: Path) -> None:
    events: list[Event] = [Sent("a", _NOW - _DAY - 50), _answer(_NOW - _DAY + 1, "created", State.CREATED)]
    assert _times(tmp_path, events) == [-_DAY + 1]
    (tmp_path / "later").mkdir()
    assert _times(tmp_path / "later", events, now=_NOW + 1) == []


def test_a_call_without_an_answer_counts_a_while_longer(tmp_path: Path) -> None:
    [time] = _times(tmp_path, [Sent("a", _NOW - 100)])
    assert -100 + _GRACE <= time <= 0


def test_each_attempt_of_a_row_counts_independently(tmp_path: Path) -> None:
    events: list[Event] = [
        Sent("a", _NOW - 900),  # and killed
        Sent("a", _NOW - 500),
        _answer(_NOW - 499, "throttled"),
        Sent("a", _NOW - 400),
        _answer(_NOW - 399, "doubtful", State.IN_DOUBT),
        Sent("a", _NOW - 300),
        _answer(_NOW - 299, "created", State.CREATED),
    ]
    killed, doubtful, created = _times(tmp_path, events)
    assert (killed < -499, doubtful, created) == (True, -399.0, -299.0)


def test_an_outcome_without_a_call_is_no_answer(tmp_path: Path) -> None:
    for number, outcome in enumerate(sorted(WITHOUT_CALL)):
        folder = tmp_path / str(number)
        folder.mkdir()
        [time] = _times(folder, [Sent("a", _NOW - 30_000), _answer(_NOW - 5, outcome, State.IN_DOUBT)])
        assert time < -29_000


def test_calls_dated_after_a_clock_set_back_count_as_of_now(tmp_path: Path) -> None:
    events: list[Event] = [Sent("a", _NOW + 7200), _answer(_NOW + 7201, "created", State.CREATED)]
    path = tmp_path / "checkpoint.db"
    with CheckpointWriter.open(path, catalog="Sandbox") as writer:
        writer.begin_run(_NOW)
        writer.admit([invitation("a")], campaign="", retry_failed=False)
        for event in events:
            writer.record([event])
        times: list[float] = []
        writer.count_calls(_NOW, grace=_GRACE, into=times.append)
    assert times == [_NOW]
