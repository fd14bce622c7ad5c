"""Help and shell completion, against what the program knows."""

from __future__ import annotations

import io
import itertools
import re
import shlex
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import pytest
from command import run, together

from bulk_invite.cli.app import command as program
from bulk_invite.cli.commands import COMMANDS
from bulk_invite.domain.errors import UsageError
from bulk_invite.manual import TOPICS
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS, SEND, SERVE_ONLY

SENDING = ("send", "serve", "reconcile", "validate", "doctor", "emulator")
"""Commands with more options than two screens have room for."""

NAMES = [name for commands in COMMANDS.values() for name in commands]

PURPOSES = {name: (program.commands[name].help or "").partition("Exit codes:")[0] for name in NAMES}
"""What each command is for, in its own words."""


def shown(*arguments: str, columns: int = 80) -> str:
    """What a command prints that ends without doing anything."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as text, redirect_stdout(text):
        patch.setenv("COLUMNS", str(columns))
        program.main(list(arguments), prog_name="bulk-invite", standalone_mode=False)
        return text.getvalue()


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """The help of every command by its name; "" is that of the whole program."""
    return {"": shown("--help"), **{name: shown(name, "--help") for name in NAMES}}


@pytest.fixture(scope="module")
def whole() -> dict[str, str]:
    """The help of every command with all its options."""
    return {name: shown(name, "--help-all") for name in NAMES}


def words(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def test_every_command_explains_itself(helps: dict[str, str], whole: dict[str, str]) -> None:
    assert {"send", "validate", "status", "export", "emulator", "demo", "schema", "example"} <= set(helps)
    for name, text in helps.items():
        assert (name or "Send:") in text
        # Escapes of a markup that is not rendered.
        assert "\\[" not in text, name
        if name:
            about, _, options = text.partition("Examples:")
            assert f"bulk-invite {name}" in options.partition("ptions:")[0], f"{name} has no example"
            assert words(PURPOSES[name]) in words(about)
            assert "Exit codes: 0 " in whole[name], f"{name} does not name its exit codes"
            topic = re.findall(r"^Manual: bulk-invite manual ([a-z-]+)$", text, re.MULTILINE)
            assert set(topic) <= set(TOPICS)
            assert len(topic) == 1
            assert name in helps[""]


def test_the_help_of_a_command_fits_two_screens(helps: dict[str, str], whole: dict[str, str]) -> None:
    for name, text in helps.items():
        assert len(text.splitlines()) <= 50, name
        if not name:
            continue
        if len(whole[name].splitlines()) > 80:
            assert f"All options and exit codes: bulk-invite {name} --help-all\n" in text
        elif "--help-all" not in text:
            assert text == whole[name]
    assert all(f"bulk-invite {name} --help-all" in helps[name] for name in SENDING)


def test_the_short_help_has_the_common_options_in_one_sentence_each(helps: dict[str, str]) -> None:
    section = helps["send"].partition("\nCommon options:\n")[2].partition("\n\n")[0]
    flags = re.findall(r"^  (?:-[qv], )?(--[a-z-]+)", section, re.MULTILINE)
    assert flags == [*(OPTIONS[name].flag for name in SEND if OPTIONS[name].common), "--config"]
    assert {"--checkpoint", "--catalog", "--campaign", "--rate", "--results", "--dry-run"} <= set(flags)
    assert " --yes Skip the confirmation for the live catalog. " in words(section)
    assert " --rate auto|N Calls per second, never exceeded. [default: auto] " in words(section)
    assert "BULK_INVITE_" not in section
    for flag in ("--table", "--key", "--write-back"):
        assert f"\n  {flag} " in helps["init-db"], flag


def test_h_and_help_show_the_help_of_a_command(helps: dict[str, str]) -> None:
    assert shown("-h") == shown("help") == helps[""]
    for name in NAMES:
        assert shown(name, "-h") == shown("help", name) == helps[name]


def test_help_suggests_a_command_or_a_topic(tmp_path: Path) -> None:
    hints = {
        "sned": "Did you mean bulk-invite help send?",
        "pacing": "The manual has a topic of this name: bulk-invite manual pacing.",
        "xqz": f"Commands: {', '.join(NAMES)}.",
    }
    for name, hint in hints.items():
        with pytest.raises(UsageError) as caught:
            shown("help", name)
        assert str(caught.value) == f"There is no command {name!r}. {hint}"
    assert run("help", "sned", cwd=tmp_path).code == 2


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_every_line_fits_the_terminal(columns: int) -> None:
    """Only a word that is longer than a line is left whole; no line is cut off."""
    pages = [shown("--help", columns=columns)]
    pages += [shown(name, "--help-all", columns=columns) for name in NAMES]
    for line in "\n".join(pages).splitlines():
        assert len(line) <= columns or len(line.removesuffix(" \\").split()) <= 2, line
        assert len(line) <= 80 or columns == 120, line
    (listed, *_) = pages
    positions = [listed.index(f"\n{heading}:\n") for heading in COMMANDS]
    assert positions == sorted(positions)
    assert "..." not in listed.partition("Options:")[2]
    for name, text in PURPOSES.items():
        assert f" {name} {words(text).partition('.')[0]}. " in words(listed) + " "


def test_every_command_has_one_line_at_80_columns(helps: dict[str, str]) -> None:
    listed = re.findall(r"^  ([a-z][a-z-]+) +[A-Z].*\.$", helps[""], re.MULTILINE)
    assert listed == NAMES


def test_every_setting_is_an_option_of_send_with_its_variable_and_default(whole: dict[str, str]) -> None:
    text = words(whole["send"])
    for name in SEND:
        option = OPTIONS[name]
        assert f" {option.flag} {option.metavar}".rstrip() in text
        default = f"; default: {option.default}" if option.default else ""
        assert words(f"{option.help} [env: {option.variable}{default}]") in text
    assert "BULK_INVITE_CONFIG" in text
    assert not any(OPTIONS[name].flag in text for name in SERVE_ONLY)


def test_every_setting_is_under_its_heading(whole: dict[str, str]) -> None:
    assert sorted(OPTIONS) == sorted(Settings.model_fields)
    text = whole["doctor"]
    for heading, options in itertools.groupby(OPTIONS.values(), lambda each: each.heading):
        section = text.split(f"\n{heading}:\n")[1].split("\n\n")[0]
        flags = re.findall(r"^  (?:-[qv], )?(--[a-z-]+)", section, re.MULTILINE)
        assert flags == [each.flag for each in options]


def test_the_options_of_a_command_are_under_headings(whole: dict[str, str]) -> None:
    text = whole["send"]
    assert text.index("\nPacing:") < text.index("--max-rate") < text.index("\nUnknown outcomes:")


def examples(text: str) -> list[str]:
    """The command lines of a help text, each on one line."""
    block = text.partition("\nExamples:\n")[2].partition("\n\nArguments:")[0]
    joined = re.sub(r" \\\n *", " ", block.partition("ptions:")[0])
    return re.findall(r"^    ((?:bulk-invite|curl|crm-export) .+)$", joined, re.MULTILINE)


@pytest.mark.parametrize("columns", [40, 80])
def test_every_example_can_be_pasted(columns: int) -> None:
    """Each continues with a backslash only, is a valid command line, and the same at every width."""
    for name in NAMES:
        lines = examples(shown(name, "-h", columns=columns))
        assert any(f"bulk-invite {name}" in line for line in lines), name
        assert lines == examples(shown(name, "-h", columns=120)), name
        for line in lines:
            assert "(" not in line
            for part in re.split(r" [|] ", line.partition(" > ")[0]):
                words = shlex.split(part)
                if words[0] == "bulk-invite":
                    called = program.commands[words[1]]
                    called.make_context(words[1], words[2:])


def test_no_option_has_the_type_of_a_library_or_two_defaults(whole: dict[str, str]) -> None:
    for name, text in whole.items():
        assert not re.search(r"<[a-z]+[|\[]|\bTEXT\b|\bNUMBER\b|\bINTEGER\b|x[<>]=|0\.0\]", text), name
        for meaning in re.split(r"\n  -", text):
            assert len(re.findall(r"\bDefault: |\[default: |; default: ", meaning)) <= 1, meaning
    assert "[default: 3; 1 or more]" in words(whole["simulate"])


def test_no_command_prints_help_and_a_wrong_one_an_error(tmp_path: Path) -> None:
    nothing, wrong = together(partial(run, cwd=tmp_path), partial(run, "sned", cwd=tmp_path))
    assert "Prepare:" in nothing.stdout + nothing.stderr
    assert (wrong.code, "sned" in wrong.stderr) == (2, True)
    missing = run("send", cwd=tmp_path)
    sentence = "bulk-invite: Missing argument SOURCE.... See bulk-invite send --help."
    assert (missing.code, missing.stderr) == (2, f"{sentence}\nSee: bulk-invite manual options\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "export --state crated",
            "Invalid value for --state: must be rejected, duplicate, pending, deferred, ",
        ),
        ("export --format cvs", "Invalid value for --format: must be ndjson or csv; did you mean csv? See "),
        ("export --format", "Option --format needs a value. See bulk-invite export --help."),
        (
            "completion",
            "Missing argument SHELL. Choose from: bash, zsh, fish. See bulk-invite completion --help.",
        ),
        ("completion tcsh", "Invalid value for SHELL: must be bash, zsh or fish. See "),
        ("simulate --seeds 0", "Invalid value for --seeds: must be 1 or more. See "),
        ("simulate --seeds x", "Invalid value for --seeds: must be a whole number. See "),
        (
            "emulator --rate x",
            "Invalid value for --rate: 'x' is not a number. See bulk-invite emulator --help.",
        ),
        ("emulator --port 70000", "--port must be between 0 and 65535. See bulk-invite emulator --help."),
        (
            "validate --summry a",
            "No such option: --summry. Did you mean --summary? See bulk-invite validate ",
        ),
    ],
)
def test_a_wrong_value_is_reported_in_our_words(tmp_path: Path, arguments: str, said: str) -> None:
    ran = run(*arguments.split(), cwd=tmp_path)
    assert ran.code == 2
    assert ran.stderr.startswith(f"bulk-invite: {said}")
    assert "manual None" not in ran.stderr
