"""The end of a run of `send`: its result on standard output, and the same as events."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from bulk_invite.delivery.intake.one_pass import OnePassIntake
from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.errors import BulkInviteError, InternalError, InterruptedRunError, StoppedError
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.runs.output.next_steps import End, Outcome, export_command, sentences
from bulk_invite.runs.output.progress_bar import parked_text
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.output.summary import Summary, show
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import checkpoint_option

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What knows how far the run came; None where it ended before there was one."""

    total: RowTotal
    intake: OnePassIntake | None
    pacer: Pacer | None

    def not_read(self, counts: Counts) -> int | None:
        """Estimated rows that were not read; None where that is unknown."""
        if self.intake is None:
            return self.total.unread(counts.rows, 0)
        return 0 if self.intake.read_to_end else self.total.unread(counts.rows, self.intake.left_over)

    def parked(self) -> str:
        view = None if self.pacer is None else self.pacer.view()
        return "" if view is None or view.parked is None else parked_text(view)


def show_ending(
    settings: Settings,
    counts: Counts,
    parts: Parts,
    error: BaseException | None,
    *,
    published: bool,
    seconds: float,
) -> None:
    """Print the result. error: what ended the run early. published: its results are in their folder.

    seconds: how long the run took.
    """
    if error is not None and not isinstance(error, BulkInviteError):
        error = InternalError(type(error).__name__)
    summary, not_read = Summary.of_run(counts, seconds), parts.not_read(counts)
    outcome = Outcome(
        end=_end(error, parts.intake),
        states=counts.states,
        earlier=counts.already_created,
        failed_before=counts.states[State.FAILED] - counts.failed_now,
        codes=counts.codes,
        warned=counts.with_warnings,
        same_receiver=counts.same_receiver,
        twins=counts.twins,
        skips_them=settings.on_same_receiver == "skip",
        not_read=not_read,
        parked=parts.parked(),
        limit=settings.limit,
        has_keys=settings.tokens_from_keys,
        results=settings.results,
        published=published,
        in_databases=parts.total.in_databases,
        checkpoint=checkpoint_option(settings.checkpoint),
        read_again=() if parts.intake is None else parts.intake.files.read_again,
    )
    show(
        summary,
        sentences(outcome),
        as_json=settings.json_output,
        complete=error is None and not_read == 0 and not summary.is_open,
        error=error,
        more={"not_read": not_read},
    )


def _end(error: BulkInviteError | None, intake: OnePassIntake | None) -> End:
    match error:
        case None if intake is not None and intake.unconfirmed:
            return End.CONFIRMED
        case None:
            return End.LIMIT if intake is not None and intake.limit_reached else End.FINISHED
        case StoppedError():
            return End.STOPPED
        case InterruptedRunError():
            return End.ABORTED
        case _:
            return End.ERROR


def log_next_steps(
    counts: Counts, *, finished: bool, limit: int | None, unconfirmed: int, checkpoint: str
) -> None:
    """limit: --limit, if it has ended the run. unconfirmed: rows to send beyond those that were confirmed.

    checkpoint: the option that names it, or "".
    """
    if not finished:
        _log.warning(
            "run.stopped",
            pending=counts.states[State.PENDING],
            in_doubt=counts.states[State.IN_DOUBT],
            next="run the same command to continue",
        )
    elif unconfirmed:
        _log.warning(
            "run.more_than_confirmed", rows=unconfirmed, next="run the same command to send them, too"
        )
    elif limit is not None:
        _log.warning("run.limit_reached", limit=limit, next="run the same command to send that many more")
    if deferred := counts.states[State.DEFERRED]:
        _log.warning(
            "run.deferred",
            rows=deferred,
            why="their engagements have reached their limit of invitations",
            next=f"run the same command later; to list them: {export_command(State.DEFERRED, checkpoint)}",
        )
    if finished and (in_doubt := counts.states[State.IN_DOUBT]):
        _log.warning(
            "run.in_doubt",
            rows=in_doubt,
            next=f"run the same command later, or bulk-invite reconcile{checkpoint}; to see why: "
            f"{export_command(State.IN_DOUBT, checkpoint)}",
        )
    if earlier := counts.states[State.FAILED] - counts.failed_now:
        _log.warning(
            "run.previously_failed", rows=earlier, next="not sent again; to retry them: --retry-failed"
        )
