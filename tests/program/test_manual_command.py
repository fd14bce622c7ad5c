"""`manual`, and the errors that name its topics."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from command import run, run_on_terminal
from documents import README, ROOT, blocks, shell_lines, spans, topic

from bulk_invite.manual import OVERVIEW, TOPICS


def test_manual_lists_the_topics(tmp_path: Path) -> None:
    ran = run("manual", cwd=tmp_path)
    assert (ran.code, ran.stderr) == (0, "")
    listed = [line.split("  ")[0] for line in ran.stdout.split("\n\n")[0].splitlines()]
    assert listed == list(TOPICS)
    assert "bulk-invite manual TOPIC" in ran.stdout


def test_a_pipe_gets_the_markdown_unchanged(tmp_path: Path) -> None:
    assert run("manual", "serve", cwd=tmp_path).stdout == topic("serve")
    overview = run("manual", OVERVIEW, cwd=tmp_path).stdout
    assert overview.splitlines()[0] == README.splitlines()[0]
    assert "## Exit codes" in overview


def test_an_unknown_topic_gets_the_closest_one_and_the_full_list(tmp_path: Path) -> None:
    ran = run("manual", "paceing", cwd=tmp_path)
    assert (ran.code, ran.stdout) == (2, "")
    assert "Did you mean pacing?" in ran.stderr
    assert all(name in ran.stderr for name in TOPICS)
    assert "Did you mean" not in run("manual", "zzz", cwd=tmp_path).stderr


def test_a_terminal_gets_the_topic_formatted_in_its_pager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged with $LESS\ncat\n")
    pager.chmod(0o700)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.delenv("LESS", raising=False)
    code, _, screen = run_on_terminal("manual", "serve", cwd=tmp_path, stdout_too=True)
    assert code == 0
    assert "paged with FRX" in screen
    assert "\x1b[1m" in screen
    assert "## Signals" not in screen
    assert "Signals" in screen


def _on_terminal(name: str, folder: Path, columns: int) -> str:
    code, _, screen = run_on_terminal("manual", name, cwd=folder, columns=columns, stdout_too=True)
    assert code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", screen).replace("\r\n", "\n")


@pytest.mark.parametrize("name", TOPICS)
def test_on_a_narrow_terminal_names_stay_whole_and_links_lead_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    screen = _on_terminal(name, tmp_path, 80)
    text = README if name == OVERVIEW else topic(name)
    assert screen.count("\N{HORIZONTAL ELLIPSIS}") == text.count("\N{HORIZONTAL ELLIPSIS}")
    words = set(screen.replace("\\", " ").split())
    names = {each for span in spans(text) for each in span.split() if "://" not in each and len(each) < 76}
    assert {each for each in names if not any(each in word for word in words)} == set()
    assert not re.search(r"\([\w./]*(#[\w-]+|\.md)\)", screen)
    for named in re.findall(r"\bmanual ([\w-]+)[,)]", " ".join(screen.split())):
        assert named in TOPICS


def test_commands_fit_a_terminal_and_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    for name in ("rehearsal", "operations", "serve"):
        screen = _on_terminal(name, tmp_path, 80)
        assert not [each for each in screen.splitlines() if "$ bulk-invite" in each and len(each) > 80]
        shown = [shlex.split(line.lstrip(" $"), comments=True) for line in _joined(screen)]
        for words in shell_lines(topic(name)):
            assert words in [line[: len(words)] for line in shown], words


def test_what_is_printed_stays_as_it_is_and_a_row_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    for name in (OVERVIEW, "pacing", "postgresql"):
        lines = {line.strip() for line in _on_terminal(name, tmp_path, 80).splitlines()}
        text = README if name == OVERVIEW else topic(name)
        written = "\n".join(blocks(text, "console", "json", "sql")).splitlines()
        typed = [
            each for at, each in enumerate(written) if each.startswith("$ ") or written[at - 1].endswith("\\")
        ]
        assert {each.strip() for each in written if each not in typed} - lines == set()


def _joined(screen: str) -> list[str]:
    lines = re.sub(r" *\\ *\n *", " ", screen).splitlines()
    return [line for line in lines if line.count('"') % 2 == line.count("'") % 2 == 0]


def test_a_picture_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    assert "Picture (config/steps.svg in the repository): Rates" in _on_terminal("rehearsal", tmp_path, 100)


def test_an_error_names_the_topic_that_explains_it(tmp_path: Path) -> None:
    for arguments, name in [
        (("send", "missing.ndjson"), "rows"),
        (("send", "a.ndjson", "--rate", "fast"), "options"),
        (("validate", "postgresql://a@b@c/d", "--table", "t", "--key", "id"), "postgresql"),
        (("send", "mysql://a@b/c"), "postgresql"),
        (("send", "a.ndjson", "--config", "missing.toml"), "options"),
        (("validate", "a.ndjson", "--service-model", "missing.json"), "rows"),
        (("serve", __file__), "serve"),
        (("health",), "monitoring"),
        (("report", "--html", __file__), "results"),
        (("simulate", "nowhere"), "rehearsal"),
        (("emulator", "--host", "192.0.2.1"), "rehearsal"),
    ]:
        ran = run(*arguments, cwd=tmp_path)
        assert ran.stderr.splitlines()[-1] == f"See: bulk-invite manual {name}"


def test_every_topic_named_by_the_program_exists() -> None:
    named = set()
    for file in (ROOT / "bulk_invite").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.keyword("topic", ast.Constant(str(name))):
                    named.add(name)
                case ast.Assign([ast.Name("topic")], ast.Constant(str(name))):
                    named.add(name)
                case _:
                    pass
    assert len(named) > 5
    assert named <= set(TOPICS)
