"""Whole runs against services that say anything: denials, full engagements, answers in no table, at random.

Run after run over the same rows, some of them drained, and a last one in which all is well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

import anyio
import pytest
from fakes import (
    CONFLICT,
    DENIED,
    DOWN,
    FULL,
    REFUSED,
    SERVER_ERROR,
    THROTTLED,
    UNKNOWN,
    Call,
    MemoryJournal,
    ScriptedSender,
    arrival,
)
from runs import EPOCH, Run
from virtual_time import VIRTUAL_TIME

from bulk_invite.domain.errors import SenderError
from bulk_invite.domain.findings import Content, Listed
from bulk_invite.domain.verdicts import HttpAnswer, NoAnswer, State

pytestmark = pytest.mark.anyio

_REPLIES: Final[tuple[HttpAnswer | NoAnswer, ...]] = (
    SERVER_ERROR,
    UNKNOWN,
    THROTTLED,
    REFUSED,
    CONFLICT,
    FULL,
    DENIED,
    DOWN,
)
_DOUBT: Final = (SERVER_ERROR, UNKNOWN)
_LIFE: Final = 200.0


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


@dataclass
class Service:
    """It remembers a token for `_LIFE` seconds.

    made: when each token was invited. is_well: it grants every call. counted: calls that took from the day.
    """

    seed: int
    texts: dict[str, str]
    arrived: list[tuple[Listed, Content]] = field(default_factory=list)
    made: dict[str, list[float]] = field(default_factory=dict)
    is_well: bool = False
    counted: int = 0

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)
        odds = [self._chance.choice([0, 0, 1, 3]) for _ in _REPLIES]
        self._weights = [self._chance.choice([1, 5, 30]), *odds]
        self._always: dict[str, HttpAnswer | NoAnswer | None] = {}

    def __call__(self, call: Call) -> HttpAnswer | NoAnswer:
        (reply,) = self._chance.choices([None, *_REPLIES], self._weights)
        if self._chance.random() < 0.1:
            self._always.setdefault(call.token, reply)
        reply = None if self.is_well else self._always.get(call.token, reply)
        self.counted += reply not in {THROTTLED, DOWN}
        if reply is None or (reply in _DOUBT and self._chance.random() < 0.5):
            self._make(call.token)
        return reply or HttpAnswer(200, invitation_id=f"engi-{call.token}-1", arn="arn:x")

    def _make(self, token: str) -> None:
        times, now = self.made.setdefault(token, []), anyio.current_time()
        if not times or now - times[-1] > _LIFE:
            times.append(now)
            self.arrived.append(arrival(self.texts[token], EPOCH + now))


@pytest.mark.parametrize("seed", range(40))
async def test_no_row_is_lost_or_invited_twice_with_random_answers(seed: int) -> None:
    chance, journal = Random(seed), MemoryJournal()
    texts = {f"t{each}": f"t{each} eng-{chance.randrange(5)}" for each in range(chance.choice([1, 8, 25]))}
    service = Service(seed, texts)

    def another_run() -> Run:
        journal.next_run()
        sender = ScriptedSender(otherwise=service, arrived=service.arrived)
        return Run(texts.values(), sender, journal, in_flight=chance.choice([1, 8]), token_lifetime=_LIFE)

    for _ in range(chance.choice([1, 2, 3])):
        run = another_run()
        counted = service.counted
        try:
            await run.when(chance.choice([chance.uniform(0, 5), 1000.0]), run.stop.drain)
        except* SenderError:
            pass  # one denial after the other
        assert run.governor_now.memory(anyio.current_time()).counted == service.counted - counted
        await anyio.sleep(chance.choice([0.0, 30.0, 400.0]))
    service.is_well = True
    assert (await another_run().go()).finished
    states = journal.states()
    assert set(states) == set(texts)
    assert all(len(times) == 1 for times in service.made.values())
    assert {token for token, state in states.items() if state is State.CREATED} == set(service.made)
    assert set(states.values()) <= {State.CREATED, State.FAILED}
