"""The bugs of `mutants` fit the source, and the command that tries them out reports correctly."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from command import COMMAND
from mutants import PROJECT, SURVIVED, Bench, Mutant, MutantError, copied, environment, load, main

_MUTANTS = load()


@pytest.mark.parametrize("mutant", _MUTANTS, ids=lambda mutant: mutant.name)
def test_every_bug_applies_at_one_place_and_leaves_valid_python(mutant: Mutant) -> None:
    text = (PROJECT / mutant.file).read_text()
    with_bug = mutant.applied(text)
    if mutant.file.endswith(".py"):  # the live page and the scripts of shells have bugs, too
        assert ast.dump(ast.parse(with_bug)) != ast.dump(ast.parse(text)), "a comment or a space is no bug"
    assert with_bug != text
    assert mutant.hurts.endswith(".")
    assert mutant.tests
    assert all((PROJECT / each).is_file() for each in mutant.tests)


def test_no_bug_uses_an_undefined_name(tmp_path: Path) -> None:
    for mutant in (each for each in _MUTANTS if each.file.endswith(".py")):
        with_bug = mutant.applied((PROJECT / mutant.file).read_text())
        (tmp_path / f"{mutant.name}.py").write_text(with_bug)
    options = ["--isolated", "--no-cache", "--select", "F821", "--quiet"]
    ruff = [str(COMMAND.with_name("ruff")), "check", *options, str(tmp_path)]
    ran = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_every_bug_has_a_unique_name() -> None:
    assert set(Counter(each.name for each in _MUTANTS).values()) == {1}


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("success-without-id-is-created", "domain/test_classify.py::test_success_without_an_id_is_doubt"),
        ("campaign-not-in-token", "domain/test_tokens.py::test_tokens_are_those_of_the_first_release"),
    ],
)
def test_the_test_that_catches_a_bug_is_reported(name: str, test: str) -> None:
    (mutant,) = (each for each in _MUTANTS if each.name == name)
    verdict = Bench(near=True).try_out(mutant)
    assert verdict.seen_by == f"tests/{test}"
    assert not verdict.hung


def test_the_installed_command_runs_the_copy() -> None:
    with copied(PROJECT) as copy:
        (copy / "bulk_invite" / "__main__.py").write_text("def main(): raise SystemExit('the bug')\n")
        ran = subprocess.run(
            [COMMAND], cwd=copy.parent, env=environment(copy), capture_output=True, text=True, check=False
        )
    assert ran.stderr == "the bug\n"


def _small(folder: Path, *, tests: str) -> Path:
    """A project with one number in it."""
    for name, text in {
        "bulk_invite/__init__.py": "NUMBER = 1  # one\n",
        **{
            name: (PROJECT / name).read_text()
            for name in ("tests/conftest.py", "tests/support/certificates.py")
        },
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["tests/support"]\n',
        "tests/test_near.py": "def test_near(): pass\n",
        "tests/test_number.py": f"from bulk_invite import NUMBER\n{tests}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _bug(*, old: str = "NUMBER = 1", new: str = "NUMBER = 2") -> Mutant:
    return Mutant("bug", "It hurts.", "bulk_invite/__init__.py", old, new, ("tests/test_near.py",))


def test_if_the_likely_tests_pass_all_others_run_except_those_that_fail_anyway(
    tmp_path: Path,
) -> None:
    both = "def test_red(): assert False\n\ndef test_it(): assert NUMBER == 1"
    project = _small(tmp_path, tests=both)
    assert Bench(project=project).try_out(_bug()).seen_by == "tests/test_number.py::test_it"


@pytest.mark.parametrize("old", ["NUMBER = 3", "N"])
def test_a_text_that_does_not_occur_exactly_once_is_refused(tmp_path: Path, old: str) -> None:
    project = _small(tmp_path, tests="SAME_NUMBER = NUMBER")
    (project / "bulk_invite" / "__init__.py").write_text("NUMBER = NONE = 1\n")
    with pytest.raises(MutantError, match="not once"):
        Bench(project=project).try_out(_bug(old=old))


def test_a_surviving_bug_is_reported_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.toml").write_text(
        """
        [no-bug-at-all]
        hurts = "It does not."
        file = "bulk_invite/domain/tokens.py"
        old = "# Changing this, or the hashed input"
        new = "# Changing this"
        tests = ["tests/domain/test_tokens.py"]
        """
    )
    assert main(["--near"], bugs=tmp_path) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("no-bug-at-all ")
    assert first.endswith(SURVIVED)
    assert last == "1 bugs, 1 survived"


def test_the_list_says_why_each_bug_hurts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(_MUTANTS) >= 30
    with pytest.raises(SystemExit):
        main(["no-such-bug"])
    assert "there is no bug no-such-bug" in capsys.readouterr().err
