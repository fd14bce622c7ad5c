"""The sentences at the end of a run: what there is now, why the run ended, and what to do next.

Pure: counts and settings in, sentences out. The log has the same as events (`run.stopped` and so on).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final

from bulk_invite.delivery.tracking.tally import WARNING
from bulk_invite.domain.rows import Position
from bulk_invite.domain.texts import plural
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.headline import headline

_NAMED: Final = 3
"""Codes that a sentence names; `status`, `export` and the log have all of them."""

_EDITED: Final = {
    "changed_since_sent": (
        "was changed after its invitation was sent; the invitation stays as it was",
        "were changed after their invitations were sent; the invitations stay as they were",
        "the change is not sent",
    ),
    "changed_since_called": (
        "was changed after a call that created no invitation, and is not sent",
        "were changed after calls that created no invitations, and are not sent",
        "undo the change, or give the changed row another key",
    ),
    "changed_since_refused": (
        "was changed after the service had refused it, and is not sent",
        "were changed after the service had refused them, and are not sent",
        "give the changed row another key",
    ),
}
"""By code, for rejected rows that must not be fixed: about one and about several rows, and what follows."""


class End(Enum):
    """How a run ended. CONFIRMED: more rows came than were confirmed. ERROR: it is printed by itself."""

    FINISHED = auto()
    LIMIT = auto()
    CONFIRMED = auto()
    STOPPED = auto()
    ABORTED = auto()
    ERROR = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind.

    states: its rows by state. earlier: rows that earlier runs created. failed_before: the failed rows that it
    did not send. codes: rows by code, for rejected and failed rows and for warnings. warned: rows with
    warnings. same_receiver: rows with the engagement and account of another row, twins: the first of them;
    skips_them: they are not sent. not_read: rows that it did not read, estimated; None where that is unknown.
    parked: until when and why sending was parked at the end, or "". limit: --limit. has_keys: a row's key is
    its identity. results: the results folder, or None. published: the results are there, not in `.partial`
    files. in_databases: the rows are those of databases. checkpoint: the option that names the checkpoint, or
    "" for the default one. read_again: files that were read before, and were read from their beginning.
    """

    end: End
    states: Mapping[State, int]
    earlier: int = 0
    failed_before: int = 0
    codes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    warned: int = 0
    same_receiver: int = 0
    twins: Sequence[Position] = ()
    skips_them: bool = False
    not_read: int | None = 0
    parked: str = ""
    limit: int | None = None
    has_keys: bool = False
    results: Path | None = None
    published: bool = True
    in_databases: bool = False
    checkpoint: str = ""
    read_again: Sequence[str] = ()


def sentences(outcome: Outcome) -> list[str]:
    """The headline, and one sentence for each kind of row that needs something."""
    unread = unread_clause(outcome.not_read)
    return [
        headline(outcome.states, outcome.earlier, unread=unread, has_details=False),
        *_why_it_ended(outcome),
        *_of_read_again(outcome),
        *_of_rejected(outcome),
        *_of_failed(outcome),
        *_of_open(outcome),
        *_of_warned(outcome),
        *_of_twins(outcome),
    ]


def unread_clause(not_read: int | None) -> str:
    """A clause about rows that were not read, or ""; None: it is unknown how many there are."""
    if not_read is None:
        return "the rest of the source was not read"
    if not_read == 0:
        return ""
    return f"about {_rows(rounded_rows(not_read))} {_were(not_read)} not read"


def counted(codes: Mapping[str, int]) -> list[str]:
    """`not_json 50`, `wrong_catalog 10`: the most frequent codes first."""
    ranked = sorted(codes.items(), key=lambda each: (-each[1], each[0]))
    return [f"{code} {rows:,}" for code, rows in ranked]


def _of_read_again(outcome: Outcome) -> Iterator[str]:
    if files := outcome.read_again:
        more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
        were = "was" if len(files) == 1 else "were"
        yield f"{files[0]}{more} {were} read from the beginning again; the log says why (source.read_again)."


def _why_it_ended(outcome: Outcome) -> Iterator[str]:
    parked = f" Sending was {outcome.parked}." if outcome.parked else ""
    match outcome.end:
        case End.STOPPED:
            yield f"Stopped before the end.{parked} Run the same command to continue."
        case End.ABORTED:
            yield f"Interrupted: calls in flight were aborted.{parked} Run the same command to continue."
        case End.LIMIT if outcome.not_read != 0:
            yield (
                f"Stopped at --limit {outcome.limit}. Run the same command to send up to {outcome.limit:,} "
                "more, or without --limit to send the rest."
            )
        case End.CONFIRMED:
            yield (
                "Stopped at the number of invitations that was confirmed: the sources have more rows to send "
                "now. Run the same command to send them, too."
            )
        case _:
            pass


def _of_rejected(outcome: Outcome) -> Iterator[str]:
    codes = outcome.codes.get(State.REJECTED, {})
    edited = {code: codes[code] for code in _EDITED if codes.get(code)}
    for code, rows in edited.items():
        one, more, so = _EDITED[code]
        yield f"{_rows(rows)} {one if rows == 1 else more}: {so}."
    if not (rows := outcome.states.get(State.REJECTED, 0) - sum(edited.values())):
        return
    named = _by_code({code: rows for code, rows in codes.items() if code not in edited})
    said = f"{_rows(rows)} {_were(rows)} rejected{named}"
    where = _export(outcome, State.REJECTED)
    if outcome.results is not None:
        where = _file(outcome.results, State.REJECTED, outcome)
    if outcome.in_databases:
        them = _them(rows)
        yield f"{said}: fix {them} in the database and run the same command; {where} lists {them}."
    elif outcome.results is not None:
        yield f"{said}: {where} (fix and send {_them(rows)})."
    else:
        yield (
            f"{said}: add --results DIR to the same command to get {_them(rows)} in a file, to fix and send."
        )


