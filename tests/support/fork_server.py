"""Starts the command again and again, by fork: what its imports cost is spent once.

A separate program with a single thread. A message on its socket is a run to start and comes with the three
streams of that run; the answer is the process id. A run is the command, or the `main` of a module of the
tests. It is started as an orphan, so that it becomes the child of the caller (see `forked`). When the socket
ends, so does this, but none of the runs.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.under_watch import listen

from bulk_invite.__main__ import main
from bulk_invite.partner_central.connection import SERVICE, STS, loader
from bulk_invite.validation.service_model import FOLDER

IMPORTED: Final = (
    "aioboto3",
    "anyio._backends._asyncio",
    "anyio._core._signals",
    "botocore.retryhandler",
    "bulk_invite.checkpoint.audit.collect",
    "bulk_invite.checkpoint.storage.postgres",
    "bulk_invite.cli.app",
    "bulk_invite.cli.create_table",
    "bulk_invite.cli.doctor.all_checks",
    "bulk_invite.cli.doctor.output",
    "bulk_invite.cli.export_rows",
    "bulk_invite.cli.reconcile_rows",
    "bulk_invite.cli.report.make_report",
    "bulk_invite.cli.send_rows",
    "bulk_invite.cli.serve_rows",
    "bulk_invite.cli.show_status",
    "bulk_invite.cli.validate_rows",
    "bulk_invite.monitoring.http.api",
    "bulk_invite.monitoring.http.server",
    "bulk_invite.monitoring.metrics.loop_delay",
    "bulk_invite.monitoring.metrics.prometheus",
    "bulk_invite.monitoring.webhook",
    "bulk_invite.rehearsal.emulator.server",
    "bulk_invite.runs.reconcile",
    "bulk_invite.runs.send",
    "bulk_invite.runs.serve_supervisor",
    "bulk_invite.sources.postgres.checks",
    "bulk_invite.sources.postgres.outcomes_table",
    "bulk_invite.sources.postgres.selection",
    "bulk_invite.sources.postgres.session_settings",
    "bulk_invite.sources.postgres.source",
    "email.parser",
    "encodings.idna",
    "faults.launcher",
    "psycopg",
    "rich._emoji_codes",
    "sqlalchemy.dialects.postgresql.psycopg",
    "typer._adapters",
    "typer._click.decorators",
    "uvloop",
)
"""The modules that a run imports sooner or later."""

_LARGEST: Final = 1 << 17


_OFTEN: Final = ("send", "serve", "status", "validate")


def prepare() -> None:
    """Do the work once that every run repeats at its start."""
    for name in IMPORTED:
        importlib.import_module(name)
    group: Any = importlib.import_module("bulk_invite.cli.app").command
    commands = dict(group.commands)  # imports them all
    for command in (group, *(commands[name] for name in _OFTEN)):
        for parameter in command.params:
            parameter.get_runtime_param()
    _read_models()
    gc.freeze()


def _read_models() -> None:
    """The files that botocore reads for a client, and keeps with the loader."""
    models = loader(FOLDER, None)  # called as a run calls it: it keeps a loader for each way of calling
    for service in (SERVICE, STS):
        for kind in ("service-2", "endpoint-rule-set-1"):
            models.load_service_model(service, kind)
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        models.load_data(name)


def run_and_leave(program: Callable[[], None] = main) -> None:
    """Run a program, the command, and end as it does, except that the interpreter is not taken apart.

    That would touch, and by that copy, nearly all of the memory that a run shares with its parent.
    """
    try:
        program()
        code = 0
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    gc.collect()  # unclosed resources complain now
    threading._shutdown()  # type: ignore[attr-defined]  # the steps of the interpreter's own end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _started() -> int | None:
    """The id of a new orphan; None in the orphan itself."""
    answers, reports = os.pipe()
    if parent := os.fork():
        os.close(reports)
        with os.fdopen(answers) as answer:
            os.waitpid(parent, 0)
            return int(answer.read())
    if pid := os.fork():
        os.write(reports, str(pid).encode())
        os._exit(0)
    os.close(answers)
    os.close(reports)
    return None


def _become(run: dict[str, Any], streams: list[int], watcher: list[int]) -> None:
    if run["session"]:
        os.setsid()
    os.chdir(run["cwd"])
    os.environ.clear()
    os.environ.update(run["env"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]  # as the interpreter would
    sys.argv = run["argv"]
    for number in watcher:
        with socket.socket(fileno=number) as supervisor:
            listener = listen()
            socket.send_fds(supervisor, [b"\0"], [listener])
            os.close(listener)


def _serve(asks: socket.socket) -> Callable[[], None]:
    """Start the requested runs; returns in the runs only, with their task."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asks, _LARGEST, 4)
        if not message:
            sys.exit(0)
        pid, run = _started(), json.loads(message)
        if pid is None:
            asks.close()
            _become(run, descriptors[:3], descriptors[3:])
        for descriptor in descriptors[:3] if pid is None else descriptors:
            os.close(descriptor)
        if pid is None:
            return importlib.import_module(run["module"]).main if run["module"] else main
        asks.send(str(pid).encode())


if __name__ == "__main__":
    prepare()
    with socket.socket(fileno=int(sys.argv[1])) as _asks:
        _program = _serve(_asks)
    run_and_leave(_program)
