"""`status --watch`: a result shown repeatedly, in place on a terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.summary import headline_of, table_of, without_zeros
from bulk_invite.sources.interruptible_wait import wait


def watch_status(
    look: Callable[[], Mapping[str, Any]],
    show: Callable[[Mapping[str, Any]], None],
    every: float,
    *,
    as_json: bool,
) -> None:
    """Refresh until Ctrl-C. Raises CheckpointError where the first look fails; later errors are shown.

    show: prints one look where there is no terminal to refresh.
    """
    console, stopped = Console(highlight=False, markup=False), list[int]()
    # Stop between two looks: interrupting a database query is not safe.
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    values = look()
    if as_json or not console.is_terminal:
        show(values)
        while not _stopped_within(every, stopped):
            standard_output.has_object.clear()  # an error of the next look has an object of its own
            show(look())
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
    visible = without_zeros(values)
    now = datetime.now().astimezone().strftime("%H:%M:%S %Z")
    foot = Text(
        f"out of date: {escaped(problem)}" if problem else f"as of {now}; Ctrl-C to stop", style="dim"
    )
    return Group(headline_of(values), table_of(visible), foot)
