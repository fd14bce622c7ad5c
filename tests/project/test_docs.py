"""README, the manual, the example configuration and the scripts say what the program does."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import run, start
from documents import (
    CONTRIBUTING,
    DOCUMENTS,
    MANUAL,
    README,
    ROOT,
    blocks,
    headings,
    links,
    shell_lines,
    spans,
    table,
    topic,
)
from options_topic import FILE, options_topic
from typer.core import TyperGroup

from bulk_invite.checkpoint.tables.values import VERSION
from bulk_invite.cli.app import command
from bulk_invite.domain.errors import StoppedError, TooManyFailuresError, UsageError
from bulk_invite.domain.verdicts import State
from bulk_invite.manual import OVERVIEW, TOPICS, text_of
from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS, SERVE_ONLY

EXAMPLE = (ROOT / "config" / "bulk-invite.example.toml").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

_BEFORE = re.compile(r"\||&&|\|\||[A-Z_]+=.*")
_BETWEEN = {"|", ">", "&", "&&", "<", "||", ";;"}

INSTALL_AND_DEMO, INSTALL_AND_TEST = (
    line for line in README.splitlines() if line.startswith("python3 -m venv .venv")
)


@pytest.fixture(params=DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def uncommented(text: str) -> str:
    """The example configuration with every setting switched on."""
    return "\n".join(line.removeprefix("# ") for line in text.splitlines() if re.match(r"# [a-z_]+ = ", line))


def test_readme_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 160


def test_readme_has_every_topic_with_its_subject() -> None:
    documented = table(README, "Manual")
    assert documented == [
        [f"[{topic}](bulk_invite/manual/{topic}.md)", about]
        for topic, about in TOPICS.items()
        if topic != OVERVIEW
    ]


def test_every_topic_has_its_file_and_the_overview_is_the_readme() -> None:
    assert {file.stem for file in MANUAL.glob("*.md")} | {OVERVIEW} == set(TOPICS)
    for name in TOPICS:
        assert text_of(name).startswith("# ")
    assert text_of(OVERVIEW).splitlines()[0] == README.splitlines()[0]
    assert PROJECT["project"]["readme"] == "README.md"


def test_the_options_topic_agrees_with_the_settings() -> None:
    assert FILE.read_text() == options_topic(), "run: poe options"


def test_no_help_text_breaks_a_word_at_its_hyphen() -> None:
    for option in OPTIONS.values():
        assert not re.search(r"\w- \w", option.help), option.flag


def test_options_topic_has_every_setting_once() -> None:
    documented = re.findall(r"^\| `--([a-z-]+)` \|", options_topic(), re.MULTILINE)
    assert sorted(documented) == sorted(each.flag.removeprefix("--") for each in OPTIONS.values())


def test_example_configuration_has_every_setting_with_its_default_and_meaning() -> None:
    values = tomllib.loads(uncommented(EXAMPLE))
    assert list(values) == [each.key for each in OPTIONS.values()]
    prose = " ".join(line.removeprefix("# ") for line in EXAMPLE.splitlines())
    for option in OPTIONS.values():
        assert option.help in prose
        if option.default:
            written = Settings.model_validate({option.key: values[option.key]})
            assert written == Settings(), option.name


def test_readme_and_manual_name_the_default_limits() -> None:
    limits = {"max-rate": f"{Settings().max_rate:g}", "daily-quota": f"{Settings().daily_quota:,}"}
    for document in (README, text_of("pacing")):
        named = re.findall(r"`--(max-rate|daily-quota)`(?: calls)?\s\(([\d,]+) by default", document)
        assert dict(named) == limits


def test_example_configuration_says_what_is_for_serve_only() -> None:
    _, of_serve = EXAMPLE.split("## Following a source: for serve only, send ignores it\n")
    assert list(tomllib.loads(uncommented(of_serve))) == [OPTIONS[name].key for name in SERVE_ONLY]


def test_the_example_configuration_is_valid_with_and_without_comments(tmp_path: Path) -> None:
    for text in (EXAMPLE, uncommented(EXAMPLE)):
        path = tmp_path / "bulk-invite.toml"
        path.write_text(text)
        load({}, path, {})


def test_every_command_is_in_readme_or_manual() -> None:
    documented = " ".join(file.read_text() for file in DOCUMENTS if file != CONTRIBUTING)
    for name in command.commands:
        assert f"bulk-invite {name}" in documented, name


def test_readme_has_every_state_and_exit_code() -> None:
    assert [row[0] for row in table(README, "States of a row")] != []
    assert {row[0] for row in table(README, "States of a row")} == {f"`{state}`" for state in State}
    codes = [int(row[0]) for row in table(README, "Exit codes")]
    assert codes == [0, 1, 2, TooManyFailuresError.exit_code, 4, 75, 130]


def test_links_have_targets(document: Path) -> None:
    for target in links(document.read_text()):
        path, _, fragment = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if fragment:
            assert fragment in headings(file.read_text()), target


def test_commands_in_the_documents_are_valid(document: Path) -> None:
    """Every command of the program, in blocks, units and sentences, is one that its command line takes."""
    text = document.read_text()
    joined = text.replace("\\\n", "")
    units = [shlex.split(line) for line in re.findall(r"^ExecStart=(.*)$", joined, re.MULTILINE)]
    for words in [*shell_lines(text), *units, *map(_words, spans(text))]:
        for arguments in _ours(words):
            _parse(arguments)


def _words(span: str) -> list[str]:
    try:
        return shlex.split(span)
    except ValueError:  # it is no command
        return []


def _ours(words: list[str]) -> list[list[str]]:
    """The arguments of each call of the program in a line, be it in a container or after another command."""
    ends = [at for at, word in enumerate(words) if word in _BETWEEN]
    found = []
    for at, word in enumerate(words):
        is_call = at == 0 or words[0] == "docker" or bool(_BEFORE.fullmatch(words[at - 1]))
        if is_call and Path(word).name == "bulk-invite":
            arguments = words[at + 1 : next((end for end in ends if end > at), None)]
            if arguments and arguments != ["."] and "COMMAND" not in arguments:
                found.append(arguments)
    return found


def _parse(arguments: list[str]) -> None:
    """As the program does, up to the call of its function; values of settings are looked at too."""
    name, *rest = arguments
    if name.startswith("--"):
        assert name in {"--help", *(option for each in command.params for option in each.opts)}
        return
    parent = command.make_context("bulk-invite", [name], resilient_parsing=True)
    assert isinstance(command, TyperGroup)
    found = command.get_command(parent, name)
    assert found is not None, name
    if rest == ["--help-all"]:  # ends before the function is called
        return
    given: dict[str, Any] = found.make_context(name, list(rest), parent=parent).params
    if name == "manual" and given["topic"] not in {None, "TOPIC"}:
        assert given["topic"] in TOPICS
    if name != "emulator":  # its options are its own, also where they have the name of a setting
        load({each: given[each] for each in Settings.model_fields if given.get(each) is not None}, None, {})


def test_the_unit_fits_how_the_program_ends() -> None:
    text = topic("deploy")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # as the library's manual has it
    unit.read_string(next(blocks(text, "ini")))
    service = unit["Service"]
    assert (service["Type"], service["KillMode"], service["KillSignal"]) == ("exec", "mixed", "SIGTERM")
    assert int(service["TimeoutStopSec"]) > Settings().call_timeout
    assert int(service["SuccessExitStatus"]) == StoppedError.exit_code
    assert int(service["RestartPreventExitStatus"]) == UsageError.exit_code
    assert f"(today {VERSION})" in text
    assert f"version {VERSION}, journal" in topic("operations")


def test_tasks_and_scripts_exist(document: Path) -> None:
    tasks = PROJECT["tool"]["poe"]["tasks"]
    text = document.read_text()
    for words in [*shell_lines(text), *map(_words, spans(text))]:
        match words:
            case ["poe" | ".venv/bin/poe", str(task), *_] if not task.startswith("-"):
                assert task in tasks, task
            case ["python" | ".venv/bin/python", str(script), *_] if script.endswith(".py"):
                assert (ROOT / script).exists(), script
            case _:
                pass


def test_contributing_names_every_task_and_only_existing_paths() -> None:
    text = CONTRIBUTING.read_text()
    for task in PROJECT["tool"]["poe"]["tasks"]:
        assert f"poe {task}" in text, task
    paths = [span for span in spans(text) if re.fullmatch(r"[\w./-]+/[\w./-]*|[\w/-]+\.(py|toml|md)", span)]
    assert len(paths) > 40
    for path in paths:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "bulk_invite")), path


def test_contributing_has_a_line_for_every_folder() -> None:
    text = CONTRIBUTING.read_text()
    for folder in [*(ROOT / "bulk_invite").iterdir(), *(ROOT / "tests").iterdir()]:
        if folder.is_dir() and not folder.name.startswith(("_", ".")):
            assert re.search(rf"^(?:  )?{folder.name}/ +\S", text, re.MULTILINE), folder.name


def test_hooks_and_tasks_run_the_checks_of_ci() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert "://" not in hooks
    entries = [hook["entry"] for each in yaml.safe_load(hooks)["repos"] for hook in each["hooks"]]
    ci = (ROOT / ".ci" / "run").read_text()
    tasks = str(PROJECT["tool"]["poe"]["tasks"])
    for check in ("ruff check", "ruff format", "mypy"):
        assert any(entry.startswith(f".venv/bin/{check}") for entry in entries)
        assert f".venv/bin/{check}" in ci
        assert f"{check}" in tasks


def test_readme_row_is_valid(tmp_path: Path) -> None:
    (row,) = re.findall(r"```json\n(.*)\n```", README)
    source = tmp_path / "row.ndjson"
    source.write_text(json.dumps(json.loads(row)) + "\n")
    assert run("validate", source, cwd=tmp_path).code == 0


def test_ci_runs_the_readme_command() -> None:
    assert INSTALL_AND_TEST in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.slow
def test_readme_demo_loses_and_repeats_no_row(tmp_path: Path) -> None:
    demo = INSTALL_AND_DEMO.split(" && ")[-1].removeprefix(".venv/bin/bulk-invite ")
    ran = start(*shlex.split(demo), cwd=tmp_path, installed=True).ended(within=110)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "Result: nothing lost, nothing sent twice." in ran.stdout
    assert ran.stderr == ""
    titles = re.findall(r"^│ (\S.*?)\s+│", README, re.MULTILINE)
    assert titles
    for title in titles:
        assert title in ran.stdout


def test_changelog_names_the_version_of_the_package() -> None:
    assert f"\n## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_shell_script_is_valid() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
