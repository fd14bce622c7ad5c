"""Rows with the engagement and account of another row, through the installed command; the ledger judges."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import Emulator, Ran, emulator, run, running, wait_until
from rows import make_row, make_rows, write_rows

_OPTIONS = ("--json", "--log-format", "json", "--daily-quota", "none")
_COUNT = 20


def _rows() -> list[dict[str, Any]]:
    """_COUNT engagements, each with three rows that differ only in the message."""
    rows = []
    for number in range(_COUNT):
        for ending in ("", "?", "!"):
            row = make_row(number)
            row["Invitation"]["Message"] = f"Would you join us{ending}"
            rows.append(row)
    return rows


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


def _warnings(ran: Ran) -> list[dict[str, Any]]:
    return [event for event in ran.events if event["event"] == "row.same_receiver"]


def _invited(service: Emulator) -> Counter[str]:
    return Counter(entry["request"]["EngagementIdentifier"] for entry in service.invitations())


@pytest.mark.parametrize(("mode", "of_each"), [("warn", 3), ("skip", 1)])
def test_a_killed_run_and_the_next_one_decide_alike(tmp_path: Path, mode: str, of_each: int) -> None:
    source = write_rows(tmp_path / "rows.ndjson", _rows())
    with emulator(latency=0.02) as service:
        command = ("send", source, "--endpoint-url", service.url, "--on-same-receiver", mode, *_OPTIONS)
        with running(*command, "--rate", "50", cwd=tmp_path) as sender:
            wait_until(partial(_has_calls, service, 8))
            sender.signal(signal.SIGKILL)
        rest, again = (run(*command, "--rate", "500", cwd=tmp_path) for _ in range(2))
        assert (rest.code, again.code) == (0, 0), rest.stderr
        assert set(_invited(service).values()) == {of_each}
    for ran in (rest, again):
        assert ran.json["duplicate"] == _COUNT * (3 - of_each)
        assert ran.json["same_receiver"] == len(_warnings(ran))
    # A row that is settled is not warned of again; one that is skipped is.
    assert again.json["same_receiver"] == _COUNT * (3 - of_each)


def test_a_corrected_export_is_warned_of_with_the_date_of_the_first_invitation(tmp_path: Path) -> None:
    account = make_row(0)["Invitation"]["Receiver"]["Account"]["AwsAccountId"]
    write_rows(tmp_path / "march.ndjson", make_rows(2))
    corrected = make_row(1)
    corrected["Invitation"]["Message"] = "Would you join us?"
    write_rows(tmp_path / "april.ndjson", [make_row(0), corrected])
    with emulator() as service:
        options = ("--endpoint-url", service.url, *_OPTIONS, "--rate", "100")
        run("send", "march.ndjson", *options, cwd=tmp_path)
        validated = run("validate", "march.ndjson", "april.ndjson", "--json", cwd=tmp_path)
        rehearsed = run("send", "april.ndjson", *options, "--dry-run", cwd=tmp_path)
        skipped = run("send", "april.ndjson", *options, "--on-same-receiver", "skip", cwd=tmp_path)
        assert set(_invited(service).values()) == {1}
        sent = run("send", "april.ndjson", *options, cwd=tmp_path)
        assert sorted(_invited(service).values()) == [1, 2]
        today = datetime.now(UTC).date().isoformat()
        for ran in (rehearsed, skipped, sent):
            (event,) = _warnings(ran)
            assert event["message"] == f"same engagement and account as march.ndjson:2, invited on {today}"
            assert (event["position"], ran.json["same_receiver"]) == ("april.ndjson:2", 1)
            assert account not in ran.stdout + ran.stderr
        # Once, although the row before it is in the sources, too.
        found = [(each["position"]["source"], each["errors"]) for each in validated.json["first"]]
        _, (position, (error,)) = found
        assert (position, error["message"]) == ("april.ndjson", event["message"])
        assert (validated.json["already_created"], validated.json["duplicate"]) == (2, 1)
        assert validated.json["compared_with"] == "bulk-invite.db"
        assert account not in validated.stdout + validated.stderr
    for file in tmp_path.glob("bulk-invite.db*"):
        assert account.encode() not in file.read_bytes()
