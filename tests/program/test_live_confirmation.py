"""The question before real invitations are sent, on a terminal; the ledger of the emulator judges."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import CREDENTIALS, FAST, Emulator, emulator, run_on_terminal
from rows import make_row, make_rows, write_rows

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.records import Owner
from bulk_invite.rehearsal.emulator.credentials import Credential

_IDENTIFY = "GetCallerIdentity"
_NOTHING = "Nothing was sent"


def _ask(service: Emulator, cwd: Path, *more: str, **options: Any) -> tuple[int, str, str]:
    command = ("send", "rows.ndjson", "--endpoint-url", service.url, *FAST, "--catalog", "AWS", *more)
    code, stdout, screen = run_on_terminal(*command, cwd=cwd, columns=80, **options)
    return code, stdout, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen).replace("\r", "")


def _result(ran: tuple[int, str, str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(ran[1])
    return result


def _signal(number: signal.Signals, process: subprocess.Popen[bytes]) -> str:
    process.send_signal(number)
    return ""


def test_nothing_is_sent_without_a_yes(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(3))
    with emulator() as service:
        for code, answer in (
            (2, {"typed": "no\n"}),
            (2, {"typed": "\x04"}),
            (2, {"asked": partial(_signal, signal.SIGINT)}),
            (75, {"asked": partial(_signal, signal.SIGTERM)}),
        ):
            ended, stdout, screen = _ask(service, tmp_path, **answer)
            assert (ended, _NOTHING in screen) == (code, True)
            assert json.loads(stdout)["error"]["code"] == ("stopped" if code == 75 else "not_confirmed")
            assert max(map(len, screen.partition("[y/n]")[0].split("\n"))) <= 80
            assert not list(tmp_path.glob("*.db*"))
        assert service.audit()["operations"] == {_IDENTIFY: 4}


def test_the_question_says_what_a_yes_does_and_a_yes_does_it(tmp_path: Path) -> None:
    rows = [make_row(each, Catalog="AWS") for each in range(4)]
    twin = make_row(3, Catalog="AWS")
    twin["Invitation"]["Message"] = "Would you join us?"
    source = write_rows(tmp_path / "rows.ndjson", [*rows, rows[0], twin, make_row(9, Catalog="Sandbox")])
    more = make_row(20, Catalog="AWS")

    def grow(_: subprocess.Popen[bytes]) -> str:
        with source.open("a", encoding="utf-8") as file:
            file.write(write_rows(tmp_path / "more", [more]).read_text(encoding="utf-8"))
        return "Yes\n"

    with emulator() as service:
        limited = _ask(service, tmp_path, "--limit", "1", typed="perhaps\ny\n")
        assert (limited[0], _result(limited)["created"]) == (0, 1)
        code, stdout, screen = _ask(service, tmp_path, asked=grow)
        assert {entry["catalog"] for entry in service.invitations()} == {"AWS"}
        assert service.audit()["created"] == 5
        again = _ask(service, tmp_path, typed="y\n")
        assert (service.audit()["created"], _result(again)["created"]) == (6, 1)
        nothing = _ask(service, tmp_path)
        assert (service.audit()["created"], "[y/n]" in nothing[2]) == (6, False)
    assert limited[2].count("Please answer yes or no") == 1
    assert "About to send 1 real invitation in 1 engagement from account 111122223333." in limited[2]
    text = " ".join(screen.split())
    for sentence in (
        "About to send 4 real invitations in 3 engagements from account 111122223333.",
        "1 of them has the same engagement and account as another row and is sent as well (rows.ndjson:",
        "Not sent: 1 already invited, 1 rejected, 1 duplicate.",
        "An invitation cannot be taken back.",
        "Send 4 invitations to the live catalog AWS?",
    ):
        assert sentence in text
    # One row more than was confirmed waits for the next question.
    assert (code, _result((code, stdout, screen))["pending"]) == (1, 1)
    assert "run.more_than_confirmed" in screen
    assert text.count("row.rejected") == 1  # by the run, not by the look before it


def test_a_source_in_the_results_folder_keeps_the_rows_that_were_not_confirmed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    source = write_rows(tmp_path / "out" / "failed.ndjson", [make_row(1, Catalog="AWS")])
    (tmp_path / "rows.ndjson").symlink_to(source)
    more = write_rows(tmp_path / "more", [make_row(2, Catalog="AWS")])

    def grow(_: subprocess.Popen[bytes]) -> str:
        with source.open("a", encoding="utf-8") as file:
            file.write(more.read_text(encoding="utf-8"))
        return "y\n"

    with emulator() as service:
        ran = _ask(service, tmp_path, "--results", "out", asked=grow)
        assert (ran[0], _result(ran)["created"], _result(ran)["pending"]) == (1, 1, 1)
        again = _ask(service, tmp_path, "--results", "out", typed="y\n")
        assert (again[0], _result(again)["created"], service.audit()["created"]) == (0, 1, 2)


def test_another_account_than_the_confirmed_one_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "rows.ndjson", [make_row(1, Catalog="AWS")])
    keys = tmp_path / "credentials"

    def use(name: str) -> None:
        keys.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = example\n")

    def switch(_: subprocess.Popen[bytes]) -> str:
        use("AKIDOTHER")
        return "y\n"

    for name in list(CREDENTIALS):
        monkeypatch.delitem(CREDENTIALS, name)
    monkeypatch.setitem(CREDENTIALS, "AWS_SHARED_CREDENTIALS_FILE", str(keys))
    accounts = (Credential.parse("AKIDMINE:example"), Credential.parse("AKIDOTHER:example:999988887777"))
    with emulator(credentials=accounts) as service:
        use("AKIDMINE")
        code, stdout, screen = _ask(service, tmp_path, asked=switch)
        assert (code, json.loads(stdout)["error"]["code"]) == (2, "not_confirmed")
        assert "confirmed for account 111122223333" in " ".join(screen.split())
        use("AKIDOTHER")  # the checkpoint is still free for it
        assert _ask(service, tmp_path, typed="y\n")[0] == 0
        assert [entry["account"] for entry in service.invitations()] == ["999988887777"]


def test_a_checkpoint_whose_creation_was_interrupted_is_none_yet(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.ndjson", [make_row(1, Catalog="AWS")])
    with closing(sqlite3.connect(tmp_path / "bulk-invite.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # a killed run had come as far
    with emulator() as service:
        assert _result(_ask(service, tmp_path, "--dry-run"))["pending"] == 1
        assert _result(_ask(service, tmp_path, typed="y\n"))["created"] == 1


@pytest.mark.parametrize("whose", ["of another sender", "of another account"])
def test_a_checkpoint_that_cannot_be_used_is_refused_before_the_question(tmp_path: Path, whose: str) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(1))
    with emulator() as service, CheckpointWriter.open(tmp_path / "bulk-invite.db", catalog="AWS") as writer:
        if whose == "of another account":
            writer.claim(Owner("999988887777", ""))
            writer.__exit__(None, None, None)
        code, _, screen = _ask(service, tmp_path, typed="n\n")
    assert (code, "About to send" in screen) == (4, False)
    assert ("belongs to account 999988887777" if "account" in whose else "Another sender") in screen


def test_an_account_that_sts_does_not_name_does_not_prevent_the_question(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.ndjson")
    with emulator(no_sts=True) as service:
        code, _, screen = _ask(service, tmp_path, typed="n\n")
    assert code == 2
    assert "from an account that could not be named" in " ".join(screen.split())
    assert "is not known before they are sent" in screen
