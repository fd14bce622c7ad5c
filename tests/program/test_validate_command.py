"""`validate`: what it prints, and that it says when this is not the whole."""

from __future__ import annotations

import fcntl
import gzip
import os
import re
import signal
import termios
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from command import (
    CREDENTIALS,
    FAST,
    emulator,
    pipe_without_reader,
    run,
    run_on_terminal,
    running,
    together,
    wait_until,
)
from rows import make_row, make_rows, ndjson, read_rows, write_rows

from bulk_invite.cli.row_findings import Findings
from bulk_invite.cli.validate_rows import _stop_on_signals
from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.rows import Position, Row, RowError
from bulk_invite.runs.output.reading_progress import ReadingProgress
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.sources.ndjson import NdjsonSource


def changed(number: int, **invitation: object) -> dict[str, Any]:
    """A row whose Invitation has other fields; None: without it."""
    row = make_row(number)
    both = {**row["Invitation"], **invitation}
    return {**row, "Invitation": {name: value for name, value in both.items() if value is not None}}


def dirty_rows() -> list[dict[str, Any]]:
    """Ten rows without a message, six with a suspicious one, two with a misspelled field, one valid."""
    rows = [changed(number, Message=None) for number in range(10)]
    rows += [changed(number, Message="#N/A") for number in range(10, 16)]
    rows += [changed(number, Mesage="Join us") for number in range(16, 18)]
    return [*rows, make_row(18)]


KINDS = [
    ("missing", "$.Invitation.Message", True, 10, [1, 2, 3]),
    ("unknown_member", "$.Invitation.?4", True, 2, [17, 18]),
    ("spreadsheet_error", "$.Invitation.Message", False, 6, [11, 12, 13]),
]


