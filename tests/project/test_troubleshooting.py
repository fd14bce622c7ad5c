"""The topic of troubleshooting has what the program prints and logs, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from documents import ROOT, table, topic

from bulk_invite.domain.verdicts import State

_TOPIC: Final = topic("troubleshooting")

_METHODS: Final = {"debug", "info", "warning", "error", "critical", "say"}
_NO_EVENTS: Final = {"checkpoint.db"}
"""Constants that look like events: names of files."""

_OF_OTHERS: Final = {
    "file is not a database": "SQLite",
    "database or disk is full": "SQLite",
    "disk I/O error": "SQLite",
    "permission denied": "PostgreSQL",
}
"""Messages of other programs that ours pass on."""

_ENDS: Final = (State.CREATED, State.FAILED, State.DEFERRED, State.IN_DOUBT)


@cache
def _trees() -> tuple[ast.Module, ...]:
    return tuple(ast.parse(file.read_text()) for file in sorted((ROOT / "bulk_invite").rglob("*.py")))


def _texts() -> Iterator[str]:
    """Every text of the source, with inserted values as an ellipsis."""
    for node in (node for tree in _trees() for node in ast.walk(tree)):
        match node:
            case ast.Constant(str(text)):
                yield text
            case ast.JoinedStr(values):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in values)
            case _:
                pass


def _logged() -> Iterator[str]:
    for node in (node for tree in _trees() for node in ast.walk(tree)):
        match node:
            case ast.Call(ast.Attribute(attr=name) | ast.Name(id=name), [ast.Constant(str(text)), *_]):
                if name in _METHODS and re.fullmatch(r"[a-z_]+\.[a-z_]+", text):
                    yield text
            case _:
                pass


def _events() -> set[str]:
    """Every text that looks like one, of a family of which at least one is logged where it is written."""
    families = "|".join(sorted({event.partition(".")[0] for event in _logged()}))
    found = {text for text in _texts() if re.fullmatch(rf"({families})\.[a-z_]+", text)}
    return (found - _NO_EVENTS) | {f"invitation.{state}" for state in _ENDS}


def test_every_log_event_has_an_entry_and_every_entry_an_event() -> None:
    documented = {
        event for row in table(_TOPIC, "Log events") for event in re.findall(r"`(\w+\.\w+)`", row[0])
    }
    assert len(documented) > 60
    assert documented == _events()


def test_every_message_exists_in_the_program() -> None:
    texts = "\n".join(" ".join(text.split()) for text in _texts())
    documented = [
        fragment.strip(" .")
        for message, _ in table(_TOPIC, "Error messages")
        for fragment in re.split(r" / |…", message)
    ]
    assert [said for said in documented if said not in texts and said not in _OF_OTHERS] == []


def test_every_error_of_a_checkpoint_has_an_entry() -> None:
    """The error names this topic, so the topic must explain it."""
    entries = [
        [part.strip() for part in entry.split("…")]
        for message, _ in table(_TOPIC, "Error messages")
        for entry in re.sub(r" \([^)]*\)", "", message).split(" / ")
    ]
    errors = list(_checkpoint_errors())
    assert len(errors) > 20
    assert [text for text in errors if not any(all(map(text.__contains__, each)) for each in entries)] == []


def _checkpoint_errors() -> Iterator[str]:
    """The texts of the errors whose topic is this one, not one of their own."""
    for node in (node for tree in _trees() for node in ast.walk(tree)):
        match node:
            case ast.Call(ast.Name("CheckpointError"), [ast.JoinedStr(values), *_], keywords):
                if not any(each.arg == "topic" for each in keywords):
                    parts = [str(each.value) if isinstance(each, ast.Constant) else "…" for each in values]
                    yield "".join(parts)
            case _:
                pass


def test_every_entry_says_what_to_do() -> None:
    for heading in ("Error messages", "Codes of a row", "Log events"):
        for row in table(_TOPIC, heading):
            assert all(row), row


def test_every_code_exists_in_the_program() -> None:
    texts = set(_texts())
    for row in table(_TOPIC, "Codes of a row"):
        for code in re.findall(r"`(\w+)`", row[0]):
            assert code in texts or code in set(State), code
