"""Findings as text, for a terminal or a file, and as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bulk_invite.cli.doctor.check import Finding, Result
from bulk_invite.domain.errors import ChecksFailedError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import standard_output

_STYLES: Final = {
    Result.OK: "green",
    Result.WARNING: "yellow",
    Result.FAILED: "bold red",
    Result.SKIPPED: "dim",
}

_WIDTH: Final = max(len(result) for result in Result)


def show_json(findings: Sequence[Finding]) -> None:
    failed = sum(finding.result is Result.FAILED for finding in findings)
    standard_output.write_object(
        {"ok": is_ok(findings), "checks": [asdict(finding) for finding in findings]},
        ChecksFailedError(failed) if failed else None,
        complete=True,
    )


def is_ok(findings: Sequence[Finding]) -> bool:
    return not any(finding.result is Result.FAILED for finding in findings)


def printer(names: Sequence[str]) -> Callable[[Finding], None]:
    """Prints each finding as its check ends: in columns on a terminal, else one line each."""
    names = [escaped(name) for name in names]
    widest = max(map(len, names), default=0)
    return _to_terminal(widest) if sys.stdout.isatty() else _as_line


def silent(_: Sequence[str]) -> Callable[[Finding], None]:
    """In place of `printer` for JSON, which is printed at the end."""
    return lambda _: None


def summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.result for finding in findings)
    counted = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    topics = dict.fromkeys(finding.topic for finding in findings if finding.topic)
    see = "".join(f"\nSee: bulk-invite manual {topic}" for topic in topics)
    return f"{len(findings)} checks: {counted}.{see}"


def _as_line(finding: Finding) -> None:
    line = f"{finding.result}: {finding.name}: {_sentence(finding.found)}"
    _write(f"{line} {finding.mend}" if finding.mend else line)


def _write(line: str) -> None:
    sys.stdout.write(f"{escaped(line)}\n")
    sys.stdout.flush()


def _to_terminal(widest: int) -> Callable[[Finding], None]:
    console = Console(highlight=False, markup=False)

    def show(finding: Finding) -> None:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=_WIDTH)
        table.add_column(width=widest)
        table.add_column()
        style = _STYLES[finding.result]
        text = Text(escaped(_sentence(finding.found)))
        if finding.mend:
            text.append(f" {escaped(finding.mend)}", style="bold")
        table.add_row(Text(finding.result, style=style), Text(escaped(finding.name)), text)
        console.print(table)

    return show


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
