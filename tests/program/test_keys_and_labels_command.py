"""Keys and labels as an operator uses them, judged by the emulator's ledger."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command import FAST, emulator, run, running, together, wait_until
from crm import filled, with_outcomes
from database import Database
from rows import make_row, messages, ndjson, read_rows, write_rows
from test_secrets import marked

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.settings.loading import load, require_effect
from bulk_invite.runs.wiring.sources import open_sources
from bulk_invite.runs.wiring.validator import make_validator

BY_KEY = ("--token-from", "key")


def keyed(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [
        make_row(number, _bulk_invite={"key": number, "label": f"Partner {number}"})
        for number in range(start, start + count)
    ]


def edited(row: dict[str, Any], message: str, **ours: Any) -> dict[str, Any]:
    return {
        **row,
        "Invitation": {**row["Invitation"], "Message": message},
        "_bulk_invite": {**row["_bulk_invite"], **ours},
    }


def codes(path: Path) -> dict[Any, str]:
    """The code of each row by its key."""
    found = [row["_bulk_invite"] for row in read_rows(path)]
    return {ours.get("key"): ours["errors"][0]["code"] for ours in found}


def test_an_edited_export_of_another_name_invites_nobody_twice(tmp_path: Path) -> None:
    march = keyed(5)
    # A typo corrected, a row added, a row without a key, one whose label has changed; all in another order.
    april = [*march[2:], march[1], edited(march[0], "typo corrected"), *keyed(1, start=5)]
    april[1] = {**april[1], "_bulk_invite": {"key": "3", "label": "moved"}}
    april.append(make_row(7, _bulk_invite={"label": "no key"}))
    write_rows(tmp_path / "march.ndjson", march)
    (tmp_path / "april.ndjson.gz").write_bytes(gzip.compress(ndjson(april)))
    with emulator() as service:
        to = ("--endpoint-url", service.url, *FAST)
        first = run("send", "march.ndjson", *to, *BY_KEY, "--limit", "4", cwd=tmp_path)
        assert (first.code, first.json["created"]) == (0, 4), first.stderr
        ran = run("send", "april.ndjson.gz", *to, *BY_KEY, "--results", "out", cwd=tmp_path)
        assert (ran.code, ran.json["created"], ran.json["already_created"]) == (1, 2, 3), ran.stderr
        assert codes(tmp_path / "out" / "rejected.ndjson") == {0: "changed_since_sent", None: "missing_key"}
        assert service.messages() == Counter(messages([*march, *keyed(1, start=5)]))

        refused = together(
            lambda: run("send", "april.ndjson.gz", *to, cwd=tmp_path),
            lambda: run(
                *("send", "-", *to, *BY_KEY, "--key", "$.EngagementIdentifier"),
                cwd=tmp_path,
                stdin=ndjson(april),
            ),
            lambda: run("send", "april.ndjson.gz", *to, "--dry-run", cwd=tmp_path),
            lambda: run("send", "april.ndjson.gz", *to, "--no-json", cwd=tmp_path),
        )
        assert refused[-1].stdout == "", "no table of zeros"
        for each in refused:
            assert each.code == 2
            assert "would send all of them again" in each.said
            assert "or use a new --campaign" in each.said

        # The rejected rows as they are, once they are corrected.
        rejected = [
            edited(row, "corrected", **({} if "key" in row["_bulk_invite"] else {"key": 7}))
            for row in read_rows(tmp_path / "out" / "rejected.ndjson")
        ]
        write_rows(tmp_path / "again.ndjson", rejected)
        again = run("send", "again.ndjson", *to, *BY_KEY, cwd=tmp_path)
        assert (again.json["created"], again.json["rejected"]) == (1, 1)
        assert len(service.invitations()) == 7
    labels = {row["label"] for row in run("export", "--state", "created", cwd=tmp_path).lines}
    assert labels == {"Partner 0", "Partner 1", "Partner 2", "moved", "Partner 4", "Partner 5", "no key"}


def test_a_database_and_a_file_are_read_by_their_own_keys(db: Database, tmp_path: Path) -> None:
    filled(db, 2)
    db.run("ALTER TABLE invitations ADD COLUMN partner text")
    db.run("UPDATE invitations SET partner = 'Partner ' || id || E'\\n'")
    with_outcomes(db)
    db.run("ALTER TABLE outcomes DROP COLUMN label")
    to = ("--table", "invitations", "--key", "id", "--label", "partner", *BY_KEY)
    outcomes = ("--write-back", "outcomes")
    with emulator() as service:
        more = ("--endpoint-url", service.url, *FAST)
        write_rows(tmp_path / "rows.ndjson", keyed(2, start=10))
        mixed = run(
            "send", db.reader, "rows.ndjson", *to, *more, "--results", "out", cwd=tmp_path, env=db.env
        )
        assert (mixed.code, mixed.json["created"]) == (0, 4), mixed.stderr
        named = {row["label"] for row in read_rows(tmp_path / "out" / "created.ndjson")}
        assert named == {"Partner 1", "Partner 2", "Partner 10", "Partner 11"}
        # A table of an earlier version works, and init-db adds the column.
        old = run("send", db.reader, *to, *more, *outcomes, cwd=tmp_path, env=db.env)
        assert (old.code, "write_back.no_labels" in old.stderr) == (0, True), old.stderr
        at = ("init-db", db.url, *to[:6], *outcomes)
        assert run(*at, cwd=tmp_path, env=db.env).stdout == "Table outcomes already exists; it is writable.\n"
        assert run("send", db.reader, *to, *more, *outcomes, cwd=tmp_path, env=db.env).code == 0
        assert db.run("SELECT key, label FROM outcomes ORDER BY key") == [(1, "Partner 1"), (2, "Partner 2")]
        db.run("UPDATE invitations SET partner = 'renamed' WHERE id = 1")
        assert run("send", db.reader, *to, *more, *outcomes, cwd=tmp_path, env=db.env).json["attempts"] == 0
        assert db.run("SELECT label FROM outcomes WHERE key = 1") == [("renamed",)]
        assert len(service.calls()) == 4


def test_a_corrected_file_in_a_followed_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_rows(tmp_path / "in" / "march.ndjson", keyed(2))
    with emulator() as service:
        command = ("in", "--endpoint-url", service.url, *BY_KEY, "--log-format", "json", "--rate", "100")
        with running("serve", *command, "--poll-interval", "100ms", cwd=tmp_path) as server:
            wait_until(lambda: len(service.invitations()) == 2)
            write_rows(tmp_path / "in" / "april.tmp", [edited(keyed(1)[0], "corrected"), *keyed(1, start=2)])
            (tmp_path / "in" / "april.tmp").rename(tmp_path / "in" / "april.ndjson")
            wait_until(lambda: len(service.invitations()) == 3)
            server.process.terminate()
            ran = server.ended()
    (reported,) = [event for event in ran.events if event["event"] == "row.rejected"]
    assert reported["errors"] == ["changed_since_sent at $"]
    assert (reported["position"], reported["label"]) == ("in/april.ndjson:1", "Partner 0")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "$.Invitation.Message", "token_from": "key"}, "leads to a sensitive field"),
        ({"key": "$.Invitation.Receiver.Account.Alias", "token_from": "key"}, "leads to a sensitive field"),
        ({"key": "$.Invitation", "token_from": "key"}, "a row has no text there"),
        ({"key": "$._bulk_invite.position", "token_from": "key"}, "_bulk_invite has no such field"),
        ({"key": "$.EngagementIdentifier"}, "has no effect without --token-from key"),
        ({"key": "id", "token_from": "key"}, "--key has no effect: no source is a database"),
        ({"key": "$..x", "token_from": "key"}, "expected a path such as"),
        ({"label": "$.Invitation.Message"}, "leads to a sensitive field"),
        ({"label": "name"}, "--label has no effect: no source is a database"),
    ],
)
def test_keys_and_labels_that_cannot_be_meant_are_refused(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    source = str(write_rows(tmp_path / "rows.ndjson", keyed(1)))
    with pytest.raises(UsageError) as raised:
        _prepare(source, options)
    assert said in str(raised.value)
    if "sensitive" in said and "label" in options:
        assert "--label-sensitive" in raised.value.hint
        _prepare(source, {**options, "label_sensitive": "true"})


def _prepare(source: str, options: dict[str, str]) -> None:
    require_effect([source], options)
    settings = load(options, None, {})
    open_sources([source], settings)
    make_validator(settings)


def test_a_column_of_a_sensitive_member_is_no_label(tmp_path: Path) -> None:
    columns = json.dumps({"EngagementIdentifier": "e", "Invitation.Message": "text"})
    at = (
        "postgresql://127.0.0.1:9/x",
        "--table",
        "t",
        "--key",
        "id",
        "--columns",
        columns,
        "--label",
        "text",
    )
    for command in ("validate", "send"):
        ran = run(command, *at, cwd=tmp_path)
        assert ran.code == 2
        assert "--label text: its column has a sensitive field" in ran.said


def test_no_label_reveals_data_of_its_row_unless_that_is_allowed(tmp_path: Path) -> None:
    rows = [marked(number) for number in range(4)]
    companies = [json.dumps(row).partition('"CompanyName": "')[2].partition('"')[0] for row in rows]
    for row, company in zip(rows, companies, strict=True):
        row["_bulk_invite"] = {"label": f"{company.upper()}, wave 2"}
    rows[2]["EngagementIdentifier"] = "wrong"
    rows[3]["_bulk_invite"]["label"] = "wave 2"
    write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        command = ("rows.ndjson", "--endpoint-url", service.url, *FAST, "--log-level", "debug")
        ran = run("send", *command, "--results", "out", cwd=tmp_path)
        assert (ran.code, ran.json["created"]) == (1, 3), ran.stderr
        assert Counter(event.get("code") for event in ran.events)["sensitive_label"] == 2
        seen = [
            ran.stdout,
            ran.stderr,
            run("export", cwd=tmp_path).stdout,
            run("report", cwd=tmp_path).stdout,
        ]
        seen += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("bulk-invite.db*")]
        seen.append((tmp_path / "out" / "created.ndjson").read_text())
        for company in companies:
            assert not [text for text in seen if company.lower() in text.lower()]
        assert "wave 2" in seen[2]
        kept = run("send", *command, "--label-sensitive", cwd=tmp_path)
        assert kept.json["already_created"] == 3
    labels = {row["label"] for row in run("export", "--state", "created", cwd=tmp_path).lines}
    assert labels == {*(f"{company.upper()}, wave 2" for company in companies[:2]), "wave 2"}
