"""The intake of one source with a real checkpoint: what survives a crash, and when the source has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from checkpoints import OWNER
from fakes import TinyValidator

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.follow import FollowingIntake
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.rows import Position, Row

pytestmark = pytest.mark.anyio

Found = tuple[list[str], str | None]


class Script:
    """A source with keys that yields its script in order, and checks `stop` after each batch."""

    name = "db"
    consumed = lines = 0
    answering = True
    size: int | None = None

    def __init__(self, *found: Found, endless: bool = False) -> None:
        self._found = found
        self._endless = endless
        self.marks: list[str | None] = []
        self.asked_for: list[str] = []
        self.closed = False

    def follow(
        self, _max_rows: int, _max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]:
        self.marks.append(mark)
        try:
            for keys, reached in self._found:
                yield rows_of(keys), reached
                if stop():
                    return
            while self._endless and not stop():
                yield [], None
        finally:
            self.closed = True

    def rows(self, keys: Sequence[str], _stop: Callable[[], bool]) -> list[Row]:
        self.asked_for += keys
        return rows_of(keys)

    def _not_asked(self, *_arguments: object, **_options: object) -> NoReturn:
        raise NotImplementedError("a round does not ask for this")

    batches = text_settings = require_same_keys = finished = unchanged = _not_asked


def rows_of(keys: Iterable[str]) -> list[Row]:
    return [Row(Position("db", key=key), f"token-{key}".encode()) for key in keys]


class Around:
    """A round over a checkpoint in a file; dies at the batch whose keys `dies` selects."""

    def __init__(
        self, path: Path, source: Script, dies: Callable[[list[str]], bool] = lambda _: False
    ) -> None:
        self._path = path
        self._source = source
        self._dies = dies
        self.over: list[bool] = [False]
        self.stop = StopSwitch()
        self.sent: list[str] = []
        self.quiet = 0

    async def run(self) -> FollowingIntake:
        with CheckpointWriter.open(self._path, catalog="Sandbox") as writer:
            writer.claim(OWNER)
            writer.begin_run(0.0)
            committer = Committer(writer, campaign="", retry_failed=False, elapsed=time.monotonic)
            admitter = _Mortal(committer, self._dies)
            following = FollowingIntake(
                self._source, admitter, committer, self.stop, self._is_over, quiet=self._hush
            )
            await following.run(self._hand_over)
            return following

    def mark(self) -> str | None:
        with CheckpointWriter.open(self._path, catalog="Sandbox") as writer:
            return writer.source_cursor("db", "")

    def _is_over(self) -> bool:
        return self.over.pop(0) if len(self.over) > 1 else self.over[0]

    def _hush(self) -> None:
        self.quiet += 1

    async def _hand_over(self, rows: list[ToSend]) -> None:
        self.sent += [row.invitation.position.key for row in rows]


class _Mortal(Admitter):
    """One whose process dies before a batch of rows is committed."""

    def __init__(self, committer: Committer, dies: Callable[[list[str]], bool]) -> None:
        super().__init__(TinyValidator(), committer, FullEngagements(), Tally(None))
        self._committer = _Dying(committer, dies)  # type: ignore[assignment]  # as much of one as is used


class _Dying:
    def __init__(self, committer: Committer, dies: Callable[[list[str]], bool]) -> None:
        self._real = committer
        self._dies = dies

    async def admit(self, batch: Sequence[object], *more: object, **options: object) -> object:
        if self._dies([each.row.position.key for each in batch]):  # type: ignore[attr-defined]
            raise CheckpointError("The process is dead.")
        return await self._real.admit(batch, *more, **options)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.db"


async def test_the_watermark_is_never_ahead_of_its_rows(path: Path) -> None:
    source = Script((["1", "2"], "two"), (["3", "4"], "four"), ([], "end"))
    dying = Around(path, source, dies=lambda keys: "3" in keys)
    with pytest.raises(CheckpointError):
        await dying.run()
    assert dying.mark() == "two"
    assert source.closed
    again = Around(path, Script((["3", "4"], "four"), ([], "end")))
    await again.run()
    assert again.sent == ["1", "2", "3", "4"], "what was left open is taken up, and the rest read"
    assert again.mark() == "end"


async def test_rows_that_arrive_after_a_stop_are_left_to_the_next_pass(path: Path) -> None:
    around = Around(path, Script((["1"], "one"), (["2"], "two")))
    around.stop.drain()
    await around.run()
    assert (around.sent, around.mark()) == ([], None)


async def test_a_finished_pass_ends_its_round_and_the_source_continues(path: Path) -> None:
    source = Script((["1"], "one"), (["2"], "two"), endless=True)
    around = Around(path, source)
    around.over = [False, True, False]  # an answer has arrived meanwhile
    following = await around.run()
    assert not following.ended
    assert following.all_read


async def test_only_a_source_that_ends_by_itself_counts_as_ended(path: Path) -> None:
    around = Around(path, Script((["1"], "one"), ([], None)))
    following = await around.run()
    assert (following.ended, following.caught_up, around.quiet) == (True, True, 1)
