"""The work of `demo`: a crash in the middle of a run, checked against the ledger of the emulator."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from bulk_invite.cli.demo.rows import (
    FORBIDDEN_ENGAGEMENT,
    PER_ENGAGEMENT,
    UNKNOWN_ENGAGEMENT,
    DemoRows,
    make_rows,
    message_of,
)
from bulk_invite.rehearsal.simulation.subprocesses import (
    PATIENCE,
    ProgramError,
    clean_environment,
    program,
    started_emulator,
    started_sender,
)

_QUOTA: Final = 25
"""Calls per second that the emulator allows; 500 rows take about twenty seconds."""

_RATE: Final = 28
"""Calls per second that the sender starts with: slightly too fast, so that it has to slow down."""

_FAULTS: Final = (
    "--fault-500",
    "--fault-reset-before",
    "--fault-reset-after",
    "--fault-close",
    "--fault-empty",
)
_FAULT_SHARE: Final = 0.01


def run_demo() -> None:
    """Raises typer.Exit with the exit code."""
    console = Console(highlight=False)
    rows = make_rows(random.Random(2022))  # noqa: S311 - the same demo every time
    with tempfile.TemporaryDirectory(prefix="bulk-invite-demo-") as folder:
        source = Path(folder) / "invitations.ndjson"
        source.write_bytes(b"\n".join(rows.lines) + b"\n")
        with _emulator(Path(folder) / "ledger.ndjson") as ledger:
            sender = _Sender(ledger.url, source, Path(folder) / "checkpoint.db")
            console.print(f"A local emulator allows {_QUOTA} calls per second; some fail on purpose.")
            console.print(f"Sending {len(rows.lines)} rows; the sender will be killed halfway:\n")
            sender.run_and_kill(ledger, at=len(rows.to_arrive) // 2)
            known = sender.status()
            console.print(
                f"\nKilled (SIGKILL). The emulator's ledger has {len(ledger.messages())} invitations; the "
                f"checkpoint has {known['created']} created and {known['in_doubt']} in doubt.\n"
                "Running the same command again:\n"
            )
            comparison = _Comparison.of(rows, ledger, sender.run(), sender.status())
    _show(console, rows, comparison)
    raise typer.Exit(0 if comparison.is_clean else 1)


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The emulator's ledger, read over HTTP."""

    url: str

    def audit(self) -> dict[str, Any]:
        audit: dict[str, Any] = json.loads(self._get("/_emulator/audit"))
        return audit

    def messages(self) -> Counter[str]:
        """Invitations per message; each row has its own message."""
        lines = self._get("/_emulator/ledger?full=1").splitlines()
        return Counter(message_of(json.loads(line)["request"]) for line in lines)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:  # noqa: S310 - our own URL
            body: bytes = answer.read()
        return body


@dataclass(frozen=True, slots=True)
class _Sender:
    """The installed program, run as an operator would run it."""

    url: str
    source: Path
    checkpoint: Path

    def run(self) -> int:
        """Send to the end; returns the exit code."""
        with self._started() as process:
            return process.wait(PATIENCE)

    def run_and_kill(self, ledger: _Ledger, *, at: int) -> None:
        """Send, and kill the sender once the ledger has `at` invitations."""
        with self._started() as process:
            deadline = time.monotonic() + PATIENCE
            while ledger.audit()["invitations"] < at:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ProgramError("The sender ended or stalled before it could be killed.")
                time.sleep(0.05)
            process.kill()
            process.wait(PATIENCE)

    def status(self) -> dict[str, Any]:
        command = [*program("status"), "--checkpoint", str(self.checkpoint), "--json"]
        ran = subprocess.run(  # noqa: S603 - ours
            command, env=clean_environment(), capture_output=True, timeout=PATIENCE, check=True
        )
        status: dict[str, Any] = json.loads(ran.stdout)
        return status

    def _started(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        options = ["--checkpoint", str(self.checkpoint), "--endpoint-url", self.url, "--rate", str(_RATE)]
        options += ["--json", "--log-level", "error"]
        return started_sender([str(self.source)], *options)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The ledger compared with the rows and with the checkpoint."""

    lost: int
    twice: int
    unexpected: int
    exit_code: int
    audit: dict[str, Any]
    status: dict[str, Any]
    as_expected: bool

    @classmethod
    def of(cls, rows: DemoRows, ledger: _Ledger, exit_code: int, status: dict[str, Any]) -> _Comparison:
        messages = ledger.messages()
        filled = sum(1 for message in rows.at_will if messages[message])
        return cls(
            lost=sum(1 for message in rows.to_arrive if not messages[message])
            + max(0, PER_ENGAGEMENT - filled),
            twice=sum(1 for count in messages.values() if count > 1),
            unexpected=len(messages.keys() - rows.to_arrive - rows.at_will),
            exit_code=exit_code,
            audit=ledger.audit(),
            status=status,
            as_expected=all(status[state] == count for state, count in rows.expected.items()),
        )

    @property
    def is_clean(self) -> bool:
        # Exit code 1: some rows are rejected, refused and deferred on purpose.
        return not (self.lost or self.twice or self.unexpected) and self.as_expected and self.exit_code == 1


@contextmanager
def _emulator(path: Path) -> Iterator[_Ledger]:
    options = ["--ledger", str(path), "--latency", "30ms", "--rate", str(_QUOTA), "--burst", "5"]
    options += ["--invitations-per-engagement", str(PER_ENGAGEMENT)]
    options += ["--unknown-engagement", UNKNOWN_ENGAGEMENT, "--forbidden-engagement", FORBIDDEN_ENGAGEMENT]
    for fault in _FAULTS:
        options += [fault, str(_FAULT_SHARE)]
    with started_emulator(*options) as url:
        yield _Ledger(url)


def _show(console: Console, rows: DemoRows, comparison: _Comparison) -> None:
    table = Table(title="Emulator ledger compared with the rows", title_justify="left")
    for name in ("", "expected", "found"):
        table.add_column(name, justify="left" if not name else "right")
    for state, count in rows.expected.items():
        table.add_row(f"rows {state}", str(count), str(comparison.status[state]))
    table.add_section()
    table.add_row(
        "invitations in the ledger", str(rows.expected["created"]), str(comparison.audit["invitations"])
    )
    table.add_row("lost", "0", str(comparison.lost))
    table.add_row("sent twice", "0", str(comparison.twice))
    table.add_row("not in the source", "0", str(comparison.unexpected))
    table.add_section()
    audit = comparison.audit
    table.add_row("calls", "", str(audit["operations"]["CreateEngagementInvitation"]))
    table.add_row("  throttled", "", str(audit["throttled"]))
    table.add_row("  failed on purpose", "", str(sum(audit["faults"].values())))
    table.add_row("  repeated, recognized by token", "", str(audit["replayed"]))
    console.print()
    console.print(table)
    if comparison.is_clean:
        console.print("[bold green]Result: nothing lost, nothing sent twice.[/]")
    else:
        console.print("[bold red]Result: the ledger does not match; see the figures above.[/]")
