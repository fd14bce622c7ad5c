"""Open files: every row in flight has a connection, and each is a file to the system.

Most shells allow 1,024 open files, and a container as many as its runtime sets. With too few, SQLite would
fail first, in the middle of a run, because it cannot open a file.
"""

from __future__ import annotations

import resource
from typing import Final

from bulk_invite.domain.errors import UsageError
from bulk_invite.monitoring.http.connections import MOST
from bulk_invite.runs.settings.model import Settings

_OTHERS: Final = 100
"""Checkpoint, sources, results, logs, databases, traces, and what Python itself has open."""


def raise_file_limit(settings: Settings, in_flight: int | None = None) -> int:
    """Raise the soft limit to what a run needs; returns the number of files.

    in_flight: rows, by default those of the settings. Raises UsageError where the hard limit is too low.
    """
    rows = settings.max_in_flight if in_flight is None else in_flight
    needed = rows + _OTHERS + (MOST if settings.listen is not None else 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{rows} rows in flight need up to {needed} open files, but this process is limited to {hard}.",
            hint="Raise the limit (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=), or lower "
            "--max-in-flight.",
            topic="operations",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