def _of_failed(outcome: Outcome) -> Iterator[str]:
    before = outcome.failed_before
    both = outcome.states.get(State.FAILED, 0)
    where = f"{_export(outcome, State.FAILED)} lists {_them(both)}"
    if outcome.results is not None:
        where = f"{_file(outcome.results, State.FAILED, outcome)} ({_fix(outcome)} and send {_them(both)})"
    if rows := both - before:
        again = f"--retry-failed sends {_them(both)} unchanged"
        yield f"{_rows(rows)} failed{_by_code(outcome.codes.get(State.FAILED, {}))}: {where}; {again}."
    if before:
        place = "" if rows else f"; {where}"
        yield (
            f"{_rows(before)} failed in an earlier run and {_were(before)} not sent again: --retry-failed "
            f"retries {_them(before)}{place}."
        )


def _fix(outcome: Outcome) -> str:
    """A failed row keeps its token if it keeps its key, and a token never goes with two requests."""
    return "fix, change the key," if outcome.has_keys else "fix"


def _of_open(outcome: Outcome) -> Iterator[str]:
    is_over = outcome.end in {End.FINISHED, End.LIMIT, End.CONFIRMED}
    if rows := outcome.states.get(State.DEFERRED, 0):
        why = "its engagement is full" if rows == 1 else "their engagements are full"
        room, other = ("it has", "another engagement") if rows == 1 else ("they have", "other engagements")
        listed = f"{_export(outcome, State.DEFERRED)} lists {_them(rows)}"
        later = f"run the same command when {room} room again, or invite to {other}; {listed}"
        yield f"{_rows(rows)} {_are(rows)} deferred, because {why}{f': {later}' if is_over else ''}."
    if rows := outcome.states.get(State.IN_DOUBT, 0):
        later = "run the same command later, or bulk-invite reconcile" + outcome.checkpoint
        yield (
            f"{_rows(rows)} {_are(rows)} in doubt (it is unknown whether {_they(rows)} {_were(rows)} invited)"
            f"{f': {later}' if is_over else ''}; {_export(outcome, State.IN_DOUBT)} says why."
        )
    if rows := outcome.states.get(State.PENDING, 0):
        yield f"{_rows(rows)} {_were(rows)} read and not sent."


def _of_warned(outcome: Outcome) -> Iterator[str]:
    if rows := outcome.warned:
        look = "bulk-invite validate lists them"
        yield f"{_rows(rows)} {_have(rows)} warnings{_by_code(outcome.codes.get(WARNING, {}))}: {look}."


def _of_twins(outcome: Outcome) -> Iterator[str]:
    if rows := outcome.same_receiver:
        said = f"{_rows(rows)} {_have(rows)} the same engagement and account as another row"
        which = f"({named_places(outcome.twins, rows)})"
        if outcome.skips_them:
            sends = f"--on-same-receiver send sends {_them(rows)}, too"
            yield f"{said} and {_were(rows)} not sent {which}: {sends}."
        else:
            yield (
                f"{said} {which}: --on-same-receiver skip leaves such rows out; -v logs all of them, and "
                f"bulk-invite report{outcome.checkpoint} lists those that were sent."
            )


def named_places(first: Sequence[Position], rows: int) -> str:
    """`may.ndjson:3, :7, june.ndjson:1 and 5 more`: the first of some rows, and how many others there are."""
    names = []
    for before, place in zip([None, *first], first, strict=False):
        is_same = before is not None and before.source == place.source
        names.append(str(place).removeprefix(place.source) if is_same else str(place))
    more = f" and {rows - len(first):,} more" if rows > len(first) else ""
    return f"{', '.join(names)}{more}"


def _by_code(codes: Mapping[str, int]) -> str:
    """` (not_json 50, wrong_catalog 10, 2 more)`; a single code has no number."""
    named = counted(codes) if len(codes) > 1 else list(codes)
    more = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return f" ({', '.join([*named[:_NAMED], *more])})" if named else ""


def _file(folder: Path, state: State, outcome: Outcome) -> str:
    """As a shell takes it."""
    return shlex.quote(str(folder / f"{state}.ndjson{'' if outcome.published else '.partial'}"))


def _export(outcome: Outcome, state: State) -> str:
    return export_command(state, outcome.checkpoint)


def export_command(state: State, checkpoint: str) -> str:
    """checkpoint: the option that names it, or ""."""
    return f"bulk-invite export --state {state}{checkpoint}"


def _rows(rows: int) -> str:
    return plural(rows, "row", "rows")


def rounded_rows(rows: int) -> int:
    """Two digits of an estimate: more would look exact."""
    return round(rows, min(0, 2 - len(str(rows))))


def _were(rows: int) -> str:
    return "was" if rows == 1 else "were"


def _have(rows: int) -> str:
    return "has" if rows == 1 else "have"


def _are(rows: int) -> str:
    return "is" if rows == 1 else "are"


def _them(rows: int) -> str:
    return "it" if rows == 1 else "them"


def _they(rows: int) -> str:
    return "it" if rows == 1 else "they"
