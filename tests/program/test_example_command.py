"""`example` and `schema`: rows to copy from."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from command import run, together


def test_rows_without_a_token_can_be_copied(tmp_path: Path) -> None:
    with_token, without, lead = together(
        partial(run, "example", cwd=tmp_path),
        partial(run, "example", "--without-token", cwd=tmp_path),
        partial(run, "example", "--without-token", "--type", "lead", cwd=tmp_path),
    )
    assert all("ClientToken" in row for row in with_token.lines)
    assert "Remove ClientToken from rows that you copy (or use --without-token)" in with_token.stderr
    assert without.lines == [
        {name: value for name, value in row.items() if name != "ClientToken"} for row in with_token.lines
    ]
    assert [list(row["Invitation"]["Payload"]) for row in without.lines] == [
        ["OpportunityInvitation"],
        ["LeadInvitation"],
    ]
    assert lead.lines == without.lines[1:]
    assert without.stderr == lead.stderr == ""
    (tmp_path / "rows.ndjson").write_text(without.stdout)
    checked = run("validate", "rows.ndjson", cwd=tmp_path)
    assert (checked.code, "warning: " in checked.said) == (0, False), checked.said


def test_the_schema_describes_the_example(tmp_path: Path) -> None:
    properties = run("schema", cwd=tmp_path).json["properties"]
    assert "such as eng-0123456789abcd" in properties["EngagementIdentifier"]["description"]
