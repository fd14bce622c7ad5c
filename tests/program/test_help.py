"""Help and shell completion, against what the program knows."""

from __future__ import annotations

import itertools
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from command import Ran, run, together

from bulk_invite.cli.app import COMMANDS, app
from bulk_invite.cli.app import command as program
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS, SEND, SERVE_ONLY


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The help of every command by its name; "" is that of the whole program."""
    commands = [(command.name, command.callback) for command in app.registered_commands]
    names = ["", *(name or callback.__name__ for name, callback in commands if callback)]
    folder = tmp_path_factory.mktemp("help")
    calls = [partial(run, *([name] if name else []), "--help", cwd=folder) for name in names]
    return dict(zip(names, together(*calls), strict=True))


def words(text: str) -> str:
    """Text without its line breaks; a word that was broken at a hyphen is whole again."""
    return " ".join(text.split()).replace("- ", "-")


def test_every_command_explains_itself(helps: dict[str, Ran]) -> None:
    assert {"send", "validate", "status", "export", "emulator", "demo", "schema", "example"} <= set(helps)
    for name, ran in helps.items():
        text = words(ran.stdout)
        assert (ran.code, ran.stderr) == (0, "")
        assert (name or "Send:") in text
        # Escapes of a markup that is not rendered.
        assert "\\[" not in text, name
        if name:
            assert f"bulk-invite {name}" in text.partition("Options:")[2], f"{name} has no example"
            assert "xit codes: 0 " in text, f"{name} does not name its exit codes"
            assert name in helps[""].stdout


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_no_line_about_a_command_is_cut_off(tmp_path: Path, columns: str) -> None:
    ran = run("--help", cwd=tmp_path, env={"COLUMNS": columns})
    positions = [ran.stdout.index(f"\n{heading}:\n") for heading in COMMANDS]
    assert positions == sorted(positions)
    assert "..." not in ran.stdout.partition("Options:")[2]
    for commands in COMMANDS.values():
        for name, (command, _) in commands.items():
            sentence = words(command.__doc__ or "").partition(".")[0]
            assert f" {name} {sentence}. " in words(ran.stdout) + " "


def test_every_command_has_one_line_at_80_columns(helps: dict[str, Ran]) -> None:
    listed = re.findall(r"^  ([a-z][a-z-]+) +[A-Z].*\.$", helps[""].stdout, re.MULTILINE)
    assert listed == [name for commands in COMMANDS.values() for name in commands]
    assert max(map(len, helps[""].stdout.splitlines())) <= 80


def test_every_setting_is_an_option_of_send_with_its_variable_and_default(helps: dict[str, Ran]) -> None:
    text = words(helps["send"].stdout)
    for name in SEND:
        option = OPTIONS[name]
        assert f" {option.flag} {option.metavar}".rstrip() in text
        default = f"; default: {option.default}" if option.default else ""
        assert words(f"{option.help} [env: {option.variable}{default}]") in text
    assert "BULK_INVITE_CONFIG" in text
    assert not any(OPTIONS[name].flag in text for name in SERVE_ONLY)


def test_every_setting_is_under_its_heading(helps: dict[str, Ran]) -> None:
    assert sorted(OPTIONS) == sorted(Settings.model_fields)
    text = helps["doctor"].stdout
    for heading, options in itertools.groupby(OPTIONS.values(), lambda each: each.heading):
        section = text.split(f"\n{heading}:\n")[1].split("\n\n")[0]
        assert re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE) == [each.flag for each in options]


def test_the_options_of_a_command_are_under_headings(helps: dict[str, Ran]) -> None:
    text = helps["send"].stdout
    assert text.index("\nPacing:") < text.index("--max-rate") < text.index("\nUnknown outcomes:")


def examples(text: str) -> list[str]:
    """The command lines at the end of a help text, each on one line."""
    end = text.partition("\nOptions:")[2].replace("\\\n", " ")
    return re.findall(r"^    ((?:bulk-invite|curl|crm-export) .+)$", end, re.MULTILINE)


def test_every_example_can_be_pasted(helps: dict[str, Ran]) -> None:
    """Each fits a terminal of usual width, continues with a backslash only, and is a valid command line."""
    for name, ran in helps.items():
        lines = examples(ran.stdout) if name else []
        assert any(f"bulk-invite {name}" in line for line in lines) or not name, name
        assert max(map(len, ran.stdout.splitlines())) <= 80, name
        for line in lines:
            assert "(" not in line
            for part in re.split(r" [|] ", line.partition(" > ")[0]):
                words = shlex.split(part)
                if words[0] == "bulk-invite":
                    called = program.commands[words[1]]  # type: ignore[attr-defined] # a group has commands
                    called.make_context(words[1], words[2:])


def test_no_option_has_the_type_of_a_library_or_two_defaults(helps: dict[str, Ran]) -> None:
    for name, ran in helps.items():
        assert not re.search(r"<[a-z]+[|\[]|\bTEXT\b|\bINTEGER\b", ran.stdout), name
        for meaning in re.split(r"\n  -", ran.stdout):
            assert len(re.findall(r"\bDefault: |\[default: |; default: ", meaning)) <= 1, meaning


def test_a_completion_script_can_be_printed(tmp_path: Path) -> None:
    marks = {"bash": "complete -o", "zsh": "#compdef", "fish": "complete "}
    printed = together(*(partial(run, "completion", shell, cwd=tmp_path) for shell in marks))
    taught = together(
        *(partial(run, cwd=tmp_path, env={"_BULK_INVITE_COMPLETE": f"source_{shell}"}) for shell in marks)
    )
    for ran, same, mark in zip(printed, taught, marks.values(), strict=True):
        assert (ran.code, ran.stdout, mark in ran.stdout) == (0, f"{same.stdout.strip()}\n", True)


def test_completion_can_be_installed_in_a_shell(tmp_path: Path) -> None:
    marks = {"bash": "complete -o", "zsh": "#compdef", "fish": "complete "}
    scripts = together(
        *(partial(run, cwd=tmp_path, env={"_BULK_INVITE_COMPLETE": f"source_{shell}"}) for shell in marks)
    )
    for ran, mark in zip(scripts, marks.values(), strict=True):
        assert (ran.code, mark in ran.stdout, "bulk-invite" in ran.stdout) == (0, True, True)


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(line: str) -> list[str]:
        env = {
            "_BULK_INVITE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        return run(cwd=tmp_path, env=env).stdout.split()

    assert completed("bulk-invite se") == ["send", "serve"]
    assert "--max-rate" in completed("bulk-invite send --max")


def test_no_command_prints_help_and_a_wrong_one_an_error(tmp_path: Path) -> None:
    nothing, wrong = together(partial(run, cwd=tmp_path), partial(run, "sned", cwd=tmp_path))
    assert "Prepare:" in nothing.stdout + nothing.stderr
    assert (wrong.code, "sned" in wrong.stderr) == (2, True)
    missing = run("send", cwd=tmp_path)
    assert (missing.code, missing.stderr.splitlines()[-1]) == (2, "Error: Missing argument 'SOURCE...'.")


@pytest.mark.parametrize("arguments", [("export", "--state", "open"), ("completion", "tcsh")])
def test_a_wrong_choice_is_reported_in_our_words(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.code, "Value error" in ran.stderr) == (2, False)
    assert f"{arguments[-1]!r} is not one of" in ran.stderr