def test_problems_are_listed_and_counted_by_kind(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", dirty_rows())
    plain, summary, as_json, strict = together(
        partial(run, "validate", source.name, cwd=tmp_path),
        partial(run, "validate", source.name, "--summary", cwd=tmp_path),
        partial(run, "validate", source.name, "--json", cwd=tmp_path),
        partial(run, "validate", source.name, "--json", cwd=tmp_path, env={"BULK_INVITE_STRICT": "true"}),
    )
    counts = "19 rows: 7 valid, 12 rejected, 6 valid with warnings, "
    *lines, last = plain.stdout.splitlines()
    assert len(lines) == 18
    assert lines[0] == "rows.ndjson:1: missing at $.Invitation.Message: required field is missing"
    assert lines[10].startswith("rows.ndjson:11: warning: spreadsheet_error at $.Invitation.Message: ")
    assert last.startswith(counts)

    first, where, *_, last = summary.stdout.splitlines()
    assert first == "10 rows: missing at $.Invitation.Message: required field is missing"
    assert where == "  rows.ndjson:1, rows.ndjson:2, rows.ndjson:3 and 7 more"
    assert len(summary.stdout.splitlines()) == 7
    assert last.startswith(counts)

    result = as_json.json
    assert {plain.code, summary.code, as_json.code, strict.code} == {1}
    assert (result["complete"], result["error"], result["not_read"]) == (True, None, 0)
    shown = [
        (
            *(kind[name] for name in ("code", "path", "rejected", "count")),
            [at["line"] for at in kind["first"]],
        )
        for kind in result["kinds"]
    ]
    assert shown == KINDS
    assert (result["with_warnings"], strict.json["with_warnings"]) == (6, 0)
    assert strict.json["rejected"] == 18
    assert strict.json["codes"] == {**result["codes"], "spreadsheet_error": 6}


def test_a_dry_run_counts_warnings_and_strict_rejects_them(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", [make_row(0), changed(1, Message=" padded ")])
    command = ("send", source, "--dry-run", "--json")
    lenient, strict = together(
        partial(run, *command, cwd=tmp_path), partial(run, *command, "--strict", cwd=tmp_path)
    )
    assert (lenient.code, lenient.json["with_warnings"], lenient.json["rejected"]) == (0, 1, 0)
    assert (strict.code, strict.json["with_warnings"], strict.json["rejected"]) == (1, 0, 1)
    (warning,) = [each for each in lenient.events if each["event"] == "row.warning"]
    assert (warning["code"], warning["path"]) == ("padded_text", "$.Invitation.Message")
    (rejected,) = [each for each in strict.events if each["event"] == "row.rejected"]
    assert rejected["errors"] == ["padded_text at $.Invitation.Message"]


def test_strict_rejects_new_rows_only(tmp_path: Path) -> None:
    """A row that was sent is not rejected: its edited version would be sent, too."""
    padded = [changed(number, Message=f" padded {number} ") for number in range(2)]
    source = write_rows(tmp_path / "rows.ndjson", padded[:1])
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, "--results", tmp_path / "out", *FAST)
        assert run(*command, cwd=tmp_path).json["created"] == 1
        write_rows(source, padded)
        again = run(*command, cwd=tmp_path, env={**CREDENTIALS, "BULK_INVITE_STRICT": "true"})
        assert (again.code, again.json["already_created"], again.json["rejected"]) == (1, 1, 1)
        assert len(service.invitations()) == 1
    (rejected,) = read_rows(tmp_path / "out" / "rejected.ndjson")
    assert rejected["Invitation"]["Message"] == " padded 1 "
    assert [each["code"] for each in rejected["_bulk_invite"]["errors"]] == ["padded_text"]


def test_a_terminal_lists_the_first_problems_and_counts_the_rest(tmp_path: Path) -> None:
    rows = [changed(number, Message=None) for number in range(25)]
    source = write_rows(tmp_path / "rows.ndjson", rows)
    code, _, screen = run_on_terminal("validate", source.name, cwd=tmp_path, stdout_too=True)
    assert code == 1
    assert screen.count("\r\nrows.ndjson:") + screen.startswith("rows.ndjson:") == 20
    assert "25 rows: missing at $.Invitation.Message: required field is missing" in screen
    assert "--no-summary" in screen
    _, _, screen = run_on_terminal("validate", source.name, "--no-summary", cwd=tmp_path, stdout_too=True)
    assert len(re.findall(r"rows\.ndjson:\d+: missing", screen)) == 25
    assert "25 rows: missing" not in screen


@pytest.mark.parametrize(("number", "options"), [(signal.SIGINT, ()), (signal.SIGTERM, ("--json",))])
def test_a_signal_ends_it_at_once_and_it_says_that_this_is_not_the_whole(
    tmp_path: Path, number: int, options: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    out = tmp_path / "out"
    with (
        running("validate", "pipe", "--results", out, *options, cwd=tmp_path) as command,
        (tmp_path / "pipe").open("wb") as writer,
    ):
        writer.write(ndjson([*make_rows(3), changed(3, Message=None)]))
        writer.flush()
        wait_until(lambda: fcntl.ioctl(writer, termios.FIONREAD, b"\0" * 4) == b"\0" * 4)
        command.signal(number)
        ran = command.ended(within=5.0)
    assert ran.code == 75
    assert not (out / "rejected.ndjson").exists()
    if options:
        assert (ran.json["rows"], ran.json["rejected"], ran.json["complete"]) == (4, 1, False)
        assert ran.json["error"]["code"] == "stopped"
        assert ran.json["not_read"] is None
    else:
        *_, counts, last = ran.stdout.splitlines()
        assert counts.startswith("4 rows: 3 valid, 1 rejected")
        assert last == "Stopped before the end. This is not the whole: the rest of the source was not read."


def test_a_second_signal_ends_it_whatever_it_waits_for() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stopped = _stop_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.is_set()
        with pytest.raises(typer.Exit) as ended:
            os.kill(os.getpid(), signal.SIGINT)
        assert ended.value.exit_code == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_source_that_fails_in_the_middle_ends_with_what_was_read(tmp_path: Path) -> None:
    packed = gzip.compress(ndjson(make_rows(400)))
    (tmp_path / "rows.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    ran, plain = together(
        partial(run, "validate", "rows.ndjson.gz", "--json", cwd=tmp_path),
        partial(run, "validate", "rows.ndjson.gz", cwd=tmp_path),
    )
    assert (ran.code, plain.code) == (4, 4)
    assert 0 < ran.json["rows"] < 400
    assert ran.json["not_read"] is None  # how much was cut off is unknown
    assert (ran.json["complete"], ran.json["error"]["code"], ran.json["error"]["topic"]) == (
        False,
        "source",
        "rows",
    )
    assert ran.json["error"]["hint"]
    assert "This is not the whole: the rest of the source was not read." in plain.stdout
    assert "Stopped" not in plain.stdout


def test_a_reader_that_has_gone_ends_it_with_0(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", dirty_rows())
    with pipe_without_reader() as writer:
        ran = run("validate", source, cwd=tmp_path, stdout=writer)
    assert (ran.code, ran.stderr) == (0, "")


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_when_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NdjsonSource(str(write_rows(tmp_path / "rows.ndjson", make_rows(100))))
    next(source.batches(max_rows=50))
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = ReadingProgress(RowTotal([source]), 0.0, wanted=True)
    progress.show(Counts(rows=50), 1.9)
    progress.clear()
    assert terminal.getvalue() == ""
    for now in (2.0, 2.1, 2.3):
        progress.show(Counts(rows=50), now)
    assert re.fullmatch(r"(\r\x1b\[K50/~(99|100) rows read 50% 0:00:02 left){2}", terminal.getvalue())
    progress.clear()
    assert terminal.getvalue().endswith("left\r\x1b[K")
    ReadingProgress(RowTotal([source]), 0.0, wanted=False).show(Counts(rows=50), 9.0)
    unknown = ReadingProgress(RowTotal(None), 0.0, wanted=True)
    unknown.show(Counts(rows=1234), 65.0)
    assert terminal.getvalue().endswith("left\r\x1b[K\r\x1b[K1,234 rows read 0:01:05 so far")


def test_rows_that_repeat_another_one_are_named_and_counted(tmp_path: Path) -> None:
    """An engagement and an account may also be in another source, and in a later batch."""
    rows = [*make_rows(600), changed(0, Message="Would you join us on project 00000?"), make_row(1)]
    write_rows(tmp_path / "one.ndjson", [*rows, changed(0, Message="Join us"), changed(0, Message="Join us")])
    write_rows(tmp_path / "two.ndjson", [changed(5, Message="Join us")])
    write_rows(tmp_path / "three.ndjson", [make_row(700), make_row(700)])
    sources = ("one.ndjson", "two.ndjson", "three.ndjson")
    plain, as_json, off = together(
        partial(run, "validate", *sources, cwd=tmp_path),
        partial(run, "validate", *sources, "--json", cwd=tmp_path),
        partial(run, "validate", *sources, "--on-same-receiver", "send", cwd=tmp_path),
    )
    assert plain.stdout.splitlines()[:-1] == [
        "one.ndjson:601: warning: duplicate at $: same row as line 1; it is sent once",
        "one.ndjson:602: warning: duplicate at $: same row as line 2; it is sent once",
        "one.ndjson:603: warning: same_receiver at $: same engagement and account as line 1",
        "one.ndjson:604: warning: duplicate at $: same row as line 603; it is sent once",
        "two.ndjson:1: warning: same_receiver at $: same engagement and account as one.ndjson:6",
        "three.ndjson:2: warning: duplicate at $: same row as line 1; it is sent once",
    ]
    assert ", 4 duplicate, 2 with the engagement and account of another row, " in plain.stdout
    assert (plain.code, as_json.json["duplicate"], as_json.json["same_receiver"]) == (0, 4, 2)
    assert off.stdout.startswith("607 rows: 607 valid, 0 rejected, 0 valid with warnings, ")
    findings = Findings()
    for line in (1, 2):
        findings.add(Row(Position("a", line), b""), (RowError("$", "duplicate", f"same row as line {line}"),))
    assert findings.kind_lines()[0] == "2 rows: warning: duplicate at $; the first: same row as line 1"
