"""The confirmation before sending to the live catalog: what will happen, and the question."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console
from rich.prompt import Confirm

from bulk_invite.delivery.intake.source import Source, can_be_read_again
from bulk_invite.domain.confirmed import Confirmed
from bulk_invite.domain.errors import NotConfirmedError, StoppedError
from bulk_invite.domain.texts import escaped
from bulk_invite.domain.urls import origin
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.confirmation import Place, Rows, before_sending, before_unknown
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of
from bulk_invite.runs.wiring.sources import shown
from bulk_invite.sources.ndjson import STDIN
from bulk_invite.validation import RowValidator

if TYPE_CHECKING:
    from bulk_invite.runs.dry_run import DryRun

_WIDTH: Final = 80
"""Columns at most: long lines are hard to read."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IRREVOCABLE: Final = "An invitation cannot be taken back."


def confirm(
    settings: Settings, names: Sequence[str], sources: Sequence[Source], validator: RowValidator | None
) -> Confirmed:
    """Ask before sending to the live catalog; return what may be sent.

    names, sources: as the operator named them, and opened; none if they have no end. Raises
    NotConfirmedError where the answer is not yes, or where there is no terminal to ask on; StoppedError for
    SIGTERM; and BulkInviteError for what prevents the run anyway.
    """
    if settings.catalog != "AWS" or settings.yes:
        return Confirmed()
    if STDIN in names or not sys.stdin.isatty():
        raise NotConfirmedError(
            "Sending to the live catalog AWS needs confirmation, and there is no terminal to ask on.",
            hint="Add --yes if you are sure: an invitation cannot be taken back.",
            topic="operations",
        )
    # Importing the SDK takes most of a second: usage errors should not wait for it.
    from bulk_invite.runs.dry_run import DryRun  # noqa: PLC0415
    from bulk_invite.runs.preview import Preview  # noqa: PLC0415

    reading = None
    if validator is not None and all(map(can_be_read_again, sources)):
        reading = DryRun(sources, validator, settings, limit=settings.limit)
    preview = Preview(settings, reading)
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    with logs.without_rows():  # the run logs them
        stopped_by = preview.look()
    if stopped_by is not None:
        _stop(stopped_by)
    with _raising_signals():
        account = "" if preview.owner is None else preview.owner.account
        invitations = _ask(_place(settings, names, account), reading, settings)
    for number, handler in before.items():
        signal.signal(number, handler)
    return Confirmed(preview.owner, invitations)


def _place(settings: Settings, names: Sequence[str], account: str) -> Place:
    return Place(
        account=account,
        sources=", ".join(map(shown, names)),
        endpoint=origin(settings.endpoint_url) if settings.endpoint_url else "Partner Central",
        checkpoint=database_of(settings).name,
        campaign=settings.campaign,
    )


def _ask(place: Place, reading: DryRun | None, settings: Settings) -> int | None:
    """Show what will happen, and ask; return how many invitations may be sent, None for no limit.

    Raises NotConfirmedError.
    """
    console = Console(stderr=True, highlight=False)
    confirmed, what = None, "Send"
    if reading is None or reading.forecast is None:
        sentences = before_unknown(place, settings.limit)
    else:
        sentences = before_sending(place, _rows(reading, settings), datetime.now(UTC).astimezone())
        confirmed = reading.forecast.calls
        what = f"Send {confirmed:,} {'invitation' if confirmed == 1 else 'invitations'}"
    width = min(_WIDTH, console.width)
    for sentence in sentences if confirmed == 0 else [*sentences, _IRREVOCABLE]:
        console.print(escaped(sentence), markup=False, width=width)
    if confirmed == 0:
        return 0  # the run can only record what is rejected
    try:
        answer = _Confirmation.ask(f"{what} to the live catalog AWS?", default=False, console=console)
    except EOFError:
        console.print()  # the cursor is still behind the question
        raise _nothing_sent("the input ended before the question was answered") from None
    if not answer:
        raise _nothing_sent("sending to the live catalog was not confirmed")
    return confirmed


def _nothing_sent(why: str) -> NotConfirmedError:
    return NotConfirmedError(f"Nothing was sent: {why}.", topic="operations")


def _rows(reading: DryRun, settings: Settings) -> Rows:
    from bulk_invite.runs.dry_run import DEFERRED, REFUSED, SKIPPED  # noqa: PLC0415

    counts, kinds = reading.counts, reading.kinds
    assert reading.forecast is not None  # noqa: S101 - for the type checker
    return Rows(
        forecast=reading.forecast,
        engagements=reading.engagements,
        refused=kinds[REFUSED],
        deferred=kinds[DEFERRED],
        states=counts.states,
        earlier=counts.already_created,
        skipped=kinds[SKIPPED],
        same_receiver=0 if settings.on_same_receiver == "skip" else counts.same_receiver,
        twins=counts.twins,
        warned=counts.with_warnings,
        at_limit=reading.limit_reached,
    )


@contextmanager
def _raising_signals() -> Iterator[None]:
    """Let a signal end the question: reading from a terminal goes on after a handler that returns."""

    def end(number: int, _frame: object) -> NoReturn:
        ignore()  # a second one would end the program in the middle of its last words
        Console(stderr=True).print()
        _stop(signal.Signals(number))

    def ignore() -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)

    for each in _SIGNALS:
        signal.signal(each, end)
    try:
        yield
    finally:
        ignore()


def _stop(number: signal.Signals) -> NoReturn:
    """Ctrl-C is an answer, like no; another signal is an order to stop, as at any other time."""
    if number == signal.SIGINT:
        raise _nothing_sent("interrupted before the confirmation")
    raise StoppedError("Nothing was sent. Run the same command again.")


class _Confirmation(Confirm):
    """Understands `yes` and `no` as well as `y` and `n`, in any case."""

    validate_error_message = "[prompt.invalid]Please answer yes or no"

    def process_response(self, value: str) -> bool:
        return super().process_response({"yes": "y", "no": "n"}.get(value.strip().lower(), value))
