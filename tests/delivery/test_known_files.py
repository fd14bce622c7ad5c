"""Files that earlier runs have read: skipping what is settled changes nothing but the time it takes.

Each course of runs and edits is carried out twice: as it is, and by a twin that forgets before each run what
was read of the files. Both must see, report, send and store the same.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, TypeVar, TypeVarTuple, Unpack

import anyio
import orjson
import pytest
from checkpoints import OWNER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.intake.admit_batch import Admitter
from bulk_invite.delivery.intake.one_pass import OnePassIntake
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Counts, Tally
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.records import Prefix, PrefixRows
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.same_receiver import OnSameReceiver
from bulk_invite.domain.verdicts import State
from bulk_invite.sources.file import FileSource

_EXAMPLES: Final = int(os.environ.get("BULK_INVITE_TEST_EXAMPLES", "12"))

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")

_NAMES: Final = ("a.ndjson", "b.ndjson", "c.ndjson.gz")

lines = st.one_of(
    st.builds(lambda n, account: _line(row=n, account=account), st.integers(0, 9), st.integers(0, 3)),
    st.builds(lambda n, body: _line(token=n, body=body), st.integers(0, 2), st.integers(0, 1)),
    st.builds(lambda n, body: _line(key=n, body=body), st.integers(0, 2), st.integers(0, 1)),
    st.sampled_from([b'{"bad":1}\n', b"\n", b" \r\n", b'{"row":1,"account":0}\r\n']),
)
returned = st.builds(
    lambda source, line, row: _line(
        row=row,
        bad=row > 5,
        _bulk_invite={
            "position": {"source": source, "line": line},
            "errors": [{"path": "$", "code": "bad"}],
        },
    ),
    st.sampled_from(_NAMES),
    st.integers(1, 8),
    st.integers(0, 9),
)
"""Rows of results, which say of another row that it was rejected."""


def _line(**members: object) -> bytes:
    return orjson.dumps(members) + b"\n"


@dataclass(frozen=True)
class Edit:
    """keep: lines that stay, or all. cut: whether the last byte is left out, mostly a line end."""

    name: str
    keep: int | None
    more: Sequence[bytes]
    cut: bool = False


@dataclass(frozen=True)
class Going:
    """One run. ends_after: rows sent when it is killed. left: rows with such tokens stay open."""

    names: Sequence[str]
    campaign: str = ""
    retry_failed: bool = False
    skips_twins: bool = False
    look_up_first: bool | None = None
    results: bool = False
    basis: str = "1"
    limit: int | None = None
    ends_after: int | None = None
    left: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.limit is None and self.ends_after is None


edits = st.builds(
    Edit,
    st.sampled_from(_NAMES),
    st.one_of(st.none(), st.none(), st.integers(0, 8)),
    st.one_of(*[st.lists(lines, max_size=8)] * 3, st.lists(st.one_of(lines, lines, returned), max_size=8)),
    st.sampled_from([False, False, False, True]),
)
runs = st.builds(
    Going,
    st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3),
    campaign=st.sampled_from(["", "", "", "other"]),
    retry_failed=st.sampled_from([False, False, True]),
    skips_twins=st.booleans(),
    look_up_first=st.sampled_from([None, None, None, True]),
    results=st.booleans(),
    basis=st.sampled_from(["1", "1", "1", "1", "1", "2"]),
    limit=st.one_of(st.none(), st.none(), st.integers(1, 3)),
    ends_after=st.one_of(st.none(), st.none(), st.integers(0, 4)),
    left=st.one_of(st.none(), st.integers(0, 2)),
)


class _KilledError(Exception):
    pass


class _Validator:
    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        self.validated = 0

    def validate(self, row: Row) -> Invitation | Rejection:
        self.validated += 1
        try:
            value = orjson.loads(row.data)
        except orjson.JSONDecodeError:
            value = {"bad": 1}
        if value.get("bad"):
            return Rejection(row, (RowError("$", "bad", "a bad row"),))
        kind = next(each for each in ("row", "token", "key") if each in value)
        number, body = value[kind], orjson.dumps([kind, value[kind], value.get("body"), value.get("account")])
        token = f"token-{number}" if kind == "token" else f"{self._campaign}{kind}-{number}"
        if kind == "row":
            token += f"-{value.get('account')}"
        return Invitation(
            row,
            token,
            body,
            body.decode(),
            "eng-1",
            "LeadInvitation",
            has_key_token=kind == "key",
            account=str(value.get("account", "")),
        )


class _Slow(FileSource):
    """A file in small batches."""

    def batches(
        self,
        max_rows: int = 3,
        max_bytes: int = 1 << 20,
        stop: Callable[[], bool] = lambda: False,
        *,
        skips: PrefixRows | None = None,
        marks: bool = False,
    ) -> Generator[list[Row]]:
        return super().batches(min(3, max_rows), max_bytes, stop, skips=skips, marks=marks)


@dataclass
class _Outlet:
    created_rows: list[object] = field(default_factory=list)
    other_rows: list[object] = field(default_factory=list)

    def created(self, position: Position, *values: str) -> None:
        self.created_rows.append((str(position), *values))

    def failed(self, row: Row, errors: tuple[RowError, ...], label: str) -> None:
        self.other_rows.append(("failed", str(row.position), row.data, errors, label))

    def rejected(self, row: Row, errors: tuple[RowError, ...], label: str) -> None:
        self.other_rows.append(("rejected", str(row.position), row.data, errors, label))


async def _inline(
    call: Callable[[Unpack[_Arguments]], _Answer],
    /,
    *values: *_Arguments,
    limiter: anyio.CapacityLimiter | None = None,
) -> _Answer:
    del limiter
    return call(*values)


class Sender:
    """One of the two, with its checkpoint.

    read: the number of rows that each run has read; known: of its lines, those that earlier runs had read.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, forgets: bool) -> None:
        self._forgets = forgets
        self._writer = stack.enter_context(CheckpointWriter.open(folder / "c.db", catalog="Sandbox"))
        self._writer.claim(OWNER)
        self._database = create_engine(f"sqlite:///{folder / 'c.db'}")
        stack.callback(self._database.dispose)
        self._now = 1000.0
        self.read: list[int] = []
        self.known: list[int] = []

    def go(self, folder: Path, going: Going) -> list[object]:
        """Carry out a run; return what it has seen, reported and sent."""
        self._now += 100
        if self._forgets:
            with self._database.begin() as connection:
                connection.execute(text("DELETE FROM prefixes"))
        twins = OnSameReceiver.SKIP if going.skips_twins else OnSameReceiver.WARN
        # A row that a killed run has put in doubt may not change later; which ones depends on the batches.
        look_up_first = going.look_up_first if going.is_whole else None
        self._writer.begin_run(
            self._now, look_up_first=look_up_first, on_same_receiver=twins, basis=going.basis
        )
        outlet = _Outlet() if going.results else None
        tally, sent = Tally(outlet), list[object]()
        with _within(folder):
            sources = [_Slow(name) for name in going.names]
            anyio.run(self._run, going, sources, tally, sent)
        reported: list[object] = []
        if outlet is not None:
            reported = [sorted(map(str, outlet.created_rows)), outlet.other_rows]
        return [_shown(tally.counts), reported, sent]

    async def _run(
        self, going: Going, sources: Sequence[FileSource], tally: Tally, sent: list[object]
    ) -> None:
        committer = Committer(
            self._writer,
            campaign=going.campaign,
            retry_failed=going.retry_failed,
            elapsed=lambda: 0.0,
            in_thread=_inline,
        )
        validator = _Validator(going.campaign)
        admitter = Admitter(validator, committer, FullEngagements(), tally)
        intake = OnePassIntake(
            sources, admitter, committer, StopSwitch(), limit=going.limit, in_thread=_inline
        )

        async def hand_over(rows: list[ToSend]) -> None:
            for row in rows:
                if len(sent) == going.ends_after:
                    raise _KilledError
                sent.append((str(row.invitation.position), row.invitation.client_token, row.doubt_since))
                self._send(row, going.left)

        try:
            await intake.run(hand_over)
            await intake.skipped.run(hand_over)
        except _KilledError:
            return
        finally:
            self.read.append(validator.validated)
            self.known.append(tally.counts.known_lines)
            assert tally.counts.skipped == tally.counts.rows - validator.validated or not going.is_whole

    def _send(self, row: ToSend, left: int | None) -> None:
        token = row.invitation.client_token
        number = sum(token.encode())
        if number % 3 == left:
            return
        self._writer.record([Sent(token, self._now)])
        if number % 5 == 0:
            answer = Answered(token, self._now, State.FAILED, Outcome.REFUSED, code="ValidationException")
        else:
            answer = Answered(token, self._now, State.CREATED, Outcome.CREATED, invitation_id=f"engi-{token}")
        self._writer.record([answer])

    def stored(self) -> list[object]:
        """The rows in its checkpoint, without what says when."""
        columns = "client_token, campaign, source, line, body_hash, state, invitation_id, code, errors"
        columns += ", receiver = '', receiver LIKE '=%'"  # its key is random
        unsent = "source, line, state, campaign, client_token, errors"
        with self._database.begin() as connection:
            return [
                *connection.execute(text(f"SELECT {columns} FROM invitations ORDER BY client_token")),
                *connection.execute(text(f"SELECT {unsent} FROM unsent_rows ORDER BY source, line")),
            ]


