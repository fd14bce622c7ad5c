"""A result that is shown again and again, in place where it can be."""

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
from bulk_invite.runs.output.summary import show_values, table_of
from bulk_invite.sources.interruptible_wait import wait

_ALWAYS: Final = frozenset({"rows", "created", "pending", "sending"})
"""Told also where it is nothing; the rest has to fit into a small terminal."""


def watch_status(look: Callable[[], Mapping[str, Any]], every: float, *, as_json: bool) -> None:
    """Go on until Ctrl-C. Raises CheckpointError for the first look; one that fails later is told."""
    console, stopped = Console(highlight=False, markup=False), list[int]()
    # Between two looks, not within one: a database does not like to be torn from.
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    values = look()
    if as_json or not console.is_terminal:
        show_values(values, as_json=as_json)
        while not _stopped_within(every, stopped):
            show_values(look(), as_json=as_json)
        return
    with Live(_picture(values, ""), console=console, auto_refresh=False) as live:
        while not _stopped_within(every, stopped):
            told = ""
            try:
                values = look()
            except CheckpointError as error:
                told = str(error)
            live.update(_picture(values, told), refresh=True)


def _stopped_within(seconds: float, stopped: Sequence[int]) -> bool:
    """Whether a signal has come, after that time at the latest."""
    wait(seconds, lambda: bool(stopped))
    return bool(stopped)


def _picture(values: Mapping[str, Any], told: str) -> Group:
    """The result, when it was looked at, and what was wrong with that."""
    told_of = {name: value for name, value in values.items() if value or name in _ALWAYS}
    now = datetime.now().astimezone().strftime("%H:%M:%S %Z")
    foot = Text(f"old: {escaped(told)}" if told else f"as of {now}; Ctrl-C ends this", style="dim")
    return Group(table_of(told_of), foot)
