"""How commands end: one JSON object with the error, the next step, and readers that have gone."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from threading import Event
from typing import Final

import pytest
import structlog
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
from documents import table, topic
from rows import make_row, make_rows, write_rows
from typer.core import TyperGroup

import bulk_invite
from bulk_invite.cli import ending
from bulk_invite.cli.options.grouped_help import GroupedProgram
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.row_lines import RowLines


def _classes(root: type[BulkInviteError] = BulkInviteError) -> list[type[BulkInviteError]]:
    below = [each for each in root.__subclasses__() if each.__module__.startswith("bulk_invite.")]
    return [*below, *(each for one in below for each in _classes(one))]


def test_every_class_of_errors_has_a_word_of_its_own_and_the_manual_has_them_all() -> None:
    for module in walk_packages(bulk_invite.__path__, "bulk_invite."):
        import_module(module.name)
    words = [each.__dict__.get("code") for each in _classes()]
    assert len(words) > 20
    assert len(set(words)) == len(words)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", str(word)) for word in words)
    documented = {code.strip("`") for row in table(topic("results"), "JSON") for code in row[0].split(", ")}
    assert documented == set(words)


def test_with_json_every_ending_is_one_object_with_the_error(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    (tmp_path / "json.toml").write_text("json = true\ncatalogue = 1\n")
    (tmp_path / "file").write_text("")
    nobody, none = ("--endpoint-url", "http://127.0.0.1:9"), ("--checkpoint", "none.db")
    cases: list[tuple[int, str, list[str | Path], dict[str, str]]] = [
        (2, "usage", ["send", "--json"], {}),
        (2, "usage", ["send", source, "--json", "--colour"], {}),
        (2, "usage", ["sned", "--json"], {}),
        (2, "usage", ["export", "--json"], {}),
        (2, "usage", ["status", "--json", "--every", "soon"], {}),
        (2, "usage", ["emulator", "--json", "--port", "high"], {}),
        (2, "usage", ["send", source, "--rate", "0"], {"BULK_INVITE_JSON": "1"}),
        (2, "configuration", ["send", source, "--json"], {"BULK_INVITE_RATE": "0"}),
        (2, "configuration", ["send", source, "--json"], {"BULK_INVITE_RATTE": "1"}),
        (2, "configuration", ["status", "--config=json.toml"], {}),
        (2, "usage", ["status", "postgresql://me:secret@host/db", "--json"], {}),
        (2, "not_confirmed", ["send", source, "--json", "--catalog", "AWS"], {}),
        (4, "source", ["send", "gone.ndjson", "--json"], {}),
        (4, "source", ["validate", "gone.ndjson", "--json"], {}),
        (4, "checkpoint", ["status", "--json", *none], {"BULK_INVITE_JSON": "0"}),
        (4, "checkpoint", ["report", *none], {"BULK_INVITE_JSON": "yes"}),
        (4, "checkpoint", ["reconcile", "--json", *none], {}),
        (4, "results", ["send", source, *nobody, "--json", "--results", "file/out"], {}),
        (4, "credentials", ["send", source, *nobody, "--json", "--profile", "none"], {}),
        (4, "checks_failed", ["doctor", "gone.ndjson", *nobody, "--json"], {}),
    ]
    ran = together(
        *(
            partial(run, *arguments, cwd=tmp_path, env={**CREDENTIALS, **variables})
            for _, _, arguments, variables in cases
        )
    )
    for (code, word, arguments, _), each in zip(cases, ran, strict=True):
        where = (arguments, each.stdout, each.stderr)
        assert each.code == code, where
        error = each.json["error"]
        assert (error["code"], set(error)) == (word, {"code", "message", "hint", "topic"}), where
        assert error["message"].endswith((".", "?")), where
        assert word == "checks_failed" or error["message"] in each.said, where
        assert error["topic"], where
        assert "secret" not in each.stdout + each.stderr
        assert each.json["complete"] is (word == "checks_failed"), where
        if arguments[0] == "send":  # as a run that began
            assert (each.json["rows"], each.json["created"], each.json["not_read"]) == (0, 0, None), where


def test_without_json_an_error_is_on_standard_error_only(tmp_path: Path) -> None:
    plain, off, other = together(
        partial(run, "status", cwd=tmp_path),
        partial(run, "status", "--json", "--no-json", cwd=tmp_path, env={"BULK_INVITE_JSON": "1"}),
        partial(run, "export", cwd=tmp_path, env={"BULK_INVITE_JSON": "1"}),
    )
    for ran in (plain, off, other):
        assert (ran.code, ran.stdout) == (4, "")
        assert "bulk-invite: There is no checkpoint" in ran.said


def test_a_run_that_ends_early_says_what_was_not_read(tmp_path: Path) -> None:
    rows = [*make_rows(2000), *make_rows(60, start=2000, EngagementIdentifier="eng-unknown0000000")]
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator(unknown_engagements=("eng-unknown*",), latency=0.01) as service:
        here = partial(run, "send", source, "--endpoint-url", service.url, *FAST, cwd=tmp_path)
        limited = here("--limit", "20")
        assert (limited.code, limited.json["error"], limited.json["complete"]) == (0, None, False)
        assert limited.json["not_read"] == pytest.approx(2040, rel=0.1)
        with running("send", source, "--endpoint-url", service.url, "--json", cwd=tmp_path) as sender:
            wait_until(lambda: len(service.calls()) > 25)
            sender.signal(signal.SIGTERM)
            stopped = sender.ended()
        assert (stopped.code, stopped.json["error"]["code"]) == (75, "stopped")
        assert stopped.json["not_read"] > 1000
        assert stopped.json["pending"] > 0
        failing = write_rows(tmp_path / "failing.ndjson", rows[2000:])
        few = partial(run, "send", failing, "--endpoint-url", service.url, *FAST, "--max-in-flight", "2")
        failed = few("--max-failures", "3", cwd=tmp_path)
        assert (failed.code, failed.json["error"]["code"]) == (3, "too_many_failures")
        assert (failed.json["complete"], failed.json["failed"] > 2) == (False, True)
        exact = write_rows(tmp_path / "exact.ndjson", make_rows(5, start=3000))
        whole = run("send", exact, "--endpoint-url", service.url, *FAST, "--limit", "5", cwd=tmp_path)
        assert (whole.code, whole.json["not_read"], whole.json["complete"]) == (0, 0, True)
        piped = run(
            *("send", "-", "--endpoint-url", service.url, *FAST, "--limit", "1"),
            cwd=tmp_path,
            stdin=exact.read_bytes().replace(b"3000", b"9000"),
        )
        assert (piped.json["not_read"], piped.json["complete"]) == (None, False)


_WITH_A_DEFECT: Final = """
import sys

