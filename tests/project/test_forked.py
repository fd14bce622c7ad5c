"""A command from the fork server equals the installed one: its output, its end, its parent."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from command import CREDENTIALS, FAST, emulator, run, running, wait_until
from forked import Forked
from rows import make_rows, ndjson, write_rows

_CHANGES = re.compile(r'"(elapsed_s|timestamp|endpoint)": ?[^,}]+')


def test_both_print_and_leave_the_same(tmp_path: Path) -> None:
    rows = ndjson([*make_rows(3), '{"Invitation": {}}'])
    said, left = [], []
    for installed in (True, False):
        cwd = tmp_path / str(installed)
        cwd.mkdir()
        with emulator() as service:
            command = ("send", "-", "--endpoint-url", service.url, *FAST, "--results", "out")
            ran = run(*command, cwd=cwd, stdin=rows, installed=installed)
            assert sum(service.messages().values()) == 3
        said.append((ran.code, *(_CHANGES.sub("", text) for text in (ran.stdout, ran.stderr))))
        left.append(sorted(path.relative_to(cwd) for path in cwd.rglob("*")))
    assert said[0] == said[1]
    assert said[0][0] == 1
    assert left[0] == left[1]


def test_both_leave_nothing_open_behind_a_service_that_ends(tmp_path: Path) -> None:
    """Complaints at the shutdown of an interpreter come from the installed one alone."""
    said = []
    for installed in (True, False):
        cwd = tmp_path / str(installed)
        cwd.mkdir()
        with emulator() as service:
            command = ("serve", "-", "--endpoint-url", service.url, "--listen", "127.0.0.1:0")
            ran = run(*command, cwd=cwd, stdin=ndjson(make_rows(3)), installed=installed)
        words = ("Traceback", "Exception ignored", "Unclosed", "never awaited", "Warning")
        said.append((ran.code, [word for word in words if word in ran.stderr]))
    assert said == [(0, []), (0, [])]


def test_both_end_with_the_same_errors(tmp_path: Path) -> None:
    for arguments, env in ((("sned",), {}), (("status",), {}), (("status",), {"BULK_INVITE_CATALOG": "no"})):
        cold, forked = (run(*arguments, cwd=tmp_path, env=env, installed=cold) for cold in (True, False))
        assert (cold.code, cold.stdout, cold.stderr) == (forked.code, forked.stdout, forked.stderr)
        assert cold.code != 0
    # The variable went with the run that had it.
    assert run("schema", cwd=tmp_path).code == 0


def test_a_forked_command_is_our_child_and_gets_signals(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(50))
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, "--rate", "10", "--burst", "1")
        with running(*command, cwd=tmp_path) as sender:
            assert isinstance(sender.process, Forked)
            wait_until(service.calls)
            assert psutil.Process(sender.process.pid).ppid() == os.getpid()
            sender.signal(signal.SIGKILL)
            assert sender.ended().code == -signal.SIGKILL


@pytest.mark.parametrize("variable", ["PYTHONHASHSEED", "LD_PRELOAD", "TZ", "COLUMNS"])
def test_variables_read_at_interpreter_start_are_not_left_to_a_fork(tmp_path: Path, variable: str) -> None:
    with running("schema", cwd=tmp_path, env={**CREDENTIALS, variable: "0"}) as command:
        assert not isinstance(command.process, Forked)
