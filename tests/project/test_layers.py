"""Imports point downwards only, from folder to folder, and folders form no circle."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from tree import PACKAGE, Tree, circle, floors

_FLOORS = [
    # Folders on the same floor do not import each other.
    {"cli"},
    {"runs", "rehearsal"},
    {"delivery"},
    {"pacing", "sources", "checkpoint", "partner_central", "monitoring"},
    {"libpq"},
    {"validation"},
    {"domain"},
]
_DEPTH_OF = {folder: depth for depth, floor in enumerate(_FLOORS) for folder in floor}

_LOOSE = {"__init__", "__main__", "libpq"}
"""All files that may lie in the root of the package."""

_OUTSIDE = {
    "delivery": {"aiolimiter", "anyio", "structlog"},
    "pacing": {"anyio", "aiolimiter", "structlog"},
    "validation": {"orjson", "pydantic_core"},
    "domain": {"orjson"},
}
"""What a folder may import besides the standard library, where that is limited."""

_ONLY_FROM = {
    "aioboto3": {"partner_central"},
    "aiobotocore": {"partner_central"},
    "aiohttp": {"partner_central", "rehearsal", "monitoring"},
    "botocore": {"partner_central", "rehearsal"},
    "matplotlib": {"rehearsal"},
    "opentelemetry": {"monitoring"},
    "prometheus_client": {"monitoring"},
    "psycopg": {"libpq", "sources", "checkpoint"},
    "pydantic": {"cli", "runs", "rehearsal"},
    "rich": {"cli", "runs"},
    "sqlalchemy": {"checkpoint"},
    "sqlite3": {"checkpoint"},
    "typer": {"cli", "rehearsal"},
}
"""Who meets what the outside has, where that is a matter of a few folders."""

_WAITING = {"pacing.pacer", "pacing.token_bucket"}
"""Of the folders that decide, what waits."""

_PURE_ELSEWHERE = {
    "checkpoint.audit.invariants",
    "checkpoint.audit.result",
    "partner_central.masking",
    "monitoring.status",
}

_TREE = Tree(PACKAGE)


def _top(module: str) -> str:
    """The folder in the root of the package that a module lies in."""
    return module.partition(".")[0]


@pytest.fixture(params=_TREE.files, ids=_TREE.name)
def file(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_the_tree_is_drawn() -> None:
    tops = {_top(_TREE.name(file)) for file in _TREE.files} - {"", "__main__"}
    assert tops == set(_DEPTH_OF)


def test_no_file_lies_loose() -> None:
    loose = {file.stem for file in _TREE.files if file.parent == PACKAGE}
    assert loose == _LOOSE, "give it a folder that says what it belongs to"


def test_imports_point_downwards(file: Path) -> None:
    folder = _top(_TREE.name(file))
    if folder in {"", "__main__"}:
        return
    for module in _TREE.own_imports(file):
        target = _top(module)
        if target:
            assert target == folder or _DEPTH_OF[target] > _DEPTH_OF[folder], f"{folder} imports {module}"


def test_folders_form_no_circle() -> None:
    assert not circle(_TREE.folders()), "these folders import each other in a circle, or lead into one"


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"a", "b", "c"}
    assert floors({"a": {"b", "d"}, "b": {"d"}, "d": set()}) == {"a": 3, "b": 2, "d": 1}


def test_the_outside_is_met_at_the_edges(file: Path) -> None:
    folder = _top(_TREE.name(file))
    for name in _TREE.imports(file):
        package = name.partition(".")[0]
        assert folder in _ONLY_FROM.get(package, {folder}), f"{folder} imports {name}"
        if folder in _OUTSIDE and package not in sys.stdlib_module_names | {"bulk_invite"}:
            assert package in _OUTSIDE[folder], f"{folder} imports {name}"


def test_decisions_and_values_wait_for_nothing(file: Path) -> None:
    decides = (
        _top(_TREE.name(file)) in {"domain", "validation", "pacing"} and _TREE.name(file) not in _WAITING
    )
    if decides or _TREE.name(file) in _PURE_ELSEWHERE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))
        outside = {"time", "random", "secrets", "asyncio", "threading", "anyio", "aiolimiter", "structlog"}
        assert not outside & {name.partition(".")[0] for name in _TREE.imports(file)}
