"""The rolling day and what parks a run, through the installed command: the ledger is the judge."""

from __future__ import annotations

import signal
import sqlite3
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import (
    CREATED,
    FAST,
    Emulator,
    ScriptedServer,
    always,
    emulator,
    free_port,
    refusal,
    run,
    running,
    together,
    wait_until,
)
from rows import make_row, make_rows, write_rows

from bulk_invite.domain.durations import DAY
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions


def _set_back(checkpoint: Path, seconds: float) -> None:
    """Make everything in a checkpoint older, as if no sender had run for that time."""
    with sqlite3.connect(checkpoint) as database:
        database.execute("UPDATE log SET at = at - ?", (seconds,))
        database.execute(
            "UPDATE pacing SET at = at - ?, parked_until = parked_until - ?, next_call = next_call - ?",
            (seconds,) * 3,
        )


def _park(source: Path, service: Emulator, *options: str, calls: int, cwd: Path) -> list[dict[str, Any]]:
    """Send until the run parks after that many calls in all; the log of the run, which SIGTERM has ended."""
    with running("send", source, "--endpoint-url", service.url, *FAST, *options, cwd=cwd) as sender:
        wait_until(lambda: service.audit()["calls"] >= calls)
        wait_until(lambda: _status(cwd)["parked"], step=0.2)
        time.sleep(0.5)  # time for a call that it must not make
        began = time.monotonic()
        sender.signal(signal.SIGTERM)
        ended = sender.ended()
    assert time.monotonic() - began < 2
    assert ended.code == 75
    return ended.events


def _status(cwd: Path) -> dict[str, Any]:
    return run("status", "--json", cwd=cwd).json


def test_the_daily_quota_holds_across_restarts_and_jobs_and_is_used_to_the_last_call(
    tmp_path: Path,
) -> None:
    first = write_rows(tmp_path / "first.ndjson", make_rows(15))
    second = write_rows(tmp_path / "second.ndjson", make_rows(30, start=15))
    limit = ("--daily-quota", "20")
    with emulator(daily_quota=20) as service:
        sent = run("send", first, "--endpoint-url", service.url, *FAST, *limit, cwd=tmp_path)
        assert (sent.code, sent.json["created"]) == (0, 15)
        events = _park(second, service, *limit, calls=20, cwd=tmp_path)
        parked = next(event for event in events if event["event"] == "run.parked")
        assert (parked["why"], parked["counted"]) == ("daily_quota", 20)
        assert DAY - 60 < parked["wait_s"] <= DAY
        status = _status(tmp_path)
        assert (status["daily_quota"], status["day_remaining"], status["sent_last_day"]) == (20, 0, 20)
        assert _seconds_until(status["parked_until"]) == pytest.approx(DAY, abs=60)
        _park(second, service, *limit, "--campaign", "again", calls=20, cwd=tmp_path)
        audit = service.audit()
    assert (audit["calls"], audit["created"], audit["throttled"]) == (20, 20, 0)


def _seconds_until(text: str) -> float:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


@pytest.mark.slow
def test_a_parked_run_continues_the_moment_the_oldest_call_is_a_day_old(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "first.ndjson", make_rows(5))
    second = write_rows(tmp_path / "second.ndjson", make_rows(5, start=5))
    with emulator() as service:
        command = ("--endpoint-url", service.url, *FAST, "--daily-quota", "5")
        assert run("send", first, *command, cwd=tmp_path).code == 0
        _set_back(tmp_path / "bulk-invite.db", DAY - 8)
        oldest = min(call["time"] for call in service.calls() if call["operation"].startswith("Create"))
        sent = run("send", second, *command, cwd=tmp_path)
        assert (sent.code, sent.json["created"]) == (0, 5)
        times = [call["time"] for call in service.calls() if call["operation"].startswith("Create")]
    # Not before the first five were a day old by their log, and not much later.
    assert oldest + 8 <= times[5] <= oldest + 8 + 2
    assert "run.resumed" in {event["event"] for event in sent.events}


def test_throttled_calls_do_not_count_against_the_daily_quota(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(12))
    throttled = refusal("ThrottlingException")
    script = always(throttled, CREATED, throttled, throttled, CREATED, throttled, CREATED)
    with ScriptedServer(script) as server:
        command = ("--endpoint-url", server.url, *FAST, "--daily-quota", "12")
        sent = run("send", source, *command, cwd=tmp_path)
    assert (sent.code, sent.json["created"], sent.json["throttled"]) == (0, 12, 4)
    assert _status(tmp_path)["day_remaining"] == 0


def test_calls_in_an_outage_do_not_count_against_the_daily_quota(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(6))
    port = free_port()
    command = ("send", source, "--endpoint-url", f"http://127.0.0.1:{port}", *FAST, "--daily-quota", "6")
    with emulator() as service:
        warm = run("send", source, "--limit", "1", *command[2:3], service.url, *FAST, cwd=tmp_path)
        assert warm.code == 0
    with running(*command, cwd=tmp_path) as sender:
        time.sleep(3)  # it tries again and again, and no server listens
        with emulator(port=port):
            sent = sender.ended()
    assert (sent.code, sent.json["created"], sent.json["already_created"]) == (0, 5, 1)


