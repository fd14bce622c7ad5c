"""A run in progress: what it shows over HTTP, and how to change it. The ledger is the judge."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from command import CREDENTIALS, Emulator, emulator, run, together, wait_until
from controlled import TOKEN, Controlled, controlled
from rows import make_rows, messages, write_rows

SECRET_FIELDS = ("Message", "CompanyName", "AwsAccountId")


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{**row, "EngagementIdentifier": f"eng-{n // 8:014d}"} for n, row in enumerate(make_rows(count))]


@contextmanager
def sending(
    folder: Path, *more: str, count: int = 200, rate: float = 40.0, **options: Any
) -> Iterator[tuple[Controlled, Emulator]]:
    """A `send` of a number of rows, far below the quota, and of one that is rejected."""
    write_rows(folder / "rows.ndjson", [*rows_of(count), "{}"])
    with emulator(rate=1000.0, burst=50.0) as service:
        command = (
            "send",
            "rows.ndjson",
            "--endpoint-url",
            service.url,
            "--rate",
            f"{rate:g}",
            "--json",
            *more,
        )
        with controlled(*command, cwd=folder, **options) as sender:
            yield sender, service


def settled(service: Emulator) -> int:
    """Calls that have come once no more do."""
    count = -1
    while count != (count := service.audit()["calls"]):
        time.sleep(0.2)
    return count


def test_a_run_is_paused_changed_and_resumed_and_reports_its_end(tmp_path: Path) -> None:
    with sending(tmp_path) as (sender, service):
        wait_until(lambda: sender.status["created"] >= 10 and sender.status["state"] == "sending")
        assert sender.change("pause")[1]["state"] == "paused"
        paused_at = settled(service)
        time.sleep(0.5)
        assert service.audit()["calls"] == paused_at
        status = sender.status
        assert (status["state"], status["in_flight"], status["left_s"]) == ("paused", 0, None)
        assert (status["attempts"], status["created"]) == (paused_at, paused_at)
        assert sender.change("rate", {"rate": 5})[1]["rate_setting"] == 5.0
        assert sender.change("max-in-flight", {"max_in_flight": 2})[1]["max_in_flight"] == 2
        began = time.monotonic()
        assert sender.change("resume", {})[1]["state"] == "sending"
        time.sleep(1.0)
        sent = service.audit()["calls"] - paused_at
        assert sent <= 5 * (time.monotonic() - began) + 1
        assert sender.change("rate", {"rate": "auto"})[1]["max_rate"] == 15.0
        assert sender.change("rate", {"rate": 300})[0] == 200
        last = {}
        for last in sender.events():  # noqa: B007 - it is the last that counts
            pass
        ran = sender.command.ended()
        assert service.messages() == Counter(messages(rows_of(200)))
    assert (last["state"], last["exit_code"], last["created"]) == ("finished", ran.code, 200)
    assert (ran.code, ran.json["created"], ran.json["rejected"]) == (1, 200, 1)
    changes = [
        (each["action"], each["was"], each["now"])
        for each in ran.events
        if each["event"] == "control.changed"
    ]
    assert changes[:4] == [
        ("pause", "sending", "paused"),
        ("rate", 40.0, 5.0),
        ("max-in-flight", 64, 2),
        ("resume", "paused", "sending"),
    ]


def test_the_figures_add_up_and_contain_no_data_of_a_row(tmp_path: Path) -> None:
    with sending(tmp_path) as (sender, service):
        wait_until(lambda: sender.status["created"] >= 20)
        sender.change("pause")
        settled(service)
        wait_until(lambda: sender.status["problems"])
        status, metrics = sender.status, sender.metrics()
        pages = b"".join(sender.get(path)[1] for path in ("/", "/api/status", "/api/history", "/metrics"))
        history = json.loads(sender.get("/api/history")[1])
        sender.command.signal(signal.SIGTERM)
        ran = sender.command.ended()
    states = (
        "created",
        "already_created",
        "failed",
        "rejected",
        "duplicate",
        "in_doubt",
        "deferred",
        "pending",
    )
    assert sum(status[state] for state in states) == status["rows"] == 201
    assert (status["total"], status["command"], status["catalog"]) == (201, "send", "Sandbox")
    assert status["account"] == "000000000000" or len(status["account"]) == 12
    problems = {(each["state"], each["code"], each["path"]) for each in status["problems"]}
    assert ("rejected", "missing", "$.EngagementIdentifier") in problems
    assert all(each["mend"] for each in status["problems"])
    assert status["failures"][0]["position"] == {"source": "rows.ndjson", "line": 201}
    for state in states[1:]:
        assert metrics[f'bulk_invite_rows{{state="{state}"}}'] == status[state], state
    assert metrics['bulk_invite_rows_ended_total{state="created"}'] == status["created"]
    assert metrics['bulk_invite_calls_total{code="",outcome="created"}'] == status["created"]
    assert metrics["bulk_invite_paused"] == 1
    assert metrics["bulk_invite_day_calls"] == status["sent_last_day"] == status["created"]
    assert metrics["bulk_invite_commit_duration_seconds_count"] > 0
    assert all(0 <= point["calls"] <= 60 and point["throttled"] == 0 for point in history["points"])
    assert (ran.code, ran.json["pending"]) == (75, status["pending"])
    row = rows_of(1)[0]["Invitation"]
    for secret in (row["Message"][:20], row["Receiver"]["Account"]["AwsAccountId"], TOKEN):
        assert secret.encode() not in pages
        assert secret not in ran.stderr


def test_only_an_authorized_request_changes_anything(tmp_path: Path) -> None:
    with sending(tmp_path, "--log-level", "warning") as (sender, _):
        refused: dict[int, list[dict[str, Any]]] = {
            401: [{"token": None}, {"token": "0123456789abcdeg"}],
            403: [{"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}],
            415: [{"Content-Type": "text/plain"}],
            421: [{"Host": "evil.example.com"}],
        }
        for code, ways in refused.items():
            for way in ways:
                answered, said = sender.change("pause", {}, **way)
                assert (answered, list(said)) == (code, ["error"]), way
        impossible: list[tuple[str, object]] = [
            ("rate", {}),
            ("rate", {"rate": 0}),
            ("rate", {"rate": -1}),
            ("rate", {"rate": 1e-310}),
            ("rate", {"rate": True}),
            ("rate", {"rate": "fast"}),
            ("max-in-flight", {"max_in_flight": 0}),
            ("max-in-flight", {"max_in_flight": 1001}),
            ("max-in-flight", {"max_in_flight": 2.5}),
            ("pause", [1]),
            ("pause", {"much": "x" * 5000}),
        ]
        for what, value in impossible:
            answered, said = sender.change(what, value)
            assert (answered, list(said)) == (413 if len(str(value)) > 4096 else 400, ["error"]), (
                what,
                value,
            )
        assert sender.get("/api/pause")[0] == 405
        wait_until(lambda: sender.status["state"] == "sending")
        assert sender.change("drain")[0] == 200
        assert sender.change("pause")[0] in {409, 0}
        ran = sender.command.ended()
    assert ran.code == 75
    assert [each["action"] for each in ran.events if each["event"] == "control.changed"] == ["drain"]


def test_without_a_token_nothing_can_be_changed_and_a_bad_one_is_reported(tmp_path: Path) -> None:
    with sending(tmp_path, token=None) as (sender, _):
        assert sender.status["controllable"] is False
        answered, said = sender.change("pause")
        assert (answered, "--control-token-file" in said["error"]) == (403, True)
    (tmp_path / "short").write_text("short\n")
    calls = [
        partial(run, "send", "rows.ndjson", cwd=tmp_path, env={**CREDENTIALS, **env})
        for env in (
            {"BULK_INVITE_CONTROL_TOKEN": "tooshort"},
            {"BULK_INVITE_CONTROL_TOKEN_FILE": "short"},
            {"BULK_INVITE_CONTROL_TOKEN_FILE": "nowhere"},
        )
    ]
    for ran in together(*calls):
        assert ran.code == 2
        assert "control token" in ran.said
        assert "tooshort" not in ran.stderr


def test_serve_reports_its_whole_checkpoint_and_keeps_a_pause(tmp_path: Path) -> None:
    """Also over a reload: the operator's pause is not forgotten by a new session."""
    rows = rows_of(30)
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    write_rows(incoming / "a.ndjson", [*rows[:10], "{}"])
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    with emulator(rate=200, burst=50) as service:
        more = ("--endpoint-url", service.url, "--poll-interval", "100ms", "--json")
        with controlled(
            "serve", incoming, *more, "--control-token-file", token, cwd=tmp_path, token=None
        ) as sender:
            wait_until(lambda: sender.status["created"] == 10 and sender.status["state"] == "idle")
            status = sender.status
            assert (status["rows"], status["rejected"], status["total"]) == (11, 1, None)
            assert 0 <= status["source_lag"][str(incoming)] < 10
            assert sender.change("pause")[1]["state"] == "paused"
            sender.command.signal(signal.SIGHUP)
            write_rows(incoming / "b.ndjson", rows[10:])
            wait_until(lambda: sender.status["pending"] == 20)
            time.sleep(0.5)
            assert (len(service.invitations()), sender.status["state"]) == (10, "paused")
            sender.change("resume")
            wait_until(lambda: sender.status["created"] == 30)
            assert sender.change("drain")[0] == 200
            ran = sender.command.ended()
        assert service.messages() == Counter(messages(rows))
    assert (ran.code, ran.json["created"]) == (0, 30)
