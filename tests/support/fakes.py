"""Stand-ins for the surroundings of the flow; each keeps to a Protocol that the flow declares."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

import anyio
import anyio.lowlevel
import orjson

from bulk_invite.delivery.tracking.journal import Prefixes
from bulk_invite.domain.admissions import Admission, AlreadySettled, Duplicate, SkippedRow, ToSend
from bulk_invite.domain.classify import WITHHELD
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import BulkInviteError, CheckpointError, SourceError
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.findings import Content, DoubtfulRow, Listed, Page, SettledRow
from bulk_invite.domain.records import Change, PacingState, Prefix, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.tokens import body_hash, canonical_json
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer, State

THROTTLED = HttpAnswer(400, code="ThrottlingException")
SERVER_ERROR = HttpAnswer(500, code="InternalServerException")
REFUSED = HttpAnswer(400, code="ValidationException", errors=(RowError("$.A", "INVALID", "no"),))
CONFLICT = HttpAnswer(400, code="ConflictException")
FULL = HttpAnswer(400, code="ServiceQuotaExceededException")
DENIED = HttpAnswer(400, code="AccessDeniedException")
EXPIRED = HttpAnswer(403, code="ExpiredTokenException")
UNKNOWN = HttpAnswer(418, code="TeapotException")
DOWN = NoAnswer(("EndpointConnectionError", "ClientConnectorError"))
RESET = NoAnswer(("EndpointConnectionError", "ClientOSError"))


def row(line: int, text: str, source: str = "rows") -> Row:
    return Row(Position(source, line), text.encode())


def invitation(
    token: str, *, line: int = 1, engagement: str = "eng-1", body: str = "", source: str = "rows"
) -> Invitation:
    """The invitation that `TinyValidator` makes of the row "token engagement body"."""
    data = f"{token} {engagement} {body}".rstrip()
    validated = TinyValidator().validate(row(line, data, source))
    assert isinstance(validated, Invitation)
    return validated


class TinyValidator:
    """A row is "token engagement body"; engagement and body may be missing, and "bad" is rejected."""

    def validate(self, row: Row) -> Invitation | Rejection:
        if row.data == b"bad":
            return Rejection(row, (RowError("$", "bad", "a bad row"),))
        token, engagement = (*row.data.decode().split(), "eng-1")[:2]
        body = canonical_json(
            {
                "Catalog": "Sandbox",
                "ClientToken": token,
                "EngagementIdentifier": engagement,
                "Invitation": {
                    "Message": row.data.decode(),
                    "Payload": {"LeadInvitation": {}},
                    "Receiver": {"Account": {"AwsAccountId": "111122223333"}},
                },
            }
        )
        return Invitation(row, token, body, body_hash(body), engagement, "LeadInvitation")


def arrival(text: str, at: float, *, number: int = 1) -> tuple[Listed, Content]:
    """The invitation that the row `text` has become, as the service shows it."""
    token, engagement = (*text.split(), "eng-1")[:2]
    listed = Listed(f"engi-{token}-{number}", "arn:x", engagement, "LeadInvitation", "111122223333", at)
    receiver = {"Account": {"AwsAccountId": "111122223333"}}
    return listed, Content(text, receiver, {"LeadInvitation": {}})


class ListSource:
    """Rows from a list or an endless iterable, without keys. `taken`: how many were asked for.

    fails_after: rows after which it breaks off with SourceError. lingers: at its end it waits for more rows,
    as standard input does, until it is asked to stop.
    """

    def __init__(
        self,
        texts: Iterable[str],
        *,
        fails_after: int | None = None,
        lingers: bool = False,
        name: str = "rows",
    ) -> None:
        self.taken = 0
        self._texts = texts
        self._fails_after = fails_after
        self._lingers = lingers
        self.name = name
        self.consumed = self.lines = 0
        self.answering = True
        self.size: int | None = None

    def batches(
        self, max_rows: int = 1, max_bytes: int = 1, stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Row], None, None]:
        assert max_bytes > 0
        numbered = zip(count(1), self._texts, strict=False)
        size = max_rows if self._fails_after is None else min(max_rows, self._fails_after)
        while batch := list(islice(numbered, size)):
            if self.taken == self._fails_after:
                raise SourceError("The source rows ends too early.")
            self.taken += len(batch)
            yield [row(line, text, self.name) for line, text in batch]
        if self._lingers:
            self._wait_for(stop)

    @staticmethod
    def _wait_for(stop: Callable[[], bool]) -> None:
        for _ in range(1000):
            if stop():
                return
            threading.Event().wait(0.005)
        raise TimeoutError("the source was not asked to stop")


@dataclass
class Entry:
    """The record of a row in `MemoryJournal`; `attempts` as the checkpoint counts them."""

    body_hash: str
    state: State = State.PENDING
    doubt_since: float | None = None
    last_sent: float | None = None
    invitation_id: str = ""
    code: str = ""
    errors: tuple[RowError, ...] = ()
    attempts: int = 0
    seen: bool = False
    engagement: str = "eng-1"


class MemoryJournal:
    """A checkpoint in memory.

    elsewhere: number of invitations of other campaigns, by engagement. fails_at, admit_fails_at: the number
    of the `record` or `admit` call (from 1) from which on every one fails. gate: what every `record` waits
    for. taken_over: the lock is another's from now on.
    """

    def __init__(
        self,
        *,
        fails_at: int | None = None,
        admit_fails_at: int | None = None,
        gate: threading.Event | None = None,
    ) -> None:
        self._admit_fails_at = admit_fails_at
        self._admitted = 0
        self.writes_at_failure = 0
        self.rows: dict[str, Entry] = {}
        self.events: list[Event] = []
        self.writes: list[int] = []
        self.ended_sources: list[str] = []
        self.memory: PacingState | None = None
        self.elsewhere = Counter[str]()
        self.entered = threading.Event()
        self.taken_over = False
        self.proofs = 0
        self._fails_at = fails_at
        self._gate = gate
        self._one_thread = threading.Lock()

    def states(self) -> dict[str, State]:
        return {token: entry.state for token, entry in self.rows.items()}

    def outcomes(self, token: str) -> list[str]:
        """The recorded events of a row, in order: "sent" or the outcome."""
        return [
            event.outcome if isinstance(event, Answered) else "sent"
            for event in self.events
            if event.client_token == token
        ]

    def next_run(self) -> None:
        for entry in self.rows.values():
            entry.seen = False

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | Prefix | None = None,
        follows: bool = False,
    ) -> list[Admission]:
        del campaign
        assert reached is None, "no source of these tests has keys"
        assert not follows, "or is followed"
        with self._alone():
            self._admitted += 1
            if self._admitted == self._admit_fails_at:
                self.writes_at_failure = len(self.writes)
                raise CheckpointError("The disk is full.")
            return [self._admit(each, retry_failed=retry_failed) for each in batch]

    def source_cursor(self, source: str, campaign: str) -> str | None:
        raise NotImplementedError(source, campaign)

    def changes(self, source: str, campaign: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        raise NotImplementedError(source, campaign, after, limit)

    def watermark(self, source: str, campaign: str) -> str | None:
        raise NotImplementedError(source, campaign)

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]:
        raise NotImplementedError(source, campaign, after, limit, to_send)

    def created_rows(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]:
        raise NotImplementedError(source, campaign, after, limit)

    def count_created(self, source: str, campaign: str) -> int:
        raise NotImplementedError(source, campaign)

    @property
    def prefixes(self) -> Prefixes:
        raise NotImplementedError

    def end_source(self, source: str, campaign: str) -> None:
        del campaign
        with self._alone():
            self.ended_sources.append(source)

    def save_pacing(self, memory: PacingState) -> None:
        with self._alone():
            self.memory = memory

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        with self._alone():
            rows = [(token, entry) for token, entry in self.rows.items() if entry.engagement in engagements]
            return (
                [_doubtful(token, entry) for token, entry in rows if entry.doubt_since is not None],
                [SettledRow(token, entry.invitation_id) for token, entry in rows if entry.invitation_id]
                + [
                    SettledRow(f"other-{each}", f"engi-{each}")
                    for each in engagements
                    for _ in range(self.elsewhere[each])
                ],
            )

    def prove(self) -> None:
        with self._alone():
            self._require_ours()
            self.proofs += 1

    def _require_ours(self) -> None:
        if self.taken_over:
            raise CheckpointError("The lock is somebody else's.")

    def record(self, events: Sequence[Event]) -> frozenset[str]:
        with self._alone():
            self._require_ours()
            self.entered.set()
            if self._gate is not None:
                assert self._gate.wait(5), "the gate was not opened"
            self.writes.append(len(events))
            if self._fails_at is not None and len(self.writes) >= self._fails_at:
                raise CheckpointError(f"The disk is full (write {len(self.writes)}).")
            return frozenset(event.client_token for event in events if self._apply(event) is not event)

    def _alone(self) -> threading.Lock:
        assert not self._one_thread.locked(), "the journal is for one thread at a time"
        return self._one_thread

    def _admit(self, row: Invitation | Rejection, *, retry_failed: bool) -> Admission:
        if isinstance(row, Rejection):
            return row
        entry = self.rows.setdefault(row.client_token, Entry(row.body_hash, engagement=row.engagement))
        assert entry.body_hash == row.body_hash
        if entry.seen:
            return Duplicate(row)
        entry.seen = True
        if entry.state is State.FAILED and retry_failed:
            entry.state = State.PENDING if entry.doubt_since is None else State.IN_DOUBT
            entry.code, entry.errors = "", ()
        if entry.state in {State.CREATED, State.FAILED}:
            return AlreadySettled(row, entry.state, entry.invitation_id, "", entry.code, entry.errors)
        deferred = entry.state is State.DEFERRED
        return ToSend(row, entry.doubt_since, entry.last_sent, entry.code, entry.errors, deferred=deferred)

    def _apply(self, event: Event) -> Event:
        if isinstance(event, Answered) and event.instead is not None and self._is_of_another(event):
            event = event.instead
        self.events.append(event)
        entry = self.rows.setdefault(event.client_token, Entry(""))
        match event:
            case Sent(at=at):
                entry.state = State.IN_DOUBT
                entry.attempts += 1
                entry.last_sent = at
                entry.code, entry.errors = "", ()
                entry.doubt_since = at if entry.doubt_since is None else entry.doubt_since
            case Answered():
                entry.state = event.state
                entry.doubt_since = event.doubt_since
                entry.invitation_id = event.invitation_id
                entry.code = event.code
                entry.errors = tuple(replace(each, message="") for each in event.errors)
                entry.attempts -= not event.counted
        return event

    def _is_of_another(self, event: Answered) -> bool:
        return any(
            entry.invitation_id == event.invitation_id
            for token, entry in self.rows.items()
            if token != event.client_token
        )


def _doubtful(token: str, entry: Entry) -> DoubtfulRow:
    since = entry.doubt_since or 0.0
    last = since if entry.last_sent is None else entry.last_sent
    return DoubtfulRow(
        token, entry.body_hash, entry.engagement, "LeadInvitation", since, last, entry.code, entry.errors
    )


Reply = Answer | Exception
"""An exception stands for a bug in the sender: it is raised."""

Wait = Callable[[], Awaitable[None]]

Script = Mapping[str, Sequence[Reply]]
"""Replies by token, in order; the last one stays."""


@dataclass
class Call:
    token: str
    body: bytes
    began: float
    ended: float | None = None


@dataclass
class ScriptedSender:
    """Answers by script or, for tokens that are not in it, by `otherwise`; it notes every call.

    otherwise: None for an Id of its own for every token. seconds: how long a call takes. gate: what every
    call waits for before that. on_the_way: what a call waits for between its intent and its first byte,
    before and after its clearance is renewed. journal: where the intent of a call has to be before it is
    made. arrived: what it has when it is looked at. unready: the results of the first times it shall
    get ready. reads: what the first look-ups are answered with. withheld: calls that did not leave, and why.
    """

    script: Script = field(default_factory=dict)
    otherwise: Callable[[Call], Reply] | None = None
    seconds: float = 0.1
    gate: anyio.Event | None = None
    on_the_way: Callable[[Call], tuple[Wait, Wait]] | None = None
    journal: MemoryJournal | None = None
    arrived: list[tuple[Listed, Content]] = field(default_factory=list)
    unready: list[NoAnswer] = field(default_factory=list)
    reads: list[Answer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    lists: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    withheld: list[tuple[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def is_ready(self) -> bool:
        return not self.unready

    async def ready(self) -> NoAnswer | None:
        return self.unready.pop(0) if self.unready else None

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
        assert not next_token
        assert len(engagements) <= 10
        await anyio.sleep(self.seconds)
        self.lists.append((anyio.current_time(), tuple(engagements)))
        if self.reads:
            return self.reads.pop(0)
        return Page(tuple(each for each, _ in self.arrived if each.engagement in engagements), "")

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        await anyio.sleep(self.seconds)
        return next(content for each, content in self.arrived if each.invitation_id == invitation_id)

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        token = orjson.loads(body)["ClientToken"]
        if self.journal is not None:
            entry = self.journal.rows[token]
            assert entry.state is State.IN_DOUBT, f"{token} leaves without a durable intent"
        call = Call(token, body, anyio.current_time())
        before, after = (anyio.lowlevel.checkpoint,) * 2 if self.on_the_way is None else self.on_the_way(call)
        await before()
        try:
            await clearance.renew()
        except CheckpointError:
            return NoAnswer((WITHHELD,))
        await after()
        if not clearance.holds():
            self.withheld.append((token, clearance.withheld))
            return NoAnswer((WITHHELD,))
        call.began = anyio.current_time()
        self.calls.append(call)
        self.most_at_once = max(self.most_at_once, sum(each.ended is None for each in self.calls))
        try:
            if self.gate is not None:
                await self.gate.wait()
            await anyio.sleep(self.seconds)
        finally:
            call.ended = anyio.current_time()
        reply = self._reply(call)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def calls_of(self, token: str) -> list[Call]:
        return [call for call in self.calls if call.token == token]

    def _reply(self, call: Call) -> Reply:
        if call.token in self.script:
            replies = self.script[call.token]
            return replies[min(len(self.calls_of(call.token)), len(replies)) - 1]
        return created(call.token) if self.otherwise is None else self.otherwise(call)


def created(token: str) -> HttpAnswer:
    return HttpAnswer(200, invitation_id=f"engi-{token}", arn=f"arn:{token}")


class MemoryOutlet:
    """Result rows by token or line, each checked against the journal: only durable rows are reported.

    fails: what every result row raises.
    """

    def __init__(self, journal: MemoryJournal, *, fails: BulkInviteError | None = None) -> None:
        self.created_rows: dict[str, str] = {}
        self.failed_rows: dict[str, tuple[RowError, ...]] = {}
        self.rejected_lines: list[int] = []
        self._journal = journal
        self._fails = fails

    def created(
        self, position: Position, client_token: str, invitation_id: str, arn: str, label: str
    ) -> None:
        del position, arn, label
        assert self._journal.rows[client_token].state is State.CREATED
        if self._fails is not None:
            raise self._fails
        self.created_rows[client_token] = invitation_id

    def failed(self, row: Row, errors: tuple[RowError, ...], label: str) -> None:
        del label
        token = row.data.decode().split()[0]
        assert self._journal.rows[token].state is State.FAILED
        self.failed_rows[token] = errors

    def rejected(self, row: Row, errors: tuple[RowError, ...], label: str) -> None:
        del label
        assert errors
        self.rejected_lines.append(row.position.line)


@dataclass
class ScriptedFinder:
    """Shows what has `arrived`, `page_size` invitations at a time; it notes when it was asked for what.

    overlap: how many invitations of a page are repeated on the next one. endless: every page has a next one.
    unknown: engagements for which a list is refused. seconds: how long an answer takes. lists, gets: what the
    first questions are answered with, and `always` all others. date: what its clock says.
    """

    arrived: list[tuple[Listed, Content]] = field(default_factory=list)
    page_size: int = 100
    overlap: int = 0
    endless: bool = False
    unknown: Sequence[str] = ()
    seconds: float = 0.1
    lists: list[Answer] = field(default_factory=list)
    gets: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    date: float | None = None
    asked: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    got: list[tuple[float, str]] = field(default_factory=list)

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
        assert 1 <= len(set(engagements)) == len(engagements) <= 10
        self.asked.append((anyio.current_time(), tuple(engagements)))
        await anyio.sleep(self.seconds)
        if self.lists or self.always:
            return self.lists.pop(0) if self.lists else self.always or SERVER_ERROR
        if set(engagements) & set(self.unknown):
            return REFUSED
        of_them = [each for each, _ in self.arrived if each.engagement in engagements]
        start = int(next_token or 0)
        end = start + self.page_size
        more = end < len(of_them) or self.endless
        return Page(tuple(of_them[start:end]), str(end - self.overlap) if more else "", self.date)

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        self.got.append((anyio.current_time(), invitation_id))
        await anyio.sleep(self.seconds)
        if self.gets or self.always:
            return self.gets.pop(0) if self.gets else self.always or SERVER_ERROR
        return next(content for each, content in self.arrived if each.invitation_id == invitation_id)

    def times(self) -> list[float]:
        """When it was asked for anything, in order."""
        return sorted(time for time, _ in [*self.asked, *self.got])


@dataclass
class KnownRows:
    """The state in the checkpoint. becomes: the state from the second query on."""

    doubtful: Sequence[DoubtfulRow] = ()
    settled: Sequence[SettledRow] = ()
    becomes: KnownRows | None = None
    asked: int = 0

    async def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if self.becomes is not None and self.asked > 1:
            return await self.becomes.rows_of(engagements)
        return [each for each in self.doubtful if each.engagement in engagements], list(self.settled)


class MemoryChanges:
    """Rows of a checkpoint in memory, each with the number of its last change. pages: the requested pages."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, Change]] = []
        self._last = 0
        self._rows: dict[tuple[str, str], tuple[int, Record]] = {}

    def change(self, key: str, state: State, *, source: str = "rows") -> None:
        self._last += 1
        position = Position(source, key=key)
        record = Record(f"token-{key}", state, position, "eng-1", "", "", "", "", (), 0, None, None, "")
        self._rows[source, key] = self._last, record

    def uses(self) -> int:
        return self._last

    def states(self, source: str = "rows") -> dict[str, State]:
        return {key: record.state for (of, key), (_, record) in self._rows.items() if of == source}

    async def page(self, source: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        self.pages.append((source, after))
        await anyio.lowlevel.checkpoint()
        newer = sorted(
            (number, key)
            for (of, key), (number, _) in self._rows.items()
            if of == source and number > after[0]
        )[:limit]
        return ((newer[-1][0], "", "") if newer else after), [self._rows[source, key][1] for _, key in newer]


class MemoryTable:
    """A table of outcomes in memory. away: its database is; then every write waits for the stop.

    fails: what every write raises. sizes: of the writes. pauses: how often it was left alone.
    """

    def __init__(self, name: str = "outcomes") -> None:
        self.name = name
        self.rows: dict[str, State] = {}
        self.away = False
        self.fails: BulkInviteError | None = None
        self.waiting = threading.Event()
        self.sizes: list[int] = []
        self.pauses = 0

    def write(self, records: Sequence[Record], stop: Callable[[], bool]) -> bool:
        if self.fails is not None:
            raise self.fails
        while self.away:
            self.waiting.set()
            if stop():
                return False
            threading.Event().wait(0.002)
        self.rows |= {record.position.key: record.state for record in records}
        self.sizes.append(len(records))
        return True

    def pause(self) -> None:
        self.pauses += 1