def test_calls_in_doubt_and_calls_of_a_killed_run_count(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(8))
    limit = ("--daily-quota", "8", "--max-in-flight", "4")
    with (
        emulator(faults=FaultOptions(slow=1.0), slow_for=30.0) as service,
        running("send", source, "--endpoint-url", service.url, *FAST, *limit, cwd=tmp_path) as sender,
    ):
        wait_until(lambda: _status_by_now(tmp_path).get("in_doubt") == 4, step=0.2)
        sender.process.kill()
        sender.ended()
    assert _status(tmp_path)["sent_last_day"] == 4
    with emulator() as service:
        events = _park(source, service, *limit, calls=4, cwd=tmp_path)
        assert service.audit()["calls"] == 4
    assert "run.parked" in {event["event"] for event in events}


@pytest.mark.slow
def test_repeated_kills_never_exceed_the_daily_quota(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(120))
    limit = ("--daily-quota", "60", "--max-in-flight", "5", "--rate", "25")
    with emulator(latency=0.1, faults=FaultOptions(reset_after=0.1, error_500=0.1), seed=3) as service:
        for kill in range(5):
            before = service.audit()["calls"]
            with running(
                "send", source, "--endpoint-url", service.url, "--json", *limit, cwd=tmp_path
            ) as sender:
                wait_until(partial(_has_arrived, service, min(59, before + 5 + 2 * kill)))
                sender.process.kill()
                sender.ended()
        with running("send", source, "--endpoint-url", service.url, "--json", *limit, cwd=tmp_path) as sender:
            wait_until(lambda: _status(tmp_path)["parked"], step=0.2)
            time.sleep(0.5)
            sender.signal(signal.SIGTERM)
            sender.ended()
        audit = service.audit()
    # A call in flight at the kill counts, whether it has arrived or not.
    assert 60 - 5 * 5 <= audit["calls"] <= 60
    assert (audit["double_by_token"], audit["double_by_body"]) == (0, 0)


def _has_arrived(service: Emulator, calls: int) -> bool:
    return bool(service.audit()["calls"] >= calls)


def _status_by_now(cwd: Path) -> dict[str, Any]:
    """Of a run that has just been started; nothing until there is something to report."""
    ran = run("status", "--json", cwd=cwd)
    return ran.json if ran.code == 0 else {}


@pytest.mark.slow
def test_an_unknown_cap_is_learned_probed_remembered_and_dropped_once_it_is_lifted(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(60))
    patient = ("--rate", "15", "--daily-quota", "none", "--probe-interval", "3s", "--json")
    with emulator(daily_quota=25) as service:
        with running("send", source, "--endpoint-url", service.url, *patient, cwd=tmp_path) as sender:
            wait_until(lambda: _status_by_now(tmp_path).get("parked"), step=0.2)
            refused = service.audit()["throttled"]
            time.sleep(7)
            probes = service.audit()["throttled"] - refused
            sender.signal(signal.SIGTERM)
            parked = sender.ended()
        created = service.audit()["created"]
    assert (parked.code, created) == (75, 25)
    assert refused <= 9, "a cap has to be known after a few refused calls"
    assert 1 <= probes <= 3
    status = _status(tmp_path)
    assert (status["parked"], status["learned_quota"]) == ("unknown_quota", 25)
    assert status["left_s"] > DAY, "what is left has to wait for a day to pass"
    with emulator(port=service.port, latency=0.3) as service:  # the account is allowed more now
        sent = run("send", source, "--endpoint-url", service.url, *patient, cwd=tmp_path)
        assert (sent.code, sent.json["created"], sent.json["throttled"]) == (0, 35, 0)
        first, second = sorted(call["time"] for call in service.calls() if "Create" in call["operation"])[:2]
    assert sent.events[0]["starts_at"] > 10, "the rate of before the cap is taken up again"
    assert second - first > 0.25, "the first call is a probe, and goes alone until it is answered"


@pytest.mark.slow
def test_a_run_whose_engagements_are_all_refused_waits_for_room_in_the_account(tmp_path: Path) -> None:
    full = ScriptedServer(always(*[refusal("ServiceQuotaExceededException", status=402)] * 9, CREATED))
    source = write_rows(tmp_path / "rows.ndjson", make_rows(6))
    with full as server:
        command = ("--endpoint-url", server.url, "--rate", "20", "--max-in-flight", "2", "--json")
        sent = run("send", source, *command, "--probe-interval", "1500ms", cwd=tmp_path)
    events = [event["event"] for event in sent.events]
    assert (sent.code, sent.json["created"], sent.json["deferred"]) == (0, 6, 0)
    assert events.index("run.parked") < events.index("run.resumed")
    assert len(server.creates) == 15, "six, three probes, and the six that the account had no room for"