import anyio

from bulk_invite.cli import app, ending
from bulk_invite.runs.live_status.monitor import Monitor


async def defect(monitor):
    while monitor.calls.sent_calls < 10:
        await anyio.sleep(0.01)
    raise ValueError("Jane Doe")


Monitor.keep_history = defect
sys.exit(ending.run(app.command, sys.argv[1:]))
"""


def test_a_defect_beside_a_run_does_not_hide_what_was_sent(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(200))
    with emulator() as service:
        options = ("--endpoint-url", service.url, "--json", "--rate", "50", "--listen", "127.0.0.1:0")
        ended = subprocess.run(
            [sys.executable, "-c", _WITH_A_DEFECT, "send", source, *options],
            cwd=tmp_path,
            env={**os.environ, **CREDENTIALS},
            capture_output=True,
            check=False,
        )
        created = len(service.invitations())
    result = json.loads(ended.stdout)
    assert (ended.returncode, result["error"]["code"]) == (4, "internal_error")
    assert 0 < created < 200
    assert result["created"] + result["in_doubt"] >= created
    assert result["rows"] >= created
    assert b"Jane" not in ended.stdout + ended.stderr


def test_open_rows_are_not_complete_and_settled_ones_are(tmp_path: Path) -> None:
    full = make_rows(2, EngagementIdentifier="eng-0000000popular")
    source = write_rows(tmp_path / "rows.ndjson", [*full, "{"])
    settled_rows = write_rows(tmp_path / "settled.ndjson", [make_row(9), "{"])
    with emulator(invitations_per_engagement=1) as service:
        here = partial(run, "send", "--endpoint-url", service.url, *FAST, cwd=tmp_path)
        left, settled = here(source), here(settled_rows, "--checkpoint", "settled.db")
    assert (left.code, left.json["deferred"], left.json["complete"]) == (1, 1, False)
    assert (settled.code, settled.json["rejected"], settled.json["complete"]) == (1, 1, True)
    assert (settled.json["error"], settled.json["not_read"]) == (None, 0)
    counted = run("status", "--json", cwd=tmp_path)
    assert (counted.json["error"], counted.json["complete"]) == (None, False)


def test_a_reader_that_has_gone_ends_a_command_with_0_and_a_full_disk_with_4(tmp_path: Path) -> None:
    bad = make_row(1)
    del bad["Invitation"]
    write_rows(tmp_path / "bad.ndjson", [bad] * 300)
    write_rows(tmp_path / "rows.ndjson", make_rows(60))  # more than a buffer, when they are exported
    with emulator() as service:
        assert run("send", "rows.ndjson", "--endpoint-url", service.url, *FAST, cwd=tmp_path).code == 0
    commands = ["export", "status --json", "report", "schema", "example", "manual", "manual options"]
    commands += ["validate bad.ndjson", "send --help"]
    slow = ["doctor", "simulate steps --seeds 1 --only-ours"]
    with pipe_without_reader() as gone, Path("/dev/full").open("wb") as full:
        cases = [(each, gone, 0) for each in (*slow, *commands)]
        cases += [(each, full.fileno(), 4) for each in commands]
        calls = [partial(run, *each.split(), cwd=tmp_path, stdout=stdout) for each, stdout, _ in cases]
        for (command, _, code), ran in zip(cases, together(*calls), strict=True):
            assert ran.code == code, (command, ran.stderr)
            assert ("No space left on device" in ran.said) == (code == 4), command
            assert code or not ran.said, command


def on_terminal(*arguments: str | Path, cwd: Path) -> list[str]:
    """The lines of a terminal that gets standard output and error, without colors and the moving bar."""
    *_, screen = run_on_terminal(*arguments, cwd=cwd, stdout_too=True)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).split("\r\n")


def test_other_rows_do_not_hide_those_that_send_a_second_invitation() -> None:
    shown, lines = Counter[str](), RowLines(is_result_beside=True)
    for event in ["row.rejected"] * 30 + ["row.same_receiver"] * 12 + ["row.warning"] * 5:
        with suppress(structlog.DropEvent):
            shown[str(lines(None, "", {"event": event, "timestamp": "", "code": "c"})["event"])] += 1
    assert shown == {"row.rejected": 10, "row.same_receiver": 10, "row.not_shown": 2}


def test_a_terminal_gets_ten_rows_and_the_log_file_all(tmp_path: Path) -> None:
    unknown = make_rows(8, start=20, EngagementIdentifier="eng-unknown0000000")
    write_rows(tmp_path / "rows.ndjson", [*["{"] * 6, *["{}"] * 9, *unknown])
    with emulator(unknown_engagements=("eng-unknown*",)) as service:
        common = ("send", "rows.ndjson", "--endpoint-url", service.url, "--rate", "300", "--progress", "off")
        here = partial(on_terminal, *common, cwd=tmp_path)
        short = here("--checkpoint", "1.db", "--log-file", "all.log")
        whole = here("--checkpoint", "2.db", "-v")
        quiet = here("--checkpoint", "3.db", "-q", "--progress", "on")
        as_json = here("--checkpoint", "4.db", "--json")
    lines = {name: "\n".join(each) for name, each in locals().items() if name in {"short", "whole", "quiet"}}
    of_rows = re.compile(r"row\.rejected|invitation\.failed")
    assert len(of_rows.findall(lines["short"])) == 10
    assert lines["short"].count("row.not_shown") == 1
    assert len(of_rows.findall(lines["whole"])) == 23
    assert len(of_rows.findall((tmp_path / "all.log").read_text())) == 23
    assert quiet[0] == "0 of 23 invitations created; 23 need attention."
    # What the sentences say is not said by events, too; where there are none, one line counts by code.
    for name, text in lines.items():
        assert "row.counts" not in text, name
        assert "(invalid_json 6, missing 9)" in text or "(missing 9, invalid_json 6)" in text, name
    [counts] = [line for line in as_json if "row.counts" in line]
    assert "failed='ResourceNotFoundException 8'" in counts
    assert "rejected='missing 5'" in counts


def test_next_steps_are_events_for_readers_of_the_log_only(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(3, EngagementIdentifier="eng-0000000popular"))
    with emulator(invitations_per_engagement=2) as service:
        here = ("send", "rows.ndjson", "--endpoint-url", service.url, "--rate", "300")
        shown = "\n".join(on_terminal(*here, "--log-file", "all.log", cwd=tmp_path))
        logged = run(*here, "--checkpoint", "2.db", cwd=tmp_path)
    assert "1 row is deferred, because its engagement is full: run the same command when" in shown
    assert "run.deferred" not in shown
    assert "run.deferred" in (tmp_path / "all.log").read_text()
    assert [each["rows"] for each in logged.events if each["event"] == "run.deferred"] == [1]


def test_quiet_and_verbose_exclude_each_other(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    both = run("send", source, "-q", cwd=tmp_path, env={**CREDENTIALS, "BULK_INVITE_VERBOSE": "1"})
    assert (both.code, "--quiet and --verbose contradict each other" in both.said) == (2, True)


_VALUE: Final = "Jane Doe"


def _broken() -> None:
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def _defect() -> None:
    raise ExceptionGroup("unhandled", [ValueError(_VALUE)])


class PanicException(BaseException):
    """As that of pydantic and orjson."""


def _panic() -> None:
    raise PanicException(_VALUE)


def _panic_of_a_task() -> None:
    raise BaseExceptionGroup("unhandled", [PanicException(_VALUE)])


def _exit() -> None:
    raise SystemExit(1)  # which would say that the command finished


def _interrupted() -> None:
    raise typer.Exit(130)


def _interrupted_at_its_end() -> None:
    def flush() -> None:
        raise KeyboardInterrupt

    sys.stdout.flush = flush  # type: ignore[method-assign] # that of this command only


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], int]:
    """Runs a command with --json in this process; returns its exit code."""
    return partial(_ended, monkeypatch)


def _ended(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None]) -> int:
    program = typer.Typer(cls=GroupedProgram)
    program.callback()(lambda: None)
    program.command("break")(command)
    for name in ("wants_object", "has_object"):
        monkeypatch.setattr(standard_output, name, Event())
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # it is replaced
    group = typer.main.get_command(program)
    assert isinstance(group, TyperGroup)
    standard_output.wants_object.set()
    return ending.run(group, ["break"])


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (_broken, "ConnectionError"),
        (_defect, "ValueError"),
        (_panic, "PanicException"),
        (_panic_of_a_task, "PanicException"),
        (_exit, "SystemExit"),
    ],
)
def test_a_defect_ends_with_4_and_an_object_without_values(
    command: Callable[[], None],
    kind: str,
    capfd: pytest.CaptureFixture[str],
    ended: Callable[[Callable[[], None]], int],
) -> None:
    assert ended(command) == 4
    said = capfd.readouterr()
    assert json.loads(said.out)["error"]["code"] == "internal_error"
    assert f"bulk-invite: Internal error: {kind}" in said.err
    assert "Jane" not in said.out + said.err


@pytest.mark.parametrize("command", [_interrupted, _interrupted_at_its_end])
def test_a_command_that_keeps_nothing_cannot_be_continued(
    command: Callable[[], None],
    capfd: pytest.CaptureFixture[str],
    ended: Callable[[Callable[[], None]], int],
) -> None:
    assert ended(command) == 130
    error = json.loads(capfd.readouterr().out)["error"]
    assert (error["code"], error["hint"]) == ("interrupted", "Run the same command again.")
