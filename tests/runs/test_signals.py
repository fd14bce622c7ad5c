"""The installed `send` under signals: it stops soon, and the same command loses nothing, repeats nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import (
    CREATED,
    FAST,
    PATIENCE,
    Emulator,
    Ran,
    Reply,
    Running,
    ScriptedServer,
    always,
    cpu_seconds,
    emulator,
    free_port,
    refusal,
    run,
    running,
    start,
    together,
    wait_until,
)
from rows import make_rows, messages, ndjson, write_rows

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.domain.verdicts import State

STOPPED, INTERRUPTED = 75, 130
SOON = 4.0
"""Seconds; what a stop must not wait for takes far longer in these tests."""

READY = 0.15
"""Seconds of processor time after which a command notices a signal."""


def sending(source: Path | str, url: str, *arguments: str | Path) -> tuple[str | Path, ...]:
    return ("send", source, "--endpoint-url", url, *FAST, *arguments)


def stopped(sender: Running, number: int = signal.SIGTERM) -> tuple[Ran, float]:
    """Signal a sender; how it ended, and how many seconds that took."""
    began = time.monotonic()
    sender.signal(number)
    return sender.ended(), time.monotonic() - began


def _catches(pid: int, number: int) -> bool:
    [caught] = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


def has_logged(sender: Running, event: str) -> None:
    """Read the log until an event appears."""
    assert sender.process.stderr is not None
    while event not in (line := sender.process.stderr.readline()):
        assert line, f"ended without {event}"


def states(checkpoint: Path) -> Counter[State]:
    with CheckpointReader(checkpoint) as reader:
        return Counter(record.state for record in reader.records([]))


def resumed(source: Path, service: Emulator, rows: list[dict[str, Any]], cwd: Path) -> None:
    """The same command once more: everything has arrived, and once."""
    ran = run(*sending(source, service.url), cwd=cwd)
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(rows))
    assert states(cwd / "bulk-invite.db") == {State.CREATED: len(rows)}


def test_a_signal_while_sending_lets_calls_in_flight_finish_and_be_committed(tmp_path: Path) -> None:
    rows = make_rows(300)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator(latency=0.3) as service:
        with running(*sending(source, service.url), cwd=tmp_path) as sender:
            wait_until(lambda: len(service.calls()) > 5)
            ran, took = stopped(sender)
        assert (ran.code, took < SOON) == (STOPPED, True), (ran.code, took, ran.stderr)
        sent = len(service.invitations())
        assert 5 < sent < 300
        assert ran.json["created"] == states(tmp_path / "bulk-invite.db")[State.CREATED] == sent
        assert ran.json["in_doubt"] == 0
        resumed(source, service, rows, tmp_path)
        assert service.audit()["calls"] == 300


def _throttled(_: Path) -> Any:
    return ScriptedServer(always(refusal("ThrottlingException", headers={"x-amz-retry-after": "50000"})))


def _full_of_doubt(_: Path) -> Any:
    return ScriptedServer(always(refusal("InternalServerException", status=500)))


@pytest.mark.parametrize("server", [_throttled, _full_of_doubt])
def test_a_signal_ends_a_backoff_at_once(tmp_path: Path, server: Callable[[Path], Any]) -> None:
    rows = make_rows(5)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with server(tmp_path) as trouble:
        # A doubtful row waits longer from try to try: by the fifth it is seconds.
        with running(*sending(source, trouble.url), "--max-attempts", "99", cwd=tmp_path) as sender:
            wait_until(lambda: len(trouble.creates) >= (1 if server is _throttled else 25))
            time.sleep(0.2)
            ran, took = stopped(sender)
        assert (ran.code, took < SOON) == (STOPPED, True), (ran.code, took, ran.stderr)
        assert ran.json["created"] == 0
    with emulator() as service:
        resumed(source, service, rows, tmp_path)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_signal_ends_the_wait_for_a_dead_endpoint(tmp_path: Path, *, from_the_start: bool) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    port, ledger = free_port(), tmp_path / "ledger.ndjson"
    command = sending(source, f"http://127.0.0.1:{port}", "--rate", "20")
    with running(*command, cwd=tmp_path) as sender:
        if not from_the_start:
            with emulator(port=port, ledger=ledger) as service:
                wait_until(service.calls)
        has_logged(sender, "endpoint.unreachable")
        has_logged(sender, "endpoint.unreachable")
        ran, took = stopped(sender)
    assert (ran.code, took < SOON) == (STOPPED, True), (ran.code, took, ran.stderr)
    with emulator(ledger=ledger) as service:
        resumed(source, service, rows, tmp_path)


def test_a_signal_ends_the_wait_for_a_silent_pipe(tmp_path: Path) -> None:
    rows = make_rows(3)
    with emulator() as service:
        with running(*sending("-", service.url), cwd=tmp_path, stdin=subprocess.PIPE) as sender:
            assert sender.process.stdin is not None
            sender.process.stdin.write(ndjson(rows).decode() + '{"Invitation": {')
            sender.process.stdin.flush()
            wait_until(lambda: len(service.calls()) == 3)
            sender.signal(signal.SIGTERM)
            began = time.monotonic()
            # The pipe stays open until the sender has gone.
            sender.process.wait(PATIENCE)
            ran, took = sender.ended(), time.monotonic() - began
        assert (ran.code, took < SOON) == (STOPPED, True), (ran.code, took, ran.stderr)
        # The unfinished line is no row.
        assert (ran.json["rows"], ran.json["created"]) == (3, 3)
        more = write_rows(tmp_path / "rows.ndjson", make_rows(5))
        resumed(more, service, make_rows(5), tmp_path)


def test_a_stop_before_the_source_was_read_to_its_end_says_so(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(4))
    with running("send", source, "--endpoint-url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path) as sender:
        has_logged(sender, "endpoint.unreachable")
        ran, _ = stopped(sender)
    assert (ran.code, ran.stdout.splitlines()[0]) == (STOPPED, "No row was read.")
    assert run("status", cwd=tmp_path).stdout.splitlines()[0] == "No row was read."
    with emulator() as service:
        command = ("send", "-", "--endpoint-url", service.url)
        with running(*command, cwd=tmp_path, stdin=subprocess.PIPE) as sender:
            assert sender.process.stdin is not None
            sender.process.stdin.write(source.read_text())
            sender.process.stdin.flush()
            wait_until(lambda: len(service.calls()) == 4)
            sender.signal(signal.SIGTERM)
            sender.process.wait(PATIENCE)
            ran = sender.ended()
    assert ran.stdout.splitlines()[0] == "4 of 4 invitations created; the rest of the source was not read."


def test_a_signal_during_the_start_is_harmless(tmp_path: Path) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    # After the first moment at which it can know of a signal: how soon that is, is a matter of the computer.
    delays = (0.0, 0.25, 0.55, 0.85, 1.25, 1.85)

    def interrupted(service: Emulator, number: int, delay: float) -> Ran:
        command = sending(source, service.url, "--rate", "5", "--checkpoint", f"{number}.db")
        with running(*command, cwd=tmp_path, installed=True) as sender:
            wait_until(partial(_catches, sender.process.pid, signal.SIGTERM), step=0.002)
            assert cpu_seconds(sender.process.pid) <= READY
            time.sleep(delay)
            ran, took = stopped(sender, (signal.SIGTERM, signal.SIGINT)[number % 2])
        assert took < SOON
        return ran

    with emulator() as service:
        ran = together(*(partial(interrupted, service, n, delay) for n, delay in enumerate(delays)))
        assert [each.code for each in ran] == [STOPPED] * len(delays), [each.stderr for each in ran]
        assert [each.json["error"]["code"] for each in ran] == ["stopped"] * len(delays)
        assert not any("Traceback" in each.stderr for each in ran)
        assert max(service.messages().values(), default=1) == 1
        resumed(source, service, rows, tmp_path)


def test_a_second_interrupt_aborts_a_slow_call_and_leaves_its_row_in_doubt(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    late = Reply(CREATED, after=60.0)
    with ScriptedServer(always(late, late, CREATED)) as server:
        with running(*sending(source, server.url), "--call-timeout", "90s", cwd=tmp_path) as sender:
            wait_until(lambda: len(server.creates) == 2)
            sender.signal(signal.SIGINT)
            has_logged(sender, "run.draining")
            time.sleep(0.3)
            assert sender.process.poll() is None
            ran, took = stopped(sender, signal.SIGINT)
        assert (ran.code, took < SOON) == (INTERRUPTED, True), (ran.code, took, ran.stderr)
        assert (ran.json["in_doubt"], ran.json["created"]) == (2, 0)
        assert states(tmp_path / "bulk-invite.db") == {State.IN_DOUBT: 2}
        again = run(*sending(source, server.url), cwd=tmp_path)
        assert (again.code, again.json["created"]) == (0, 2)
        assert set(Counter(request.body for request in server.creates).values()) == {2}


def test_status_reports_that_a_sender_was_killed(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(30))
    with emulator() as service:
        sender = start(*sending(source, service.url, "--rate", "10"), cwd=tmp_path)
        wait_until(lambda: len(service.calls()) > 2)
        sender.process.kill()
        assert sender.ended().code == -signal.SIGKILL
        shown = run("status", "--json", cwd=tmp_path).json
        assert (shown["sending"], shown["rows"]) == (False, 30)
        assert shown["created"] + shown["in_doubt"] == shown["attempts"] >= 3
