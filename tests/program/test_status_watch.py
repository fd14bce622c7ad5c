"""`status --watch`: the result again and again, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from io import StringIO
from pathlib import Path

import pytest
from command import FAST, emulator, run, run_on_terminal, running
from rich.console import Console
from rows import make_rows, write_rows

from bulk_invite.runs.output.summary import table_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a checkpoint of three rows."""
    folder = tmp_path_factory.mktemp("watched")
    write_rows(folder / "rows.ndjson", make_rows(3))
    with emulator() as service:
        assert run("send", "rows.ndjson", *FAST, "--endpoint-url", service.url, cwd=folder).code == 0
    return folder


def test_without_a_terminal_each_status_is_a_line_until_ctrl_c(folder: Path) -> None:
    with running("status", "--watch", "--every", "50ms", "--json", cwd=folder) as watching:
        assert watching.process.stdout is not None
        lines = [watching.process.stdout.readline() for _ in range(3)]
        watching.signal(signal.SIGINT)
        ran = watching.ended()
    assert [json.loads(line)["created"] for line in lines] == [3, 3, 3]
    assert (ran.code, ran.stderr) == (0, "")


def test_on_a_terminal_the_status_is_redrawn_in_place(folder: Path) -> None:
    watch = ("status", "--watch", "--every", "100ms")
    code, _, screen = run_on_terminal(*watch, cwd=folder, stdout_too=True, until=b"Ctrl-C to stop")
    assert code == 0
    assert "created" in screen
    assert "Traceback" not in screen
    assert "\x1b[1A" in screen, "it moves the cursor back up"


def test_a_narrow_terminal_cuts_no_value() -> None:
    console = Console(width=40, file=StringIO(), record=True)
    console.print(table_of({"checkpoint": "postgresql:crm/invitations_of_spring", "left_s": 754.0}))
    text = console.export_text()
    assert ("…" in text, "0:12:34" in text) == (False, True)
    values = [line.split()[-1] for line in text.splitlines()]
    assert values == ["postgresql:crm/invitations_o", "f_spring", "0:12:34"]


@pytest.mark.parametrize(("every", "code"), [("soon", 2), ("2", 2), ("1s", 4)])
def test_a_status_that_cannot_be_watched_is_reported(tmp_path: Path, every: str, code: int) -> None:
    ran = run("status", "--watch", "--every", every, cwd=tmp_path)
    assert ran.code == code
    assert ("--every" in ran.said) == (code == 2)
