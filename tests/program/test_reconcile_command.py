"""`reconcile` as an operator runs it, on the rows that a killed sender has left in doubt."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command import FAST, Emulator, Ran, emulator, run, running, wait_until
from rows import make_rows, messages, write_rows

ROWS = 30


def killed(source: Path, service: Emulator, cwd: Path, *, calls: int = 12) -> None:
    """Leave rows in doubt: some of them have arrived, since the emulator answers late."""
    command = ("send", source, "--endpoint-url", service.url, "--rate", "40", "--max-in-flight", "16")
    with running(*command, cwd=cwd) as sender:
        wait_until(lambda: len(service.calls()) >= calls)
        sender.process.kill()
        sender.process.wait()


def reconcile(service: Emulator, cwd: Path, *arguments: str | Path) -> Ran:
    options = ("--endpoint-url", service.url, "--json", "--settling-time", "1s")
    return run("reconcile", *arguments, *options, cwd=cwd)


def rows_by_message(cwd: Path, *states: str) -> list[dict[str, Any]]:
    chosen = [argument for state in states for argument in ("--state", state)]
    return run("export", *chosen, cwd=cwd).lines


@pytest.mark.parametrize("at_hand", [True, False])
def test_arrived_rows_are_found_and_the_rest_is_sent_once(tmp_path: Path, *, at_hand: bool) -> None:
    rows = make_rows(ROWS)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator(latency=0.4, token_retention=0.1) as service:
        killed(source, service, tmp_path)
        arrived = len(service.invitations())
        in_doubt = run("status", "--json", cwd=tmp_path).json["in_doubt"]
        assert arrived > 0
        assert in_doubt > 0
        moved = source if at_hand else source.rename(tmp_path / "moved.ndjson")
        found = reconcile(service, tmp_path)
        assert (found.code, found.json["in_doubt"]) == (0, 0), found.stderr
        assert found.json["created"] + found.json["pending"] == in_doubt
        assert len(service.calls()) == service.audit()["calls"]
        evidence = [each["evidence"] for each in rows_by_message(tmp_path, "created") if each["evidence"]]
        assert len(evidence) == found.json["created"]
        assert {each["finding"] for each in evidence} == {"found"}
        # Tokens are long forgotten: whatever is sent again now arrives twice.
        ran = run("send", moved, "--endpoint-url", service.url, *FAST, cwd=tmp_path)
        assert ran.code == 0, ran.stderr
        assert service.messages() == Counter(messages(rows))


def test_the_same_row_in_two_campaigns_stays_in_doubt(tmp_path: Path) -> None:
    """Two rows of one content in doubt, and one invitation that is either of them."""
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    with emulator(latency=0.6) as service:
        for campaign in ("spring", "autumn"):
            command = ("send", source, "--endpoint-url", service.url, "--campaign", campaign)
            with running(*command, cwd=tmp_path) as sender:
                calls = 1 if campaign == "spring" else 2
                wait_until(lambda: service.audit()["invitations"] >= calls)  # noqa: B023
                sender.process.kill()
                sender.process.wait()
        both = reconcile(service, tmp_path)
        assert (both.code, both.json["in_doubt"], both.json["created"]) == (1, 2, 0)
        assert reconcile(service, tmp_path, "--exit-zero-on-rejected").code == 0
        codes = {each["code"] for each in rows_by_message(tmp_path, "in_doubt")}
        assert codes == {"SeveralInvitationsMatch"}
        assert {event["why"] for event in both.events if event["event"] == "row.unclear"} == codes


def test_an_absent_row_is_pending_after_the_settling_time(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(4))
    # Half a latency lies before the decision: killed in it, nothing arrives.
    with emulator(latency=4.0) as service:
        command = ("send", source, "--endpoint-url", service.url, "--rate", "40", "--burst", "4")
        with running(*command, cwd=tmp_path) as sender:
            wait_until(lambda: (tmp_path / "bulk-invite.db").exists() and _in_doubt(tmp_path) == 4)
            time.sleep(1.1)  # longer ago than the settling time: but the calls may have left a moment ago
            sender.process.kill()
            sender.process.wait()
    with emulator() as service:
        absent = reconcile(service, tmp_path)
        assert "reconcile.waiting" in absent.stderr
        assert (absent.code, absent.json["pending"], absent.json["in_doubt"]) == (0, 4, 0)
        assert service.audit()["calls"] == 0
        again = reconcile(service, tmp_path)
        assert (again.code, again.json["pending"]) == (0, 0)


def _in_doubt(cwd: Path) -> int:
    ran = run("status", "--json", cwd=cwd)
    return int(ran.json["in_doubt"]) if ran.code == 0 else 0


def test_reconcile_refuses_what_send_refuses(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    with emulator() as service:
        nothing = reconcile(service, tmp_path)
        assert (nothing.code, "There is no checkpoint" in nothing.said) == (4, True)
        assert not (tmp_path / "bulk-invite.db").exists()
        run("send", source, "--endpoint-url", service.url, *FAST, cwd=tmp_path)
        other = reconcile(service, tmp_path, "--catalog", "AWS")
        assert (other.code, "belongs to catalog Sandbox" in other.said) == (4, True)
        piped = reconcile(service, tmp_path, "-")
        assert (piped.code, "only once" in piped.said) == (2, True)
        fine = reconcile(service, tmp_path)
        assert (fine.code, fine.json["in_doubt"]) == (0, 0)
    with emulator(deny_accounts=("111122223333",)) as service:
        assert reconcile(service, tmp_path).code == 0