def test_rows_of_full_engagements_are_retried_at_the_end_and_by_later_runs(tmp_path: Path) -> None:
    rows = [make_row(n, EngagementIdentifier=f"eng-{n % 3:014}") for n in range(12)]
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator(invitations_per_engagement=2) as service:
        command = ("send", source, "--endpoint-url", service.url, *FAST, "--max-in-flight", "1")
        sent = run(*command, cwd=tmp_path)
        assert (sent.code, sent.json["created"], sent.json["deferred"]) == (1, 6, 6)
        # One refused call to find an engagement full, and one at the end to see whether it still is.
        assert service.audit()["calls"] == 6 + 3 + 3
        again = run(*command, cwd=tmp_path)
        assert (again.code, again.json["already_created"], again.json["deferred"]) == (1, 6, 6)
        assert "run.parked" not in {event["event"] for event in again.events}
    with emulator(port=service.port) as service:
        made = run(*command, cwd=tmp_path)
        assert (made.code, made.json["created"]) == (0, 6)


@pytest.mark.slow
def test_a_restart_begins_near_the_previous_rate(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(400))
    with emulator(rate=20.0, burst=5) as service:
        command = ("send", source, "--endpoint-url", service.url, "--max-rate", "60", "--json")
        with running(*command, cwd=tmp_path) as sender:
            wait_until(lambda: service.audit()["created"] > 200)
            sender.signal(signal.SIGTERM)
            first = sender.ended()
        before = service.audit()
        with running(*command, cwd=tmp_path) as sender:
            wait_until(lambda: service.audit()["created"] > before["created"])
            time.sleep(4)
            created = service.audit()["created"] - before["created"]
            sender.signal(signal.SIGTERM)
            second = sender.ended()
        throttled = service.audit()["throttled"] - before["throttled"]
    assert first.events[0]["starts_at"] == 1.0
    assert 15 < second.events[0]["starts_at"] < 21
    assert created >= 4 * 20 * 0.85, "it crawls"
    assert throttled <= 2, "it bursts"


def test_a_dry_run_says_how_many_days_the_campaign_takes(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(450))
    rehearse = partial(run, "send", source, "--dry-run", cwd=tmp_path)
    table, sprint, spread, endless = together(
        partial(rehearse, "--daily-quota", "100"),
        partial(rehearse, "--daily-quota", "100", "--json"),
        partial(rehearse, "--daily-quota", "100", "--pace", "spread", "--json"),
        partial(rehearse, "--daily-quota", "none", "--rate", "2", "--json"),
    )
    assert "Forecast: 5 days; the last of 450 calls starts in 4d 0:00:03 (20" in table.stdout
    assert table.stdout.endswith("earlier runs have met); the rate alone would take 0:00:30.\n")
    forecast = sprint.json["forecast"]
    assert (forecast["calls"], forecast["daily_quota"], forecast["days"]) == (450, 100, 5)
    assert forecast["seconds"] == pytest.approx(4 * DAY, abs=60)
    assert spread.json["forecast"]["seconds"] == pytest.approx(4.5 * DAY, rel=0.01)
    assert (endless.json["forecast"]["days"], endless.json["forecast"]["seconds"]) == (1, 225)


def test_a_run_that_takes_days_says_so_when_it_starts(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(60))
    with emulator() as service:
        events = _park(source, service, "--daily-quota", "20", calls=20, cwd=tmp_path)
        [forecast] = [event for event in events if event["event"] == "run.forecast"]
        # Some of the first day's calls have left by then, or all of them.
        assert 40 <= forecast["rows"] <= 60
        assert (forecast["day"], forecast["days"] in {2, 3}) == (20, True)
        other = ("--checkpoint", "other.db", "--daily-quota", "60")
        short = run("send", source, "--endpoint-url", service.url, *FAST, *other, cwd=tmp_path)
    assert "run.forecast" not in {event["event"] for event in short.events}


def test_spreading_needs_a_daily_quota(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    ran = run("send", source, "--daily-quota", "none", "--pace", "spread", cwd=tmp_path)
    assert (ran.code, "--daily-quota" in ran.said) == (2, True)


def _fail_to_remember(checkpoint: Path, *, after: int) -> None:
    """Let every write of the pacing state fail after that many more."""
    with sqlite3.connect(checkpoint) as database:
        database.execute("CREATE TABLE written (x)")
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON pacing WHEN (SELECT count(*) FROM written) >= "
            f"{after} BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        note = "INSERT INTO written VALUES (1)"
        database.execute(f"CREATE TRIGGER count AFTER INSERT ON pacing BEGIN {note}; END")


def test_a_pacing_state_that_cannot_be_saved_ends_the_run_and_hides_no_other_error(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(30))
    with ScriptedServer(always(CREATED, refusal("ValidationException"))) as server:
        command = ("send", source, "--endpoint-url", server.url, "--rate", "50", "--json")
        assert run(*command, "--max-failures", "1", cwd=tmp_path).code == 3
        _fail_to_remember(tmp_path / "bulk-invite.db", after=1)
        again = run(*command, "--max-failures", "2", "--retry-failed", cwd=tmp_path)
        assert (again.code, "--max-failures" in again.said) == (3, True)
        assert "pacing.save_failed" in {event["event"] for event in again.events}
        full = run(*command, cwd=tmp_path)
    assert (full.code, "disk is full" in full.said) == (4, True)