def _shown(counts: Counts) -> object:
    states = {state: count for state, count in counts.states.items() if count}
    return counts.rows, counts.already_created, states, counts.same_receiver, counts.twins


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _edit(folder: Path, edit: Edit) -> None:
    path = folder / edit.name
    packed = edit.name.endswith(".gz")
    content = path.read_bytes()
    content = gzip.decompress(content) if packed else content
    kept = content.splitlines(keepends=True)[: edit.keep]
    content = b"".join([*kept, *edit.more])
    content = content[:-1] if edit.cut else content
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


_LAST: Final = Going(_NAMES, results=True)


def _carry_out(
    first: Sequence[bytes], course: Sequence[Going | Edit], last: Sequence[Going] = (_LAST,)
) -> list[Sender]:
    """Carry out a course twice, then whole runs of all files; compare what both have seen and stored."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for each in _NAMES:
            (folder / each).write_bytes(gzip.compress(b"") if each.endswith(".gz") else b"")
        _edit(folder, Edit(_NAMES[0], None, first))
        both = []
        for forgets in (False, True):
            (folder / str(forgets)).mkdir()
            both.append(Sender(folder / str(forgets), stack, forgets=forgets))
        are_alike = True
        for step in [*course, *last]:
            if isinstance(step, Edit):
                _edit(folder, step)
                continue
            seen, expected = (sender.go(folder, step) for sender in both)
            # A run that ends early ends elsewhere: it has read fewer rows that are settled.
            are_alike = are_alike and step.is_whole
            if are_alike:
                assert seen == expected
                assert both[0].stored() == both[1].stored()
        assert both[0].go(folder, _LAST) == both[1].go(folder, _LAST)
        assert both[0].stored() == both[1].stored()
        return both


@settings(max_examples=_EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(lines, min_size=4, max_size=12), st.lists(st.one_of(runs, runs, edits), max_size=9))
def test_a_run_that_skips_sees_and_stores_the_same_as_one_that_reads_all(
    first: Sequence[bytes], course: Sequence[Going | Edit]
) -> None:
    _carry_out(first, course, [_LAST, replace(_LAST, campaign="other")])


_ROWS: Final = [_line(row=number, account=0) for number in range(8)]
_A, _B, _C = Going(["a.ndjson"]), Going(["b.ndjson"]), Going(["c.ndjson.gz"])
_LONG: Final = [_line(row=number, noise=Random(number).randbytes(300).hex()) for number in range(30)]
"""Rows that are more than one block, also compressed."""


_SAYS_BAD: Final = {"position": {"source": "a.ndjson", "line": 9}, "errors": [{"path": "$", "code": "bad"}]}


@pytest.mark.parametrize(
    ("course", "read"),
    [
        pytest.param([_A, _A], [8, 0], id="unchanged"),
        pytest.param([_A, Edit("a.ndjson", None, [_line(row=9)]), _A], [8, 1], id="grown"),
        pytest.param([_A, Edit("a.ndjson", None, _ROWS[2:3]), _A, _A], [8, 1, 1], id="duplicate behind it"),
        pytest.param([_A, Edit("a.ndjson", 3, _ROWS[:3] + _ROWS[4:]), _A], [8, 10], id="edited"),
        pytest.param([_A, replace(_A, basis="2"), _A], [8, 8, 8], id="other settings"),
        pytest.param([_A, replace(_A, campaign="other"), _A], [8, 8, 0], id="other campaign"),
        pytest.param([replace(_A, ends_after=4), _A], [6, 4], id="killed"),
        pytest.param([replace(_A, left=1), _A, _A], [8, 2, 0], id="left open"),
        pytest.param([_A, replace(_A, results=True), replace(_A, retry_failed=True)], [8, 2, 2], id="failed"),
        pytest.param([_A, Edit("b.ndjson", 0, _ROWS[4:6]), _B, _A, _A], [8, 2, 2, 0], id="read elsewhere"),
        pytest.param(
            [
                Edit("a.ndjson", None, [b'{"bad":1}\n']),
                _A,
                Edit("b.ndjson", 0, [_line(row=9, _bulk_invite=_SAYS_BAD)]),
                *(_B, _A, _B),
            ],
            [9, 1, 1, 1],
            id="corrected row of results",
        ),
        pytest.param(
            [_A, Edit("a.ndjson", 0, [*_ROWS[1:], _line(row=9)]), _A, _A], [8, 8, 0], id="rows moved up"
        ),
        pytest.param(
            [Edit("a.ndjson", 0, _ROWS, cut=True), _A, Edit("a.ndjson", None, [b"\n", *_ROWS[:1]]), _A],
            [8, 1],
            id="without its last line end",
        ),
        pytest.param(
            [Edit("a.ndjson", 0, _ROWS, cut=True), _A, Edit("a.ndjson", None, [b"7}\n"]), _A],
            [8, 8],
            id="last line continued",
        ),
        pytest.param(
            [
                Edit("c.ndjson.gz", 0, _LONG[:1], cut=True),
                _C,
                Edit("c.ndjson.gz", None, [b"\n", *_LONG[1:]]),
                _C,
            ],
            [1, 29],
            id="compressed, without its last line end, and several blocks longer",
        ),
    ],
)
def test_only_what_is_not_settled_is_read_again(course: Sequence[Going | Edit], read: list[int]) -> None:
    skipping, forgetting = _carry_out(_ROWS, course)
    assert skipping.read[: len(read)] == read
    assert len(forgetting.read) == len(skipping.read)


@pytest.mark.parametrize("files", [8, 9])
def test_rows_of_many_files_are_found_by_an_index(tmp_path: Path, files: int) -> None:
    """Otherwise, the time to resume would grow with the square of their number."""
    with CheckpointWriter.open(tmp_path / "c.db", catalog="Sandbox") as writer:
        writer.claim(OWNER)
        writer.begin_run(1000.0, basis="1")
        for number in range(files):
            end = Prefix(f"{number}.ndjson", 0, 0, "")
            writer.admit([], campaign="", retry_failed=False, reached=end)
        writer.prefixes.rows("0.ndjson", "", failed_again=False)
    with closing(sqlite3.connect(tmp_path / "c.db")) as file:
        found = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'invitations_by_source'").fetchall()
    assert len(found) == (files > 8)


def test_lines_that_are_read_again_are_known() -> None:
    edited = Edit("a.ndjson", 0, [_line(row=9), *_ROWS[1:], _line(row=10)])
    course: list[Going | Edit] = [_A, _A, edited, _A, _A]
    skipping, forgetting = _carry_out(_ROWS, course)
    assert (skipping.known[:4], forgetting.known[:4]) == ([0, 0, 8, 0], [0, 0, 0, 0])


_TOKENS: Final = [_line(token=number, body=0) for number in range(4)]


def test_a_line_that_another_campaign_has_read_with_other_rows_is_read_again() -> None:
    """Rows with tokens of their own belong to the campaign that read them first."""
    other = Going(["a.ndjson"], campaign="other")
    course: list[Going | Edit] = [
        Edit("a.ndjson", 0, _TOKENS[:3]),
        replace(_A, left=0),
        Edit("a.ndjson", 0, [_TOKENS[1], _TOKENS[2], _TOKENS[0]]),
        replace(other, left=0),
        Edit("a.ndjson", 0, _TOKENS[:3]),
        _A,
    ]
    _carry_out(_ROWS[:1], course)
