"""A scenario over real HTTP: the installed sender and real SDK clients against a real emulator.

The emulator's ledger, not the sender, determines which calls were granted and throttled.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from bulk_invite.rehearsal.emulator.option_fields import flags
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import allowance
from bulk_invite.rehearsal.simulation.scenario import Scenario
from bulk_invite.rehearsal.simulation.sdk_live import run_sdk
from bulk_invite.rehearsal.simulation.subprocesses import (
    PATIENCE,
    ProgramError,
    started_emulator,
    started_sender,
)
from bulk_invite.rehearsal.simulation.virtual_run import SimulatedCall, Trial
from bulk_invite.validation import examples, service_model

_AT_THE_EDGES: Final = 2.0
"""Seconds for a sender to start, and to stop."""

_POLL: Final = 0.1
"""Seconds between two checks whether a sender has started."""

_PER_ENGAGEMENT: Final = 9


def send_live(scenario: Scenario, length: float) -> Trial:
    """`bulk-invite send` for `length` seconds. Raises ProgramError."""
    with (
        tempfile.TemporaryDirectory(prefix="bulk-invite-") as folder,
        started_emulator(*_flags(scenario.server)) as url,
    ):
        source = Path(folder) / "rows.ndjson"
        with source.open("wb") as file:
            for _, request in zip(range(_rows(scenario, length)), _requests(), strict=False):
                file.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))
        options = ["--endpoint-url", url, "--checkpoint", str(Path(folder) / "checkpoint.db"), "--json"]
        options += ["--progress", "off", "--log-level", "error"]
        for name, value in scenario.sender.items():
            options += [f"--{name.replace('_', '-')}", str(value)]
        with started_sender([str(source)], *options) as process:
            _let_run(process, url, length)
        return _trial(url, length)


def send_by_sdk(
    scenario: Scenario, length: float, mode: Literal["standard", "adaptive"], workers: int
) -> Trial:
    """An SDK client in one of its retry modes for `length` seconds. Raises ProgramError."""
    with started_emulator(*_flags(scenario.server)) as url:
        # A separate process, so that its threads do not share the GIL with other work.
        process = multiprocessing.get_context("spawn").Process(
            target=_run_sdk, args=(url, mode, length + _AT_THE_EDGES, workers), daemon=True
        )
        process.start()
        process.join(length + PATIENCE)
        if process.is_alive():
            process.kill()
            raise ProgramError("The SDK client did not end in time.")
        return _trial(url, length)


def _run_sdk(url: str, mode: Literal["standard", "adaptive"], seconds: float, workers: int) -> None:
    run_sdk(url, mode, _requests(), seconds, workers)


def _let_run(process: subprocess.Popen[bytes], url: str, length: float) -> None:
    """Let the sender run for slightly more than `length` seconds from its first call.

    Its start is not counted, because it depends on the machine. Raises ProgramError where it ends early.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None and not _calls(url):
        time.sleep(_POLL)
    try:
        code = process.wait(length + _AT_THE_EDGES)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    else:
        raise ProgramError(f"The sender ended early, with exit code {code}.")


def _calls(url: str) -> int:
    with _opened(f"{url}/_emulator/health") as answer:
        return int(json.load(answer)["calls"])


def _opened(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=PATIENCE)  # noqa: S310 - ours


def _requests() -> Iterator[dict[str, Any]]:
    """An endless stream of valid requests with unique tokens."""
    template = examples(service_model.load())[0]
    for number in count():
        yield {
            **template,
            "Catalog": "Sandbox",
            "ClientToken": f"live-{number:08}",
            "EngagementIdentifier": f"eng-{number // _PER_ENGAGEMENT:014}",
        }


def _rows(scenario: Scenario, length: float) -> int:
    """More rows than the server can grant."""
    return int(allowance(scenario.options, 0.0, length + PATIENCE)) + 1000


def _trial(url: str, length: float) -> Trial:
    with _opened(f"{url}/_emulator/calls") as answer:
        entries = [json.loads(line) for line in answer]
    creates = [call for call in entries if call["operation"] == "CreateEngagementInvitation"]
    if not creates:
        raise ProgramError("No call reached the emulator.")
    began = creates[0]["time"]
    return Trial(
        length, [SimulatedCall(call["time"] - began, not call["charged"], None, 0) for call in creates]
    )


def _flags(server: Mapping[str, Any]) -> list[str]:
    known = flags(Options)
    words: list[str] = []
    for name, value in server.items():
        words += [known[name].name] if value is True else [known[name].name, str(value)]
    return words
