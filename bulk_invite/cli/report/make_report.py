"""The work of `report`: reads a checkpoint and writes what it says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import typer

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report import html_file
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.page import page
from bulk_invite.cli.report.wording import verdict
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.late_log import LateLog
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader

_STANDARD_OUTPUT: Final = "-"


def make_report(settings: Settings, html: str | None) -> None:
    """Raises typer.Exit if an audit check fails, and BulkInviteError."""
    if html == _STANDARD_OUTPUT and settings.json_output:
        raise UsageError(
            "--json and --html - both write to standard output.",
            hint="Use one of them, or --html FILE.",
            topic="results",
        )
    path = Path(html) if html not in {None, _STANDARD_OUTPUT} and html is not None else None
    if path is not None:
        html_file.check(path)
    with open_reader(settings, LateLog(settings).set_up) as checkpoint:
        proof = checkpoint.proof(time.time())
    if path is not None:
        html_file.write(path, page(proof))
    if settings.json_output:
        standard_output.write_object(members(proof), complete=not (proof.rows_open or proof.active))
    else:
        standard_output.write(_rendered(proof, html))
    if not proof.adds_up:
        raise typer.Exit(1)


def _rendered(proof: Proof, html: str | None) -> str:
    match html:
        case None:
            return summary(proof)
        case "-":
            return page(proof)
        case _:
            return f"{escaped(html)}: {verdict(proof)}\n"
