"""`report` of a real backfill: faults, a kill, a resumed run, and the report as evidence."""

from __future__ import annotations

import signal
import sqlite3
import stat
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shutil import copy

import pytest
from checkpoints import Place, writing
from command import FAST, Emulator, emulator, run, running, wait_until
from rows import make_rows, write_rows

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.html_file import check, write
from bulk_invite.cli.report.page import page
from bulk_invite.domain.errors import ReportError, UsageError
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.runs.output.summary import Summary

ROWS = 120

_HEADLINE = (
    "118 of 120 invitations created; 2 need attention (1 failed, 1 rejected). All 14 audit checks pass."
)


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


@pytest.fixture(scope="module")
def backfill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a run that was killed half way and went on to its end."""
    folder = tmp_path_factory.mktemp("backfill")
    rows = make_rows(ROWS)
    del rows[-2]["Invitation"]["Message"]
    rows[-1]["EngagementIdentifier"] = "eng-0000000unknown"
    write_rows(folder / "rows.ndjson", rows)
    faults = FaultOptions(reset_after=0.1)
    unknown = ("eng-0000000unknown",)
    with emulator(latency=0.05, seed=1, faults=faults, unknown_engagements=unknown) as service:
        command = ("send", "rows.ndjson", "--endpoint-url", service.url, "--settling-time", "1s", *FAST)
        with running(*command, cwd=folder) as sender:
            wait_until(partial(_has_calls, service, ROWS // 3))
            sender.signal(signal.SIGKILL)
        ended = run(*command, cwd=folder)
        assert (ended.code, ended.json["pending"], ended.json["in_doubt"]) == (1, 0, 0), ended.stderr
        (folder / "calls").write_text(str(len(service.calls())))
    return folder


def test_a_report_begins_with_what_was_created_and_whether_the_audit_passes(backfill: Path) -> None:
    ran = run("report", "--html", "out.html", "--json", cwd=backfill)
    assert ran.code == 0, ran.stderr
    written = backfill / "out.html"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert _HEADLINE in written.read_text()
    assert "ResourceNotFoundException" in written.read_text().replace("<wbr>", "")
    said = ran.json
    with CheckpointReader(backfill / "bulk-invite.db") as checkpoint:
        proof = checkpoint.proof(time.time())
        known = asdict(Summary.of_checkpoint(checkpoint.overview(time.time())))
    del known["with_warnings"]  # a checkpoint does not record warnings
    ending = {"error": None, "complete": True}
    assert said == {**members(proof), "at": said["at"], "checkpoint": "bulk-invite.db", **ending}
    assert summary(proof).startswith(f"{_HEADLINE}\n")
    assert "\n  1 failed, ResourceNotFoundException: " in summary(proof)
    assert summary(proof).endswith("\nSee: bulk-invite manual troubleshooting\n")
    assert {name: said[name] for name in known} == known
    assert (said["rows"], said["created"], said["rejected"], said["failed"]) == (ROWS, ROWS - 2, 1, 1)
    why = said["repeated"]["why"]
    assert {"unanswered", "doubtful"} <= why.keys()
    assert sum(why.values()) == said["repeated"]["calls"] == said["calls"] - (ROWS - 1)
    # An intent whose call did not leave before the kill is in the log only.
    arrived = int((backfill / "calls").read_text())
    assert arrived <= said["calls"] <= arrived + 64
    assert [each["run"] for each in said["runs"]] == [1, 2]
    assert sum(each["created"] for each in said["over_time"]["buckets"]) == ROWS - 2


def test_a_failed_audit_is_reported_and_ends_with_1(backfill: Path, tmp_path: Path) -> None:
    copy(backfill / "bulk-invite.db", tmp_path)
    with closing(sqlite3.connect(tmp_path / "bulk-invite.db")) as file:
        file.execute("DELETE FROM log WHERE event = 'sent'")
        file.commit()
    ran = run("report", cwd=tmp_path)
    assert ran.code == 1, ran.stderr
    assert "FAIL  Every created row has an intent" in ran.stdout
    assert "audit checks fail: these figures are not proven." in ran.stdout.splitlines()[0]
    assert ran.stdout.count("\n  pass  ") + ran.stdout.count("\n  FAIL  ") == 14
    assert "\nSee: bulk-invite manual results\n" in ran.stdout


def test_only_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    other, ours = tmp_path / "notes.html", tmp_path / "out.html"
    other.write_text("<p>mine</p>")
    ran = run("report", "--html", other, cwd=tmp_path)
    assert ran.code == 2
    assert "is not a bulk-invite report; it was not overwritten." in ran.said
    assert other.read_text() == "<p>mine</p>"
    for nowhere in (tmp_path, tmp_path / "nowhere" / "out.html", Path("/dev/null")):
        with pytest.raises(UsageError):
            check(nowhere)
    place = Place(str(tmp_path / "bulk-invite.db"))
    with writing(place), place.reader() as reader:
        text = page(reader.proof(time.time()))
    ours.touch(mode=0o644)  # as `mktemp` leaves one
    for _ in range(2):
        check(ours)
        write(ours, text)
    assert ours.read_text() == text
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if "partial" in each.name] == []


def test_a_page_that_cannot_be_written_is_an_error_and_keeps_the_earlier_one(tmp_path: Path) -> None:
    former = tmp_path / "out.html"
    former.write_text("former")
    (tmp_path / "out.html.partial").mkdir()
    with pytest.raises(ReportError, match=r"out\.html cannot be written"):
        write(former, "new")
    assert former.read_text() == "former"


def test_without_a_checkpoint_there_is_no_report(tmp_path: Path) -> None:
    ran = run("report", "--html", "out.html", cwd=tmp_path)
    assert ran.code == 4
    assert "There is no checkpoint" in ran.said
    assert not (tmp_path / "out.html").exists()
