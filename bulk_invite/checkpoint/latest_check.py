"""Whether a checkpoint is the one that was written last: seen when it is opened, and at every commit.

What can tell: this program's memory, a file beside the file, and what the database says of itself. A file
that is missing beside its checkpoint proves nothing, but a copy without it may well be an older one, and an
invitation cannot be taken back: that is a gap, too, until rows were looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from bulk_invite.checkpoint.recent_writes import Recollection, calls_of
from bulk_invite.checkpoint.storage.last_transaction import Origin
from bulk_invite.checkpoint.tables import gaps, generation
from bulk_invite.checkpoint.tables.gaps import Gap, Suspicion
from bulk_invite.checkpoint.tables.generation import Generation
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event, Sent
from bulk_invite.domain.rows import Invitation


@dataclass(frozen=True, slots=True)
class _Examined:
    """why: it may lack calls, "" where nothing says so. later: what is known of the last transaction."""

    why: str
    later: Generation | None

    def lost(self, kept: Generation) -> int | None:
        """How many calls are missing; None where that is not known."""
        return None if self.later is None else max(0, self.later.calls - kept.calls)


class Lineage:
    """Of a checkpoint that is held. lost: calls that it was found to lack, and that are not noted there yet.

    Every method is called inside of a transaction but for `admitted` and `keep`. Raises CheckpointError.
    """

    def __init__(self, name: str, origin: Origin, recollection: Recollection) -> None:
        """name: of the checkpoint, for the operator."""
        self.suspicion: Suspicion | None = None
        self.lost = 0
        self._name = name
        self._origin = origin
        self._recollection = recollection
        self._step = generation.step({})
        self._examined: _Examined | None = None
        self._asked_at: float | None = None
        self._last = Generation("", 0, 0, None)

    def begin(self, connection: Connection) -> None:
        """For a checkpoint that was made just now."""
        self._last = generation.begin(connection)
        later = max((self._origin.known(), self._recollection.last), key=_calls)
        if later is not None and later.calls:
            why = "it is new, and calls were made by the one that was there before"
            gaps.note(connection, Gap(0.0, None, later.calls, why))
        else:
            # Before the first commit: where there is none after that, it was taken away.
            self._origin.keep(self._last)
        self._mark(connection)

    def examine(self, connection: Connection) -> None:
        """For one that was there: see what it lacks. Nothing is changed before it is known to be ours."""
        kept = generation.read(connection)
        self._examined = self._judged(connection, kept)
        self.lost = self._examined.lost(kept) or 0

    def enter(self, connection: Connection, change: int) -> None:
        """Before anything else that is written: note what it lacks, and write back what is remembered."""
        if self._examined is None:
            return
        kept = self._last = generation.read(connection)
        written: Sequence[Event] = ()
        if self._examined.why:
            written = self._recovered(connection, kept, self._examined, change)
        elif self._origin.known() is None:
            self._origin.keep(kept)  # as in `begin`
        self._examined, self.lost = None, 0
        self._mark(connection, written)

    def begin_run(self, connection: Connection, now: float, *, look_up_first: bool | None) -> list[Gap]:
        """See `CheckpointWriter.begin_run`."""
        found = gaps.close(connection, now)
        if look_up_first:
            self._asked_at = now if self._asked_at is None else self._asked_at
            self.suspicion = Suspicion(0.0, self._asked_at)
        else:
            self.suspicion = None if look_up_first is False else gaps.suspicion(connection)
        return found

    def admitted(self, rows: Iterable[Invitation], campaign: str) -> None:
        """Rows that are to be sent."""
        self._recollection.admitted(rows, campaign)

    def advance(self, connection: Connection, events: Sequence[Event] = ()) -> None:
        """At the end of a transaction. Raises CheckpointError where the last one was not ours."""
        at = max((event.at for event in events if isinstance(event, Sent)), default=None)
        new = generation.advance(connection, self._last, calls=calls_of(events), at=at, step=self._step)
        if new is None:
            raise CheckpointError(
                f"The checkpoint {self._name} is not as this program has left it: it was restored or "
                "changed by somebody else.",
                hint="Run the same command again: what is missing is noticed, and rows are looked up first.",
                retryable=True,
            )
        self._last = new

    def keep(self, run: int, events: Sequence[Event] = ()) -> None:
        """After the commit. Raises CheckpointError."""
        self._recollection.wrote(self._last, run, events)
        self._origin.keep(self._last)

    def _judged(self, connection: Connection, kept: Generation) -> _Examined:
        remembered, beside = self._recollection.last, self._origin.known()
        if remembered is not None and remembered.checkpoint != kept.checkpoint:
            return _Examined("it is not the one that this program has written to before", None)
        ahead = (each for each in (remembered, beside) if generation.is_later(each, kept))
        later = max(ahead, key=_number, default=None)
        if self._recollection.missing(connection):
            why = "this program remembers calls and answers that it does not know of"
            return _Examined(why, later or remembered)
        why = why_older(connection, self._origin, beside, kept)
        return _Examined(why or ("this program knows of later transactions" if later else ""), later)

    def _recovered(
        self, connection: Connection, kept: Generation, examined: _Examined, change: int
    ) -> Sequence[Event]:
        """Note a gap, and write back what is remembered of it; says what."""
        written: Sequence[Event] = ()
        lost: int | None = None
        if examined.later is not None:
            self._last = generation.skip_to(connection, kept, max(kept.number, examined.later.number))
            if batches := self._recollection.missing(connection):
                written = self._recollection.write_back(connection, batches, change)
            lost = max(0, examined.later.calls - kept.calls - calls_of(written))
        gaps.note(connection, Gap(0.0 if kept.at is None else kept.at, None, lost, examined.why))
        return written

    def _mark(self, connection: Connection, written: Sequence[Event] = ()) -> None:
        """Say where it stands now: what it is told from copies by."""
        self._step = generation.step(self._origin.stamp(connection))
        self.advance(connection, written)


def why_older(connection: Connection, origin: Origin, beside: Generation | None, kept: Generation) -> str:
    """Why calls may be missing, "" where nothing says so. beside: what was kept there before it was read."""
    name = origin.beside
    if generation.is_later(beside, kept):
        return f"{name} knows of later transactions"
    if beside is not None and beside.checkpoint != kept.checkpoint:
        return f"{name} beside it belongs to another one"
    if beside is None and name and kept.number:
        return f"it was copied or moved without {name}, which was beside it"
    return origin.why_a_copy(connection)


def unnoticed(
    connection: Connection, origin: Origin, beside: Generation | None, kept: Generation
) -> Gap | None:
    """What a sender would find to be missing; None where nothing says so. beside: as for `why_older`."""
    why = why_older(connection, origin, beside, kept)
    found = _Examined(why, beside if generation.is_later(beside, kept) else None)
    return Gap(0.0 if kept.at is None else kept.at, None, found.lost(kept), why) if why else None


def _number(known: Generation | None) -> int:
    return 0 if known is None else known.number


def _calls(known: Generation | None) -> int:
    return 0 if known is None else known.calls
