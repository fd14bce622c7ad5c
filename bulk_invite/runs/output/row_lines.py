"""What a terminal gets of the log: the first rows in full, and nothing that the result says anyway.

Log files, and standard error where it is not a terminal, get every event.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from bulk_invite.runs.output.next_steps import counted
from bulk_invite.runs.settings.model import Settings

_log = structlog.get_logger()

_MOST: Final = 10
"""Rows shown in full; as many again of those with the engagement and account of another row."""

_TWINS: Final = "row.same_receiver"
"""They have a limit of their own: a second invitation cannot be taken back, so no other rows hide them."""

_OF_ROWS: Final = ("row.", "invitation.")

_COUNTS: Final = "row.counts"

_IN_THE_RESULT: Final = frozenset(
    {
        "reconcile.pending",
        "reconcile.unresolved",
        "run.deferred",
        "run.in_doubt",
        "run.limit_reached",
        "run.more_than_confirmed",
        "run.previously_failed",
        "run.stopped",
    }
)
"""Events that the sentences before the figures say, too."""


class RowLines:
    """A structlog processor: passes the first events about rows on, and counts the others by code.

    is_result_beside: whether the result goes to the same terminal.
    """

    def __init__(self, *, is_result_beside: bool) -> None:
        self._is_result_beside = is_result_beside
        self._shown: Counter[bool] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        name = str(event["event"])
        if not name.startswith(_OF_ROWS) or name == _COUNTS:
            return event
        is_twin = name == _TWINS
        self._shown[is_twin] += 1
        if self._shown[is_twin] <= _MOST:
            return event
        self._counts[name.partition(".")[2]][_code_of(event)] += 1
        if self._shown[is_twin] > _MOST + 1:
            raise structlog.DropEvent
        shown = f"{_MOST} rows with the engagement and account of another row" if is_twin else f"{_MOST} rows"
        return {
            "level": "info",
            "timestamp": event["timestamp"],
            "event": "row.not_shown",
            "now": f"{shown} are shown; further ones are counted (-v shows all)",
        }

    def log_counts(self, *, result_has_codes: bool) -> None:
        """Log the rows that were not shown in full, by code, unless the result beside the log has that."""
        if self._counts and not (result_has_codes and self._is_result_beside):
            _log.info(_COUNTS, **{kind: ", ".join(counted(codes)) for kind, codes in self._counts.items()})
        self._counts.clear()


def _code_of(event: Mapping[str, Any]) -> str:
    """The code of an event about a row; of several errors, the first one."""
    first = next(iter(event.get("errors", ())), "")
    return str(event.get("code") or first.partition(" at ")[0] or event["event"].partition(".")[2])


def terminal_filters(settings: Settings, *, is_console: bool) -> list[Processor]:
    """Processors before the one that writes to standard error."""
    filters: list[Processor] = []
    if settings.quiet:
        filters.append(_only_errors)
    if is_console and sys.stderr.isatty():
        is_result_beside = sys.stdout.isatty() and not settings.json_output
        if not settings.verbose and settings.log_level != "debug":
            filters.append(RowLines(is_result_beside=is_result_beside))
        if is_result_beside:
            filters.append(_without_the_result)
    return filters


def _only_errors(_logger: object, _method: str, event: EventDict) -> EventDict:
    if event["level"] not in {"error", "critical"}:
        raise structlog.DropEvent
    return event


def _without_the_result(_logger: object, _method: str, event: EventDict) -> EventDict:
    if event["event"] in _IN_THE_RESULT:
        raise structlog.DropEvent
    return event
