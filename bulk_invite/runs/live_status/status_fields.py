"""Fills the fields of a status from the parts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

import anyio

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.records import Failure, Problem
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import day_remaining, rounded
from bulk_invite.monitoring.health_view import HealthView
from bulk_invite.monitoring.status import FailureStatus, ProblemStatus, RunState, RunStatus, StandbyStatus
from bulk_invite.pacing.pacing_view import PacingView
from bulk_invite.runs.live_status.checkpoint_view import Seen
from bulk_invite.runs.output.progress import Progress

_PROBLEMS: Final = 50


def with_rows(status: RunStatus, counts: Counts, progress: Progress) -> RunStatus:
    """Rows and calls of this run."""
    view, states = progress.view(anyio.current_time()), counts.states
    return replace(
        status,
        rows=counts.rows,
        total=view.total,
        total_is_estimate=view.is_estimate,
        percent=view.percent,
        already_created=counts.already_created,
        created=states[State.CREATED],
        failed=states[State.FAILED],
        rejected=states[State.REJECTED],
        duplicate=states[State.DUPLICATE],
        deferred=states[State.DEFERRED],
        in_doubt=view.in_doubt,
        pending=states[State.PENDING],
        attempts=counts.attempts,
        throttled=counts.throttled,
        in_flight=counts.in_flight,
        speed=view.rate,
        left_s=view.left,
    )


def of_standby(status: RunStatus, holder: Holder) -> RunStatus:
    """The sender that has the checkpoint, and no figures: this one has sent nothing."""
    return replace(
        without_figures(status),
        standby=StandbyStatus(holder.who, holder.since),
        waiting_for=f"standing by for {holder}",
    )


def without_figures(status: RunStatus) -> RunStatus:
    """Before the first round, nothing is known of the pacing."""
    return replace(
        status,
        attempts=None,
        throttled=None,
        in_flight=None,
        speed=None,
        rate=None,
        max_rate=None,
        sent_last_day=None,
    )


def with_all_rows(status: RunStatus, seen: Seen) -> RunStatus:
    """Rows of the whole checkpoint instead of those of this run."""
    states = seen.states
    return replace(
        status,
        rows=sum(states.values()),
        total=None,
        total_is_estimate=False,
        percent=None,
        already_created=0,
        created=states.get(State.CREATED, 0),
        failed=states.get(State.FAILED, 0),
        rejected=states.get(State.REJECTED, 0),
        duplicate=states.get(State.DUPLICATE, 0),
        deferred=states.get(State.DEFERRED, 0),
        in_doubt=max(0, states.get(State.IN_DOUBT, 0) - (status.in_flight or 0)),
        pending=states.get(State.PENDING, 0),
    )


def with_pacing(status: RunStatus, pacing: PacingView, daily_quota: int | None) -> RunStatus:
    """Rate, quotas and parking."""
    return replace(
        status,
        rate=pacing.rate,
        max_rate=pacing.ceiling,
        estimated_quota=pacing.estimate,
        throttled_share_minute=pacing.throttled_minute,
        throttled_share_hour=pacing.throttled_hour,
        daily_quota=daily_quota,
        learned_quota=pacing.learned,
        sent_last_day=pacing.counted,
        day_remaining=day_remaining(daily_quota, pacing.learned, pacing.counted),
        parked=pacing.parked,
        parked_until=_utc(pacing.parked_until),
        next_call=_utc(pacing.next_call),
        left_s=None if pacing.paused else status.left_s,
    )


def with_seen(status: RunStatus, seen: Seen) -> RunStatus:
    """The account, and why rows have no invitation."""
    return replace(
        status,
        account=(seen.owner.account or None) if seen.owner is not None else None,
        problems=[_problem(each) for each in _without_calls(seen.problems, status.in_doubt)[:_PROBLEMS]],
        failures=[_failure(each) for each in seen.failures],
    )


def with_condition(status: RunStatus, health: HealthView, state: RunState) -> RunStatus:
    """State and health."""
    reasons = "; ".join(f"{part}: {reason}" for part, reason in health.known.items())
    waits = state in {RunState.STARTING, RunState.WAITING} and reasons
    return replace(
        status,
        state=state,
        waiting_for=reasons if waits else status.waiting_for,
        ready=health.ready,
        reasons=health.reasons,
    )


def with_rounded_figures(status: RunStatus) -> RunStatus:
    return replace(status, **rounded({each.name: getattr(status, each.name) for each in fields(status)}))


def _without_calls(problems: Sequence[Problem], in_doubt: int) -> list[Problem]:
    """Leave out calls in flight, which the checkpoint shows as rows in doubt without a code."""
    under_way = (State.IN_DOUBT, "")
    shown = (
        replace(each, rows=min(each.rows, in_doubt)) if (each.state, each.code) == under_way else each
        for each in problems
    )
    return [each for each in shown if each.rows]


def _problem(problem: Problem) -> ProblemStatus:
    mend = remedy_of(problem.state, problem.code)
    return ProblemStatus(problem.state, problem.code, problem.path, problem.rows, mend)


def _failure(failure: Failure) -> FailureStatus:
    return FailureStatus(
        failure.position.members(), failure.state, failure.code, failure.path, _utc(failure.at)
    )


def _utc(epoch: float | None) -> str | None:
    return None if epoch is None else utc_text(epoch)
