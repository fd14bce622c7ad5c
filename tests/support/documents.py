"""The Markdown files of the repository, and their content."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MANUAL: Final = ROOT / "bulk_invite" / "manual"
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING: Final = ROOT / ".github" / "CONTRIBUTING.md"

DOCUMENTS: Final = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "config" / "README.md",
    CONTRIBUTING,
    *sorted(MANUAL.glob("*.md")),
)

_FENCED: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_TYPED: Final = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def topic(name: str) -> str:
    return (MANUAL / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> Iterator[str]:
    """The content of fenced blocks of these languages."""
    yield from (body for _, language, body in _FENCED.findall(text) if language in languages)


def languages(text: str) -> set[str]:
    """Of the fenced blocks; "" for one without."""
    return {language for _, language, _ in _FENCED.findall(text)}


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return _FENCED.sub("", text)


@dataclass(frozen=True)
class Copy:
    """What a reader copies at once: a line of a console block, or a whole block of another language.

    shown: the lines of output below it.
    """

    language: str
    text: str
    shown: tuple[str, ...] = ()


def copies(text: str) -> Iterator[Copy]:
    """What can be copied of a document into a shell or a database, in its order."""
    for margin, language, body in _FENCED.findall(text):
        block = re.sub(f"^{margin}", "", body, flags=re.MULTILINE)
        if language == "console":
            for typed, below in _TYPED.findall(block):
                yield Copy(language, f"{typed}\n", tuple(below.splitlines()))
        elif language in {"sh", "sql"}:
            yield Copy(language, block)


def shell_lines(text: str) -> Iterator[list[str]]:
    """The words of each command of a document; of a console block only the typed lines."""
    for each in copies(text):
        if each.language != "sql":
            yield from _words(each.text)


def _words(script: str) -> Iterator[list[str]]:
    for line in script.replace("\\\n", "").splitlines():
        yield shlex.split(line, comments=True)


def spans(text: str) -> list[str]:
    """Code within the prose, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(text))]


def links(text: str) -> list[str]:
    """Targets of all links and pictures that lead to files or headings of the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in targets if "://" not in target]


def headings(text: str) -> set[str]:
    """The fragments by which links name the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    _, found, rest = text.partition(f"## {heading}\n")
    assert found, heading
    lines = rest.split("\n## ")[0].splitlines()
    rows = [line.strip("|").replace("\\|", "¦").split("|") for line in lines if line.startswith("| ")]
    return [[cell.strip().replace("¦", "|") for cell in row] for row in rows[2:]]
