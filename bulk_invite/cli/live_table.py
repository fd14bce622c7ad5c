"""`status --watch`: a result shown repeatedly, in place on a terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bulk_invite.domain.errors import CheckpointError
from bulk_invite.runs.output.logs import escaped
from bulk_invite.runs.output.summary import headline_of, show_counts, table_of
from bulk_invite.sources.interruptible_wait import wait

_ALWAYS: Final = frozenset({"rows", "created", "pending", "sending"})
"""Shown even if zero; other zeros are left out so that the table fits a small terminal."""


def watch_status(look: Callable[[], Mapping[str, Any]], every: float, *, as_json: bool) -> None:
    """Refresh until Ctrl-C. Raises CheckpointError where the first look fails; later errors are shown."""
    console, stopped = Console(highlight=False, markup=False), list[int]()
    # Stop between two looks: interrupting a database query is not safe.
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    values = look()
    if as_json or not console.is_terminal:
        show_counts(values, as_json=as_json)
        while not _stopped_within(every, stopped):
            show_counts(look(), as_json=as_json)
        return
    with Live(_picture(values, ""), console=console, auto_refresh=False) as live:
        while not _stopped_within(every, stopped):
            problem = ""
            try:
                values = look()
            except CheckpointError as error:
                problem = str(error)
            live.update(_picture(values, problem), refresh=True)


def _stopped_within(seconds: float, stopped: Sequence[int]) -> bool:
    """Wait up to `seconds`; whether a signal has arrived."""
    wait(seconds, lambda: bool(stopped))
    return bool(stopped)


def _picture(values: Mapping[str, Any], problem: str) -> Group:
    """The table with a footer: the time of the values, or why they are out of date."""
    visible = {name: value for name, value in values.items() if value or name in _ALWAYS}
    now = datetime.now().astimezone().strftime("%H:%M:%S %Z")
    foot = Text(
        f"out of date: {escaped(problem)}" if problem else f"as of {now}; Ctrl-C to stop", style="dim"
    )
    return Group(headline_of(values), table_of(visible), foot)
