"""The commands of README and the manual work as they are copied, each chapter in order, from nothing.

A chapter is run by bash in a new home with no other variables than PATH, HOME and TERM, against an emulator
and a database of the tests' own. A command that is added to a chapter is run by itself; NOT_RUN lists what is
not, and why. What the documents show below a command is what it prints, unless ILLUSTRATED has it.
"""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from chapters import outputs, script
from command import ScriptedServer, always, emulator, free_port, http
from database import Database
from documents import MANUAL, ROOT, Copy, copies, languages
from faults.needs import need
from rows import make_rows, write_rows
from terminal import command_on_path, run_script

CHAPTERS: Final = {
    file.stem: list(copies(file.read_text(encoding="utf-8")))
    for file in (ROOT / "README.md", *sorted(MANUAL.glob("*.md")))
}

NOT_RUN: Final = {
    r"^python3 -m venv .*pip install \. && .*bulk-invite demo": "test_docs.py runs the demo",
    r"^python3 -m venv .*pytest": "these are the tests; .ci/run runs it",
    r"^bulk-invite simulate": "minutes; tests/rehearsal runs scenarios, test_plot.py draws",
    r"^useradd ": "needs root and changes the machine",
    r"^git pull|^python3 -m venv /opt|^/opt/.*(pip|status|doctor)|^ln -sfn ": "changes /opt, needs a network",
    r"^systemctl |^systemd-(analyze|run) |^journalctl ": "needs systemd; test_docs.py parses the commands",
}
"""Patterns of commands, and why they are not run here. test_docs.py parses those of the program."""

_INTERRUPTED: Final = "timeout --preserve-status --signal INT 2"

PREFIXES: Final = {
    r"^bulk-invite serve .*--listen 127": _INTERRUPTED,
    r"^bulk-invite status --watch": _INTERRUPTED,
    r"^bulk-invite health": "at_last",
}
"""Commands that run until a signal, and one that reports what becomes so a moment later."""

REHEARSED_FIRST: Final = {"pacing", "results", "unknown-outcomes"}
"""Chapters about a checkpoint that the reader already has."""

WITHOUT_CREDENTIALS: Final = {"rehearsal"}
"""Chapters that bring their own; of all others the reader has a profile, and they send to the emulator."""

ILLUSTRATED: Final = {
    "bulk-invite doctor": "a machine in production, with findings of every kind",
    "bulk-invite send invitations.ndjson --dry-run": "a backfill of five days",
    "bulk-invite send backfill.ndjson --catalog AWS": "the question of a terminal, about a real backfill",
    "bulk-invite validate april.ndjson": "a longer file, and a checkpoint with rows of earlier runs",
    "bulk-invite status": "likewise, under way",
    "bulk-invite reconcile": "rows in doubt, which an emulator without faults has not",
}

PROGRAMS: Final = ("curl", "flock", "openssl")
"""Of other packages, which the documents use."""

NO_COMMANDS: Final = {"text", "json", "toml", "ini"}
"""Languages of blocks that are not copied into a shell."""

FAILURES: Final = re.compile(
    r"1 ([A-Z_]+=\w+ )*(bulk-invite (send|validate|reconcile) |nightly/run)|(75|130) timeout "
)
"""Rows that need attention, as the fifth one does, and the end by a signal."""

_PROFILE: Final = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = example\n"

_SQL: Final = """\
#!{python} -I
import sys, psycopg
with psycopg.connect({url!r}, autocommit=True) as connection:
    connection.execute(sys.stdin.read())
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the files that the chapters name.

    Of the 41 rows of invitations.ndjson the fifth lacks the account, and the last one repeats the first.
    """
    rows = make_rows(40)
    del rows[4]["Invitation"]["Receiver"]["Account"]["AwsAccountId"]
    write_rows(tmp_path / "invitations.ndjson", [*rows, rows[0]])
    for number, name in enumerate(("backfill", "march", "leads"), start=1):
        marked = [
            {**row, "_bulk_invite": {"key": f"crm-{each}"}}
            for each, row in enumerate(make_rows(6, start=100 * number))
        ]
        write_rows(tmp_path / f"{name}.ndjson", marked)
    shutil.copy(tmp_path / "march.ndjson", tmp_path / "april.ndjson")
    return tmp_path


