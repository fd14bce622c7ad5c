"""The invariants of every checkpoint, as pairs of counts that are equal if they hold.

A checkpoint cannot prove what the service has. It can prove that the sender kept its order: an intent before
every call, no call after an Id, no Id twice. Most truncation, corruption or outside changes make the counts
differ. A loss that affects all tables alike does not: the last invariant reports it if a sender has noticed
it. No invariant checks whether a row was refused while an earlier call of it was in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Independent counts of a whole checkpoint. Counts of the log are of its entries or of its rows.

    in_a_state: rows with a valid state. called: rows that were sent at least once.
    skipped: rows not sent because another one has their engagement and account. yeses: rows with an Id in
    the log. answers: to calls. uncounted: calls that count against no row; perhaps_uncounted: denials, some
    of which do not count. odd_attempts: rows whose attempts differ from their calls. unanswered: calls
    without an answer in the log. ids_found: rows last found by a lookup. older: number of times the
    checkpoint was found to be older than the last call.
    """

    rows: int = 0
    in_a_state: int = 0
    created: int = 0
    created_with_id: int = 0
    with_id: int = 0
    ids: int = 0
    called: int = 0
    called_in_log: int = 0
    skipped: int = 0
    skipped_uninvited: int = 0
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
    """A claim and two counts that are equal if it holds. off: number of violating rows, if known."""

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
    """The claims in the order of a row's life; they hold whether or not all rows are settled."""
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
            "skipped",
            "No row was skipped while it might have had an invitation.",
            "rows skipped for another row",
            f.skipped,
            "of them certainly without one",
            f.skipped_uninvited,
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
    # The log does not show which denials count: assume as many as needed, but no more than there are.
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
