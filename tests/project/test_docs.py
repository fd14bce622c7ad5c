"""README, the example configuration and the scripts say what the program does."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from functools import partial
from pathlib import Path

import pytest
from command import run, start, together

from bulk_invite.cli.app import app
from bulk_invite.domain.errors import TooManyFailuresError
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.settings.model import SEND, SERVE_ONLY, Settings, flag, key, shown_default

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / "config" / "bulk-invite.example.toml").read_text()

INSTALL_AND_DEMO, INSTALL_AND_TEST = (
    line for line in README.splitlines() if line.startswith("python3 -m venv .venv")
)


def uncommented(text: str) -> str:
    """The example configuration with every setting switched on."""
    return "\n".join(line.removeprefix("# ") for line in text.splitlines() if re.match(r"# [a-z_]+ = ", line))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_readme_has_every_option_with_its_default_and_meaning(name: str) -> None:
    field = Settings.model_fields[name]
    default = shown_default(field)
    description = (field.description or "").replace("|", "\\|")
    row = f"| `{flag(name)}` | {f'`{default}`' if default else ''} | {description} |"
    assert row in README.splitlines()


def test_readme_has_no_option_that_is_gone() -> None:
    of_send, of_serve = (
        re.findall(r"^\| `(--[a-z-]+)` \|", part, re.MULTILINE)
        for part in README.split("| option of `serve` | default | meaning |")
    )
    assert of_send == [flag(name) for name in SEND]
    assert of_serve == [flag(name) for name in SERVE_ONLY]


def test_example_configuration_has_every_setting_with_its_default_and_meaning() -> None:
    values = tomllib.loads(uncommented(EXAMPLE))
    assert list(values) == [key(name) for name in Settings.model_fields]
    prose = " ".join(line.removeprefix("# ") for line in EXAMPLE.splitlines())
    for name, field in Settings.model_fields.items():
        assert (field.description or name) in prose
        if field.default is not None and field.default not in ("", {}):
            written = Settings.model_validate({key(name): values[key(name)]})
            assert getattr(written, name) == field.default, name


def test_example_configuration_says_what_is_for_serve_only() -> None:
    _, of_serve = EXAMPLE.split("# What follows is for serve only; send passes it over.\n")
    assert list(tomllib.loads(uncommented(of_serve))) == [key(name) for name in SERVE_ONLY]


def test_example_configuration_is_one_as_it_stands_and_uncommented(tmp_path: Path) -> None:
    for text in (EXAMPLE, uncommented(EXAMPLE)):
        path = tmp_path / "bulk-invite.toml"
        path.write_text(text)
        load({}, path, {})


def test_readme_has_every_command() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert f"bulk-invite {name}" in README or f"`{name}`" in README


def test_readme_has_every_state_and_exit_code() -> None:
    for state in State:
        assert f"| `{state}` |" in README
    codes = [int(code) for code in re.findall(r"^\| (\d+) \| ", README, re.MULTILINE)]
    assert codes == [0, 1, 2, TooManyFailuresError.exit_code, 4, 75, 130]


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_readme_row_is_valid(tmp_path: Path) -> None:
    (row,) = re.findall(r"```json\n(.*)\n```", README)
    source = tmp_path / "row.ndjson"
    source.write_text(row)
    assert run("validate", source, cwd=tmp_path).code == 0


def test_readme_console_commands_are_commands(tmp_path: Path) -> None:
    """Every `$ bulk-invite ...` line names a command and options that its --help knows."""
    lines = re.findall(r"^\$ bulk-invite (.*)$", README, re.MULTILINE)
    assert len(lines) > 8
    commands = [shlex.split(line.split(" > ")[0], comments=True) for line in lines]
    names = sorted({words[0] for words in commands})
    helps = together(*(partial(run, name, "--help", cwd=tmp_path) for name in names))
    explained = {name: ran.stdout for name, ran in zip(names, helps, strict=True) if ran.code == 0}
    for name, *words in commands:
        for option in (word for word in words if word.startswith("--")):
            assert f" {option} " in explained[name], (name, option)


def test_ci_runs_the_readme_command() -> None:
    assert INSTALL_AND_TEST in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.slow
def test_readme_demo_finds_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    command = INSTALL_AND_DEMO.split(" && ")[-1].removeprefix(".venv/bin/bulk-invite ")
    ran = start(*shlex.split(command), cwd=tmp_path, installed=True).ended(within=110)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "Verdict: nothing lost, nothing sent twice." in ran.stdout
    for title in re.findall(r"^│ (\S.*?)\s+│", README, re.MULTILINE):
        assert title in ran.stdout


def test_changelog_names_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_shell_script_is_valid() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
