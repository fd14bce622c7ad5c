"""The progress of `send`: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from command import FAST, emulator, run, run_on_terminal, together
from pacers import make_governor, make_pacer
from rich.console import Console
from rows import make_row, make_rows, write_rows
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import day_remaining
from bulk_invite.pacing.pacing_view import PacingView
from bulk_invite.pacing.parking import Why
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.runs.output.progress import Progress
from bulk_invite.runs.output.progress_bar import ProgressLine, View, time_text
from bulk_invite.runs.output.row_total import RowTotal

ESCAPE = "\x1b[2J"
"""Clears the screen, where it gets through."""


def test_without_a_terminal_a_line_is_logged_now_and_then(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(50))
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, "--rate", "20", "--json")
        verbose, quiet = together(
            partial(run, *command, "--progress-interval", "1s", cwd=tmp_path),
            partial(run, *command, "--progress", "off", "--checkpoint", "other.db", cwd=tmp_path),
        )
    assert (verbose.code, quiet.code) == (0, 0)
    assert "run.progress" not in quiet.stderr
    lines = [event for event in verbose.events if event["event"] == "run.progress"]
    # 50 rows at 20 a second take two and a half.
    assert 2 <= len(lines) <= 5
    assert all(before["rows"] < after["rows"] for before, after in pairwise(lines))
    middle = lines[1]
    assert 0 < middle["rows"] < 50
    assert middle["of"] == 50
    assert 5 < middle["rate"] < 30
    assert (middle["throttled"], middle["in_doubt"] in range(10)) == (0, True)
    assert re.fullmatch(r"0:00:0\d", middle["left"])
    assert "\x1b" not in verbose.stderr


def test_a_terminal_shows_a_bar_with_the_main_figures(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(25))
    with emulator(faults=FaultOptions(throttle=0.1, empty=0.2), retry_after=0.01, seed=5) as service:
        command = ("send", source, "--endpoint-url", service.url, "--rate", "20", "--json")
        code, stdout, screen = run_on_terminal(*command, cwd=tmp_path, columns=100)
        throttled = service.audit()["throttled"]
    assert (code, '"created":25' in stdout) == (0, True)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen)
    bars = re.findall(
        r"(\d+)/(~?\d+|\?) rows +(?:\d+% +)?([\d.]+)/s +(?:of ~[\d.]+ +)?(\d+) throttled"
        r"(?: \([\d.]+%\))? +(\d+) in doubt +(?:day \S+ +)?([\d:?]+) left",
        text,
    )
    assert len(bars) > 5, text
    assert any(0 < int(rows) < 25 for rows, *_ in bars)
    assert any(float(rate) > 0 for _, _, rate, *_ in bars)
    assert any(int(in_doubt) > 0 for *_, in_doubt, _ in bars)
    assert any(re.fullmatch(r"\d:\d\d:\d\d", left) for *_, left in bars)
    rows, total, _, refused, in_doubt, _ = bars[-1]
    assert (rows, total, int(refused), in_doubt) == ("25", "25", throttled, "0")
    assert bars[-1][-1] == "0:00:00"
    assert throttled > 0


_BUSY = View(
    rows=32_000,
    total=50_000,
    is_estimate=False,
    ended=12_345,
    rate=24.1,
    throttled=3,
    in_doubt=0,
    left=754.0,
    pacing=PacingView(24.8, 30.0, 24.8, 0.004, 0.004, 12_400, None, None, None, None, None, paused=False),
)
_PARKED = replace(_BUSY.pacing, parked=Why.UNKNOWN_QUOTA, next_call=0.0)
_BAR = "━" * 20
_ROWS = "12,345/50,000 rows"
_FULL = f"{_BAR} {_ROWS} 24% 24.1/s of ~24.8 3 throttled"


@pytest.mark.parametrize(
    ("columns", "changes", "line"),
    [
        (140, {}, f"{_FULL} (0.4%) 0 in doubt day 12,400/100,000 0:12:34 left"),
        (100, {}, f"{_FULL} 0 in doubt 0:12:34 left"),
        (80, {}, f"{_BAR} {_ROWS} 24% 24.1/s 3 throttled 0:12:34 left"),
        (80, {"throttled": 0, "in_doubt": 7}, f"{_BAR} {_ROWS} 24% 24.1/s 7 in doubt 0:12:34 left"),
        (60, {}, f"{_ROWS} 24% 24.1/s 3 throttled 0:12:34 left"),
        (40, {}, f"{_ROWS} 24% 0:12:34 left"),
        (40, {"is_estimate": True}, "12,345/~50,000 rows 24% 0:12:34 left"),
        (40, {"in_doubt": 7, "total": None, "left": None}, "12,345/? rows 24.1/s 7 in doubt ? left"),
        (20, {}, "0:12:34 left"),
        (5, {}, "0:12…"),
        (60, {"pacing": _PARKED}, f"{_ROWS} parked, next probe {time_text(0.0)}"),
        (40, {"pacing": _PARKED}, f"parked, next probe {time_text(0.0)}"),
        (60, {"ended": 49_999}, "49,999/50,000 rows 99% 24.1/s 3 throttled 0:12:34 left"),
    ],
)  # fmt: skip
def test_a_narrow_terminal_gets_fewer_figures_but_whole_ones(
    columns: int, changes: dict[str, Any], line: str
) -> None:
    console = Console(
        width=columns, file=StringIO(), record=True, force_terminal=True, color_system="standard"
    )
    console.print(ProgressLine(replace(_BUSY, **changes), 100_000))
    assert console.export_text().replace("╸", "━").replace("╺", "━") == f"{line}\n"


def test_the_bar_can_be_turned_off(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, *FAST, "--progress", "off")
        code, _, screen = run_on_terminal(*command, cwd=tmp_path)
    assert (code, "run.started" in screen, " left" in screen) == (0, True, False)


def test_control_characters_reach_a_terminal_only_escaped(tmp_path: Path) -> None:
    rows = [make_row(0, ClientToken=f"token-{ESCAPE}"), make_row(1, EngagementIdentifier=ESCAPE)]
    source = write_rows(tmp_path / f"rows-{ESCAPE}.ndjson", rows)
    ours = ("--checkpoint", f"check-{ESCAPE}.db")

    def shown(*arguments: str | Path) -> tuple[int, str, str]:
        return run_on_terminal(*arguments, cwd=tmp_path, stdout_too=True)

    with emulator() as service:
        loud = ("--endpoint-url", service.url, *FAST, *ours, "--log-level", "debug", "--log-format")
        screens = [
            shown("send", source.name, *loud, "console"),
            shown("send", source.name, *loud, "json", "--campaign", "again"),
            shown("validate", source.name),
            shown("status", *ours),
            shown("export", *ours),
            shown("send", f"none-{ESCAPE}"),
        ]
        [entry] = service.invitations()
    assert ESCAPE in entry["client_token"]
    assert [code for code, *_ in screens] == [1, 1, 1, 0, 0, 4]
    for _, _, screen in screens:
        assert ESCAPE not in screen
        assert "[2J" in screen


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [VIRTUAL_TIME])
async def test_a_full_account_has_no_time_left_and_few_lines(anyio_backend: object) -> None:  # noqa: ARG001
    counts = Counts(rows=120, ended_now=0, all_read=True, states=Counter({State.DEFERRED: 120}))
    pacer = make_pacer(make_governor(10.0), anyio.current_time)
    progress = Progress(counts, RowTotal([]), pacer, 10_000, None, mode="auto", interval=10.0)
    pacer.close(Why.ACCOUNT_FULL)
    with capture_logs() as lines, anyio.move_on_after(3600.0):
        await progress.watch()
    assert 6 <= len(lines) <= 7, "one now, and one each ten minutes"
    assert {(line["parked"], line["left"], line["deferred"]) for line in lines} == {
        ("account_full", "?", 120)
    }
    pacer.reopen(Why.ACCOUNT_FULL)
    assert progress.view(anyio.current_time()).left == 0.0


@pytest.mark.parametrize(
    ("quota", "learned", "counted", "left"),
    [
        (10_000, None, 40, 9_960),
        (10_000, 40, 40, 0),
        (30, 40, 10, 20),
        (None, 40, 10, None),
        (30, None, 40, 0),
    ],
)
def test_the_lower_quota_says_what_is_left_of_the_day(
    quota: int | None, learned: int | None, counted: int, left: int | None
) -> None:
    assert day_remaining(quota, learned, counted) == left
