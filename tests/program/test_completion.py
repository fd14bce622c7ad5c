"""Completion of command lines: what can follow, and that real shells complete it on the first Tab."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from command import run
from shells import shell

from bulk_invite.cli.app import command as program
from bulk_invite.cli.commands import COMMANDS
from bulk_invite.cli.completion.candidates import candidates
from bulk_invite.cli.completion.command import VARIABLE, Shell, answer
from bulk_invite.domain.verdicts import State
from bulk_invite.manual import TOPICS
from bulk_invite.rehearsal.simulation.scenario import names
from bulk_invite.runs.settings.options import OPTIONS, SEND

SHELLS = get_args(Shell)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("se", ["send", "serve"]),
        ("", [name for commands in COMMANDS.values() for name in commands]),
        ("help se", ["send", "serve"]),
        ("send --max", ["--max-failures", "--max-rate", "--max-in-flight", "--max-attempts"]),
        ("send --no-y", ["--no-yes"]),
        ("send --catalog ", ["Sandbox", "AWS"]),
        ("send rows.ndjson --catalog A", ["AWS"]),
        ("send --catalog=A", ["--catalog=AWS"]),
        ("send --dry-run --pace ", ["sprint", "spread"]),
        ("send --log-format ", ["auto", "console", "json"]),
        ("send --rate ", ["auto"]),
        ("send --daily-quota ", ["none"]),
        ("simulate st", [name for name in names() if name.startswith("st")]),
        ("manual ", list(TOPICS)),
        ("manual re", ["results", "rehearsal"]),
        ("export --state ", list(State)),
        ("export --state failed --state dup", ["duplicate"]),
        ("export --format ", ["ndjson", "csv"]),
        ("completion ", list(SHELLS)),
        ("--vers", ["--version"]),
        ("send -- --cat", []),
        ("sned --cat", []),
        ("manual pacing ", []),
        ("send --campaign ", []),
    ],
)
def test_a_word_is_completed(line: str, words: list[str]) -> None:
    assert [word for word, _ in candidates(program, line.split(" ")).words] == words


def test_every_choice_of_every_option_is_completed() -> None:
    for name in SEND:
        option = OPTIONS[name]
        if option.metavar:
            found = candidates(program, ["send", option.flag, ""])
            assert [word for word, _ in found.words] == list(option.choices), name
            assert found.files == bool({"FILE", "DIR", "PATH"} & set(option.metavar.split("|"))), name
    assert {"catalog", "pace", "log_format", "log_level", "progress", "token_from"} <= {
        name for name in SEND if OPTIONS[name].choices
    }


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("send ", True),
        ("send a.ndjson b", True),
        ("send --config ", True),
        ("send --config=x", True),
        ("validate --results ", True),
        ("report --html ", True),
        ("simulate x", True),
        ("send --table ", False),
        ("init-db ", False),
        ("status ", False),
    ],
)
def test_names_of_files_are_completed_where_a_file_is_expected(line: str, files: bool) -> None:  # noqa: FBT001
    assert candidates(program, line.split(" ")).files == files


def test_an_option_is_described_in_one_sentence() -> None:
    found = candidates(program, ["send", "--y"])
    assert found.words == [("--yes", "Skip the confirmation for the live catalog")]
    assert candidates(program, ["manual", "pac"]).words == [("pacing", TOPICS["pacing"])]


def test_bash_makes_three_words_of_an_option_with_its_value() -> None:
    for words in (["send", "--catalog", "=", "A"], ["send", "--pace", "sprint", "--catalog", "=", "A"]):
        assert answer("complete_bash", words, program) == "AWS\t\n"
    assert answer("complete_bash", ["send", "--catalog", "="], program) == "Sandbox\t\nAWS\t\n"


def test_powershell_is_completed_by_typer(tmp_path: Path) -> None:
    typed = {"_TYPER_COMPLETE_ARGS": "bulk-invite sen", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "sen"}
    ran = run(cwd=tmp_path, env={VARIABLE: "complete_powershell", **typed})
    assert ran.stdout.startswith("send:::")
    assert (ran.code, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_on_the_first_tab(tmp_path: Path, name: str) -> None:
    (tmp_path / "invitations.ndjson").touch()
    printed = run("completion", name, cwd=tmp_path).stdout
    assert printed == answer(f"source_{name}", [], program)
    with shell(name, tmp_path, printed) as started:
        started.completes("bulk-invite send --catalog=S", "andbox")
        started.completes("bulk-invite send inv", "invitations.ndjson")


def test_completion_is_installed_for_the_shell_that_runs_the_command(tmp_path: Path) -> None:
    script = 'SHELL=/bin/bash exec bash -c \'"$0" --install-completion; exit $?\' "$0"'
    ran = run(script, cwd=tmp_path, env={"HOME": str(tmp_path)}, shell=True)
    assert (ran.code, ran.stderr) == (0, "")
    installed = tmp_path / ".bash_completions" / "bulk-invite.sh"
    assert installed.read_text() == answer("source_bash", [], program)
    assert str(installed) in ran.stdout
    assert str(installed) in (tmp_path / ".bashrc").read_text()
