"""The sentences before a confirmation: what will be sent, from where, and until when.

Pure: figures in, sentences out; what there is none of is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from bulk_invite.domain.durations import DAY, MINUTE
from bulk_invite.domain.rows import Position
from bulk_invite.domain.texts import plural
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.next_steps import named_places

_WHOLE: Final = 0.0005
"""The least share that is shown as a number."""

_RETRIED: Final = "failed in an earlier run (--retry-failed)"

_NAMED: Final = " (--dry-run names them)"

_TWIN: Final = " the same engagement and account as another row"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run sends from and to, as it is shown. account: "" if it could not be named."""

    account: str
    sources: str
    endpoint: str
    checkpoint: str
    campaign: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of the sources as of now.

    forecast: of those to send. engagements: theirs. refused, deferred: those of them that failed or were
    deferred in an earlier run. states: all rows by state. earlier: rows that have an invitation. skipped:
    rows that are not sent because of their engagement and account. same_receiver: rows that are sent
    nevertheless; twins: the first of them. warned: rows to send with warnings. at_limit: rows beyond --limit
    were not read.
    """

    forecast: Forecast
    engagements: int
    refused: int = 0
    deferred: int = 0
    states: Mapping[State, int] = field(default_factory=dict)
    earlier: int = 0
    skipped: int = 0
    same_receiver: int = 0
    twins: Sequence[Position] = ()
    warned: int = 0
    at_limit: bool = False


def before_sending(place: Place, rows: Rows, now: datetime) -> list[str]:
    """The sentences about a run that ends. now: in the time zone of the reader."""
    calls = rows.forecast.calls
    if not calls:
        return [f"There is nothing to send{_from(place)}.", _where(place), *_not_sent(rows)]
    real = plural(calls, "real invitation", "real invitations")
    engagements = plural(rows.engagements, "engagement", "engagements")
    sentences = [
        f"About to send {real} in {engagements}{_from(place)}.",
        _where(place),
        *_of_them(rows),
        *_not_sent(rows),
        *_share_of_day(rows.forecast),
        _last_call(rows.forecast, now),
    ]
    if rows.at_limit:
        sentences.append("Rows beyond --limit were not read.")
    else:
        sentences.append(f"If the sources have more rows to send by then, the run stops at {calls:,}.")
    return sentences


def before_unknown(place: Place, limit: int | None) -> list[str]:
    """The sentences about sources that are read only while they are sent. limit: --limit, or None."""
    many = "every row that comes" if limit is None else f"up to {limit:,} real invitations"
    return [
        f"About to send {many}{_from(place)}.",
        _where(place),
        "How many rows there are is not known before they are sent.",
    ]


def _from(place: Place) -> str:
    return f" from {f'account {place.account}' if place.account else 'an account that could not be named'}"


def _where(place: Place) -> str:
    campaign = f"campaign {place.campaign}" if place.campaign else "no campaign"
    target = f"catalog AWS at {place.endpoint}"
    return f"Sources: {place.sources}; {target}; checkpoint {place.checkpoint}; {campaign}."


def _of_them(rows: Rows) -> Iterator[str]:
    which = f"sent as well ({named_places(rows.twins, rows.same_receiver)}; --dry-run -v names all)"
    doubt = rows.states.get(State.IN_DOUBT, 0)
    for count, one, more in (
        (rows.refused, _RETRIED, _RETRIED),
        (rows.deferred, "is deferred: its engagement was full", "are deferred: their engagements were full"),
        (doubt, "is in doubt and is looked up first", "are in doubt and are looked up first"),
        (rows.same_receiver, f"has{_TWIN} and is {which}", f"have{_TWIN} and are {which}"),
        (rows.warned, f"has warnings{_NAMED}", f"have warnings{_NAMED}"),
    ):
        if count:
            yield f"{count:,} of them {one if count == 1 else more}."


def _not_sent(rows: Rows) -> Iterator[str]:
    duplicates = rows.states.get(State.DUPLICATE, 0) - rows.skipped
    counts = (
        (rows.earlier, "already invited"),
        (rows.states.get(State.REJECTED, 0), "rejected"),
        (duplicates, "duplicate" if duplicates == 1 else "duplicates"),
        (rows.skipped, "with the same engagement and account as another row"),
        (rows.states.get(State.FAILED, 0), "failed in an earlier run"),
    )
    if kinds := [f"{count:,} {what}" for count, what in counts if count]:
        yield f"Not sent: {', '.join(kinds)}."


def _share_of_day(forecast: Forecast) -> Iterator[str]:
    quota = forecast.daily_quota
    if quota is None:
        return
    share = forecast.calls / quota
    amount = f"{share:.1f} times" if share > 1 else f"{share:.1%} of"
    day = f"{'less than 0.1% of' if share < _WHOLE else amount} the {quota:,} calls of a day"
    used, were = forecast.counted, "was" if forecast.counted == 1 else "were"
    before = f"; {used:,} {were} used in the last 24 hours" if used else ""
    yield f"That is {day}{before}."


def _last_call(forecast: Forecast, now: datetime) -> str:
    if forecast.seconds < MINUTE:
        return "The last call starts within a minute, if the service allows it."
    last = now + timedelta(seconds=forecast.seconds)
    at = _time(last.astimezone(UTC), now.astimezone(UTC))
    local = f" ({_time(last, last.astimezone(UTC))})" if last.utcoffset() else ""
    start = f"It takes {forecast.days} days: the" if forecast.seconds > DAY else "The"
    return f"{start} last call starts at {at}{local} at the earliest."


def _time(moment: datetime, beside: datetime) -> str:
    """`14:05 UTC`, with the date if that of `beside` is another one."""
    return moment.strftime("%H:%M %Z" if moment.date() == beside.date() else "%Y-%m-%d %H:%M %Z")