def _run(name: str, chapter: list[Copy], home: Path, database: str) -> tuple[dict[str, str], list[str], str]:
    """What each copy printed, the commands that failed, and the log."""
    with ExitStack() as stack:
        env = dict(stack.enter_context(command_on_path(home)))
        service = stack.enter_context(emulator())
        hook = stack.enter_context(ScriptedServer(always(b""), others=lambda: http(200, b"")))
        ports = {rf"\b{port}\b": str(free_port()) for port in (8080, 8081, 8082)}
        replaced = {
            **ports,
            r"postgresql://crm@db\.example\.com/crm\b": database,
            r"https://hooks\.example\.com": hook.url,
        }
        (sql := home / ".programs" / "sql").write_text(_SQL.format(python=sys.executable, url=database))
        sql.chmod(0o755)
        text = script(chapter, replaced, PREFIXES)
        if name not in WITHOUT_CREDENTIALS:
            (home / ".aws").mkdir()
            (home / ".aws" / "credentials").write_text(_PROFILE)
            env |= {"BULK_INVITE_ENDPOINT_URL": service.url, "BULK_INVITE_YES": "true"}
        if name != "monitoring":  # which watches a run that takes its time
            env |= {"BULK_INVITE_RATE": "300", "BULK_INVITE_BURST": "50"}
        if name in REHEARSED_FIRST:
            text = f"bulk-invite send invitations.ndjson > /dev/null\n{text}"
        ran = run_script(text, env=env, within=60)
    return outputs(ran.stdout), (home / ".failed").read_text().splitlines(), ran.stderr


@pytest.mark.parametrize("name", [name for name, chapter in CHAPTERS.items() if chapter])
def test_a_chapter_works_as_it_is_copied(name: str, home: Path, request: pytest.FixtureRequest) -> None:
    chapter = [each if _is_run(each) else replace(each, text=":\n", shown=()) for each in CHAPTERS[name]]
    for program in PROGRAMS:
        need(program, there=program not in str(chapter) or shutil.which(program) is not None)
    database = ""
    if "db.example.com" in str(chapter):
        db: Database = request.getfixturevalue("db")
        if name != "postgresql":  # which creates it
            db.run("CREATE TABLE invitations (id bigserial PRIMARY KEY, request jsonb NOT NULL)")
        database = db.url
    printed, failed, log = _run(name, chapter, home, database)
    assert [each for each in failed if not FAILURES.match(each)] == [], log
    assert "end" in printed, log
    for number, copy in enumerate(chapter):
        if copy.shown and not copy.text.startswith(tuple(ILLUSTRATED)):
            assert _timeless(printed[str(number)]) == _timeless("\n".join(copy.shown)), copy.text


def _is_run(copy: Copy) -> bool:
    return not any(re.search(pattern, copy.text) for pattern in NOT_RUN)


def _timeless(text: str) -> str:
    return re.sub(r"\d+\.\d( s)?$", "0.0", text.strip(), flags=re.MULTILINE)


def test_what_is_not_run_or_shown_otherwise_is_still_in_the_documents() -> None:
    texts = [each.text for chapter in CHAPTERS.values() for each in chapter]
    for pattern in (*NOT_RUN, *PREFIXES, *ILLUSTRATED):
        assert any(re.match(pattern, text) for text in texts), pattern
    assert all(CHAPTERS[name] for name in (*REHEARSED_FIRST, *WITHOUT_CREDENTIALS))


@pytest.mark.parametrize(
    "file", [ROOT / "README.md", *sorted(MANUAL.glob("*.md"))], ids=lambda file: file.stem
)
def test_every_block_is_run_or_is_no_command(file: Path) -> None:
    assert languages(file.read_text(encoding="utf-8")) <= {"sh", "console", "sql", *NO_COMMANDS}
