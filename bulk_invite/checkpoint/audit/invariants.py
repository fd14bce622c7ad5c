"""What has to hold of every checkpoint, in counts that are the same where it does.

Theory: nobody can prove by a checkpoint what the service has. What can be proven is that the sender kept its
order: an intent before every call, no call after an Id, no Id twice. Most of what is cut off, mixed up or
changed from outside leaves counts that differ. What is lost of all tables alike leaves none by itself: the
last line tells of that, where a sender has noticed it. No line asks whether a row was refused while an
earlier call of it was in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of a whole checkpoint, each made by itself. Those of the log count its entries, or its rows.

    in_a_state: rows whose state is one that there is. called: rows that were sent at least once.
    yeses: rows with an Id in the log. answers: of calls. uncounted: calls that count on no row;
    perhaps_uncounted: denials, of which some do not.
    odd_attempts: rows whose attempts are not what their calls come to.
    unanswered: calls of which no answer is in the log. ids_found: rows that a look-up has found last.
    older: times that the checkpoint was found to be older than the last call.
    """

    rows: int = 0
    in_a_state: int = 0
    created: int = 0
    created_with_id: int = 0
    with_id: int = 0
    ids: int = 0
    called: int = 0
    called_in_log: int = 0
    rows_in_log: int = 0
    known_rows_in_log: int = 0
    calls: int = 0
    unanswered: int = 0
    answers: int = 0
    answers_after_intent: int = 0
    created_by_call: int = 0
    created_by_look_up: int = 0
    yeses: int = 0
    yeses_created: int = 0
    calls_after_id: int = 0
    attempts: int = 0
    uncounted: int = 0
    perhaps_uncounted: int = 0
    odd_attempts: int = 0
    ids_found: int = 0
    ids_found_kept: int = 0
    older: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A claim, and two counts that are equal where it holds. off: rows that do not fit, if any are known."""

    key: str
    claim: str
    left: str
    left_count: int
    right: str
    right_count: int
    off: int = 0

    @property
    def ok(self) -> bool:
        return self.left_count == self.right_count and not self.off


def lines(figures: Figures) -> tuple[Line, ...]:
    """The claims in the order of a row's life, whether all rows are settled or not."""
    return (*_of_rows(figures), *_of_calls(figures), _of_attempts(figures), _of_the_whole(figures))


def _of_rows(f: Figures) -> tuple[Line, ...]:
    with_id = f.created_with_id
    found = f"answered {f.created_by_call:,} + found {f.created_by_look_up:,}"
    proven = f.created_by_call + f.created_by_look_up
    return (
        Line(
            "states", "Every row has exactly one state.", "rows", f.rows, "sum over all states", f.in_a_state
        ),
        Line(
            "ids", "Every created row has an Id.", "created rows", f.created, "with an Id", f.created_with_id
        ),
        Line("ids_differ", "No Id belongs to two rows.", "rows with an Id", f.with_id, "distinct Ids", f.ids),
        Line(
            "ids_created",
            "Only created rows have an Id.",
            "rows with an Id",
            f.with_id,
            "of them created",
            with_id,
        ),
        Line(
            "created",
            "Every created row has an intent followed by an answer with its Id, or a look-up that found it.",
            "created rows",
            f.created,
            found,
            proven,
        ),
        Line(
            "found",
            "Every row found by a look-up has the Id that was found.",
            "rows found",
            f.ids_found,
            "with that Id",
            f.ids_found_kept,
        ),
    )


def _of_calls(f: Figures) -> tuple[Line, ...]:
    return (
        Line(
            "called",
            "Every row that was called has an intent in the log.",
            "rows called",
            f.called,
            "with an intent",
            f.called_in_log,
        ),
        Line(
            "logged",
            "Every row in the log is in the checkpoint.",
            "rows in the log",
            f.rows_in_log,
            "of them in the checkpoint",
            f.known_rows_in_log,
        ),
        Line(
            "intents",
            "Every answer follows an intent.",
            "answers",
            f.answers,
            "directly after an intent",
            f.answers_after_intent,
        ),
        Line(
            "yeses",
            "Every row with an Id in the log is created.",
            "rows with an Id in the log",
            f.yeses,
            "of them created",
            f.yeses_created,
        ),
        Line(
            "after_id",
            "No row was called after its Id was known.",
            "such calls",
            f.calls_after_id,
            "allowed",
            0,
        ),
    )


def _of_attempts(f: Figures) -> Line:
    counted = f.calls - f.uncounted
    # Whether a denial counts is not in the log: as many do not as it takes, but no more than there are.
    counted -= min(max(0, counted - f.attempts), f.perhaps_uncounted)
    return Line(
        "attempts",
        "Each row's attempts equal its calls in the log, minus those that do not count.",
        "attempts",
        f.attempts,
        f"{f.calls:,} calls minus {f.calls - counted:,}",
        counted,
        f.odd_attempts,
    )


def _of_the_whole(f: Figures) -> Line:
    return Line(
        "whole",
        "The checkpoint was never found to be older than the last call.",
        "times it was",
        f.older,
        "allowed",
        0,
    )
