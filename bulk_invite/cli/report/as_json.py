"""A report as one JSON object; it shares the key names of `status --json`. Times are in UTC."""

from __future__ import annotations

from typing import Any

from bulk_invite.checkpoint.audit.invariants import Line
from bulk_invite.checkpoint.audit.result import Bucket, Course, Group, Open, Proof, SharedReceiver
from bulk_invite.cli.report.wording import standing, verdict
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.records import Failure, PacingState, Problem, Reason
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import rounded


def members(proof: Proof) -> dict[str, Any]:
    return {
        "at": utc_text(proof.at),
        "checkpoint": proof.checkpoint,
        "version": proof.version,
        "catalog": proof.catalog,
        "account": proof.owner.account or None if proof.owner is not None else None,
        "sending": proof.active,
        **_states(proof),
        "asked": proof.asked,
        "invited": proof.states.get(State.CREATED, 0),
        "need_attention": proof.needing_attention,
        "standing": standing(proof).name.lower(),
        "verdict": verdict(proof),
        "adds_up": proof.adds_up,
        "rows_open": proof.rows_open,
        "evidence": [_line(line) for line in proof.lines],
        "calls": proof.figures.calls,
        "unanswered": proof.figures.unanswered,
        "repeated": {
            "rows": proof.repeats.rows,
            "calls": proof.repeats.calls,
            "why": dict(proof.repeats.why),
        },
        "look_ups": [
            {
                "finding": each.finding,
                "why": each.why or None,
                "findings": each.findings,
                "became": {state.value: rows for state, rows in each.became.items()},
            }
            for each in proof.look_ups
        ],
        "open": [{**_open(each), **_first(proof, (each.state, each.code, ""))} for each in proof.open],
        "problems": [
            {**_problem(each), **_first(proof, (each.state, each.code, each.path))} for each in proof.problems
        ],
        "last_failures": [_failure(each) for each in proof.failures],
        "invited_again": proof.invited_again,
        "shared_receivers": [_shared(each) for each in proof.shared],
        "shared_receivers_in_all": proof.shared_in_all,
        "sources": [_group("source", each) for each in proof.sources],
        "sources_in_all": proof.sources_in_all,
        "campaigns": [_group("campaign", each) for each in proof.campaigns],
        "campaigns_in_all": proof.campaigns_in_all,
        **_course(proof.course),
        "pacing": None if proof.pacing is None else _pacing(proof.pacing),
        "notes": list(proof.notes),
    }


def _states(proof: Proof) -> dict[str, Any]:
    values = {
        "rows": proof.figures.rows,
        "already_created": 0,
        **{state.value: proof.states.get(state, 0) for state in State},
        "same_receiver": proof.same_receiver,
        "attempts": proof.figures.attempts,
        "throttled": proof.throttled,
        "elapsed_s": proof.course.elapsed,
    }
    return rounded(values)


def _line(line: Line) -> dict[str, Any]:
    return {
        "key": line.key,
        "claim": line.claim,
        "left": {"what": line.left, "count": line.left_count},
        "right": {"what": line.right, "count": line.right_count},
        "rows_off": line.off,
        "ok": line.ok,
    }


def _open(each: Open) -> dict[str, Any]:
    mend = remedy_of(each.state, each.code)
    return {"state": each.state, "code": each.code or None, "rows": each.rows, "mend": mend}


def _problem(each: Problem) -> dict[str, Any]:
    what = {"state": each.state, "code": each.code or None, "path": each.path or None, "rows": each.rows}
    return {**what, "mend": remedy_of(each.state, each.code)}


def _first(proof: Proof, reason: Reason) -> dict[str, Any]:
    """The first rows with a reason."""
    rows = proof.first_rows.get(reason, ())
    return {
        "first_rows": [{"position": each.position.members(), "label": each.label or None} for each in rows]
    }


def _failure(each: Failure) -> dict[str, Any]:
    what = {"position": each.position.members(), "state": each.state, "code": each.code, "path": each.path}
    return {**what, "at": _time(each.at), "label": each.label or None}


def _shared(each: SharedReceiver) -> dict[str, Any]:
    first = [
        {"position": twin.row.position.members(), "label": twin.row.label or None, "state": twin.state}
        for twin in each.first
    ]
    return {"rows": each.rows, "invited": each.invited, "first_rows": first}


def _group(kind: str, group: Group) -> dict[str, Any]:
    counts = {state.value: group.states.get(state, 0) for state in State}
    return {kind: group.name, "rows": group.rows, **counts}


def _course(course: Course) -> dict[str, Any]:
    return {
        "first_started": _time(course.first_started),
        "last_event": _time(course.last_event),
        "over_time": {
            "bucket_s": course.over_time.width,
            "buckets": [_bucket("at", each) for each in course.over_time.buckets],
        },
        "days": [_bucket("day", each) for each in course.days],
        "days_in_all": course.days_in_all,
        "runs": [
            {
                "run": each.number,
                "started": _time(each.started),
                "last_event": _time(each.last_event),
                "calls": each.calls,
            }
            for each in course.runs
        ],
        "runs_in_all": course.runs_in_all,
        "silences": [
            {
                "run": each.run,
                "since": _time(each.since),
                "until": _time(each.until),
                "seconds": round(each.until - each.since, 3),
            }
            for each in course.silences
        ],
    }


def _bucket(name: str, each: Bucket) -> dict[str, Any]:
    begins = utc_text(each.at)
    return {
        name: begins.partition("T")[0] if name == "day" else begins,
        "calls": each.calls,
        "throttled": each.throttled,
        "created": each.created,
    }


def _pacing(memory: PacingState) -> dict[str, Any]:
    values = {
        "at": utc_text(memory.at),
        "rate": memory.rate,
        "estimated_quota": memory.estimate,
        "daily_quota": memory.daily_quota,
        "learned_quota": memory.learned_quota,
        "sent_last_day": memory.counted,
        "parked": memory.parked or None,
        "parked_until": _time(memory.parked_until),
        "next_call": _time(memory.next_call),
    }
    return rounded(values)


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else utc_text(epoch)
