"""`bulk-invite emulator` as a separate program."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import pytest
from command import cpu_seconds
from emulator_client import create_request, post
from emulator_process import emulator_process, start_emulator
from typer.testing import CliRunner

from bulk_invite.rehearsal.emulator.__main__ import app
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.option_fields import flags
from bulk_invite.rehearsal.emulator.options import Options

COMMAND = [sys.executable, "-m", "bulk_invite.rehearsal.emulator"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False)


def test_the_emulator_prints_one_line_with_its_url(tmp_path: Path) -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        assert process.stdout.read() == ""
    assert line.startswith("listening on http://127.0.0.1:")
    assert post_ok(line) is False, "it still listens"
    with emulator_process(ledger=tmp_path / "ledger.ndjson") as emulator:
        assert post(emulator.url, create_request())[0] == 200
        assert json.loads(emulator._get("/_emulator/health"))["ledger"] == str(tmp_path / "ledger.ndjson")


def post_ok(line: str) -> bool:
    try:
        return post(line.removeprefix("listening on ").strip(), create_request())[0] == 200
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_emulator_at_once_despite_slow_answers(which: signal.Signals) -> None:
    with emulator_process("--fault-slow", "1", "--slow-for", "60s", "--fault-committed", "1") as emulator:
        waiting = [threading.Thread(target=_ignored, args=(emulator.url, number)) for number in range(4)]
        for thread in waiting:
            thread.start()
        deadline = time.monotonic() + 10
        while emulator.audit()["calls"] < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        start = time.monotonic()
        emulator.process.send_signal(which)
        assert emulator.process.wait(10) == 0
        assert time.monotonic() - start < 2
        _, errors = emulator.process.communicate(timeout=5)
        for thread in waiting:
            thread.join()
    assert errors == ""


def _ignored(url: str, number: int) -> None:
    try:
        post(url, create_request(number))
    except OSError:
        return


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--latency", "5"], "'5' is not a duration"),
        (["--rate", "fast"], "'fast' is not a number"),
        (["--rate", "0"], "--rate must be more than 0"),
        (["--rate", "nan"], "--rate must be more than 0"),
        (["--daily-quota", "1.5"], "'1.5' is not a whole number"),
        (["--burst", "3"], "--burst needs --rate"),
        (["--rate-trace", "10,20m:4"], "--rate-trace must be DURATION:RATE"),
        (["--rate-trace", "0s:10,20:4"], "--rate-trace must be DURATION:RATE"),
        (["--rate-trace", "0s:10:5"], "--rate-trace must be DURATION:RATE"),
        (["--rate-trace", "1s:10"], "--rate-trace must start at 0s"),
        (["--rate-trace", "0s:10,2m:4,1m:2"], "times of --rate-trace must ascend"),
        (["--rate-trace", "0s:10,0s:4"], "times of --rate-trace must ascend"),
        (["--rate-trace", "0s:10,1m:0"], "rates of --rate-trace must be more than 0"),
        (["--rate-trace", "0s:nan"], "rates of --rate-trace must be more than 0"),
        (["--rate-trace", "0s:10", "--rate", "3"], "Use --rate or --rate-trace"),
        (["--fixed-window", "1s"], "--fixed-window needs --rate"),
        (["--fixed-window", "1s", "--rate-trace", "0s:10"], "--fixed-window needs --rate"),
        (["--fixed-window", "0s", "--rate", "3"], "--fixed-window must be more than 0"),
        (["--fixed-window", "1s", "--rate", "3", "--burst", "3"], "Use --fixed-window or --burst"),
        (["--refusal-cost", "-1", "--rate", "3"], "--refusal-cost must be 0 or more"),
        (["--refusal-cost", "1"], "--refusal-cost needs a bucket"),
        (["--refusal-cost", "1", "--rate", "3", "--fixed-window", "1s"], "--refusal-cost needs a bucket"),
        (["--other-rate", "1"], "--other-rate needs a quota to share"),
        (["--rate", "3", "--other-on", "1s", "--other-off", "1s"], "--other-on needs --other-rate"),
        (
            ["--rate", "3", "--other-rate", "1", "--other-on", "1s"],
            "--other-on and --other-off need each other",
        ),
        (
            ["--rate", "3", "--other-rate", "1", "--other-on", "0s", "--other-off", "1s"],
            "--other-on must be more than 0",
        ),
        (["--port", "70000"], "--port must be between 0 and 65535"),
        (["--day", "0s"], "--day must be more than 0"),
        (["--fault-500", "1.5"], "--fault-500 must be a probability"),
        (["--fault-500", "0.6", "--fault-close", "0.6"], "add up to more than 1"),
        (["--credentials", "KEY"], "must be KEY:SECRET"),
        (["--expired-credentials", "KEY"], "is not among the --credentials"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_an_impossible_option_ends_with_2_and_an_error(arguments: list[str], says: str) -> None:
    # An address without a listener: a command accepted by mistake ends with 4 and does not run forever.
    ended = CliRunner().invoke(app, ["--host", "192.0.2.1", *arguments])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert says in " ".join(ended.stderr.replace("│", " ").split())


def test_a_port_in_use_or_an_invalid_ledger_ends_with_4_and_an_error(tmp_path: Path) -> None:
    with emulator_process() as emulator:
        ended = _run("--port", str(emulator.port))
        assert (ended.returncode, ended.stdout) == (4, "")
        assert f"bulk-invite: Cannot listen on 127.0.0.1 port {emulator.port}: Address already in use." in (
            ended.stderr
        )
    rows = tmp_path / "rows.ndjson"
    rows.write_text("{}\n")
    ended = _run("--ledger", str(rows))
    assert ended.returncode == 4
    assert "is not an emulator's ledger" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_help_names_every_option_and_shows_examples() -> None:
    help_text = _run("-h").stdout
    for kind in (Options, FaultOptions):
        named = flags(kind)
        assert set(named) == {each.name for each in fields(kind)} - {"faults"}
        for flag in named.values():
            assert f"{flag.name} " in help_text
            assert len(flag.help) > 10
    assert "curl http://127.0.0.1:8080/_emulator/audit" in help_text


def test_the_command_line_reaches_the_options(tmp_path: Path) -> None:
    """One emulator with an option of every form; each shows in its answers."""
    arguments = [
        *("--credentials", "K:s:444455556666", "--credentials", "L:t", "--rate", "none"),
        *("--daily-quota", "2", "--unknown-engagement", "eng-unknown*", "--unknown-engagement", "eng-gone*"),
        *("--latency", "100ms", "--fault-throttle", "0", "--seed", "5"),
    ]
    with emulator_process(*arguments, ledger=tmp_path / "ledger.ndjson") as emulator:
        assert post(emulator.url, create_request())[0] == 403
    with emulator_process(*arguments[4:], ledger=tmp_path / "open.ndjson") as emulator:
        for engagement in ("eng-unknown0000001", "eng-gone0000000001"):
            start = time.monotonic()
            assert b"ResourceNotFound" in post(emulator.url, create_request(1, engagement=engagement))[2]
            assert time.monotonic() - start >= 0.1
        assert b"ThrottlingException" in post(emulator.url, create_request(2))[2]


def test_the_emulator_is_fast_enough_to_measure_a_sender() -> None:
    """A floor far below its usual rate (some 3,500 a second), to notice when something becomes quadratic."""
    with emulator_process() as emulator:
        senders = [threading.Thread(target=_send, args=(emulator.url, lane)) for lane in range(2)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        audit, seconds = emulator.audit(), cpu_seconds(emulator.process.pid)
    assert audit["invitations"] == 2000
    assert audit["invitations"] / seconds > 700


def _send(url: str, lane: int) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    headers = {"X-Amz-Target": "AWSPartnerCentralSelling.CreateEngagementInvitation"}
    for number in range(1000):
        connection.request("POST", "/", json.dumps(create_request(lane * 1000 + number)), headers)
        connection.getresponse().read()
    connection.close()


def test_the_helper_says_why_an_emulator_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="ended with 2"):
        start_emulator("--rate", "0")
