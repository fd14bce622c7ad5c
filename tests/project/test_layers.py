"""Imports point downwards only, from folder to folder, and folders form no circle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[2] / "bulk_invite"

_FLOORS = [
    # Folders of a floor do not import each other; within a folder the floors are drawn further below.
    {"cli"},
    {"runs", "rehearsal"},
    {"delivery"},
    {"pacing", "sources", "checkpoint", "partner_central", "monitoring"},
    {"libpq"},
    {"validation"},
    {"domain", "manual"},
]
_DEPTH_OF = {folder: depth for depth, floor in enumerate(_FLOORS) for folder in floor}

_LOOSE = {"__init__", "__main__", "libpq"}
"""All files that may lie in the root of the package."""

_OUTSIDE = {
    "delivery": {"aiolimiter", "anyio", "structlog"},
    "pacing": {"anyio", "structlog"},
    "validation": {"orjson", "pydantic_core"},
    "domain": {"orjson"},
}
"""The external libraries that a folder may import, if limited."""

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
"""The folders that may import an external library, where only a few may."""

_WAITING = {"pacing.pacer"}
"""Of the folders that decide, what waits."""

_PURE_ELSEWHERE = {
    "checkpoint.audit.invariants",
    "checkpoint.audit.result",
    "partner_central.masking",
    "monitoring.status",
}

_FILES = sorted(_PACKAGE.rglob("*.py"))


def _name(file: Path) -> str:
    """Dotted name below the package: "pacing.pacer", "checkpoint", "" for the package itself."""
    return ".".join(file.relative_to(_PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def _top(module: str) -> str:
    """The folder in the root of the package that a module lies in."""
    return module.partition(".")[0]


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (each.name for each in names)
        case ast.ImportFrom(module=str(module), level=0, names=names):
            for each in names:
                is_module = f"{module}.{each.name}" in _MODULES
                yield f"{module}.{each.name}" if is_module else module
        case ast.ImportFrom():
            pytest.fail("relative import")
        case ast.Constant(value=str(module)) if module in _MODULES - {"bulk_invite"}:
            yield module  # a command, imported when it is looked up
        case _:
            pass


_MODULES = {f"bulk_invite.{_name(file)}".rstrip(".") for file in _FILES}


def _imports(file: Path) -> Iterator[str]:
    """Absolute names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        yield from _names(node)


def _own_imports(file: Path) -> Iterator[str]:
    """Modules of the package that a file imports, as `_name` gives them."""
    for name in _imports(file):
        package, _, module = name.partition(".")
        if package == "bulk_invite":
            yield module


@pytest.fixture(params=_FILES, ids=_name)
def file(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_every_folder_has_a_layer() -> None:
    tops = {_top(_name(file)) for file in _FILES} - {"", "__main__"}
    assert tops == set(_DEPTH_OF)


def test_every_file_is_in_a_folder() -> None:
    loose = {file.stem for file in _FILES if file.parent == _PACKAGE}
    assert loose == _LOOSE, "give it a folder that says what it belongs to"


def test_imports_point_downwards(file: Path) -> None:
    folder = _top(_name(file))
    if folder in {"", "__main__"}:
        return
    for module in _own_imports(file):
        target = _top(module)
        if target:
            assert target == folder or _DEPTH_OF[target] > _DEPTH_OF[folder], f"{folder} imports {module}"


def test_folders_form_no_circle() -> None:
    """Wherever it lies: a folder that imports another one, however far around, is not imported by it."""
    arrows: dict[str, set[str]] = {}
    for file in _FILES:
        here = _name(file) if file.name == "__init__.py" else _name(file).rpartition(".")[0]
        for module in _own_imports(file):
            there = module if (_PACKAGE / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]
            if there not in {here, ""} and here:
                arrows.setdefault(here, set()).add(there)
    while leaves := {there for all_of_it in arrows.values() for there in all_of_it} - set(arrows):
        arrows = {here: rest for here, targets in arrows.items() if (rest := targets - leaves)}
    assert not arrows, f"these folders import each other in a circle, or lead into one: {sorted(arrows)}"


def test_external_libraries_are_imported_only_at_the_edges(file: Path) -> None:
    folder = _top(_name(file))
    for name in _imports(file):
        package = name.partition(".")[0]
        assert folder in _ONLY_FROM.get(package, {folder}), f"{folder} imports {name}"
        if folder in _OUTSIDE and package not in sys.stdlib_module_names | {"bulk_invite"}:
            assert package in _OUTSIDE[folder], f"{folder} imports {name}"


def test_the_domain_has_no_async_code(file: Path) -> None:
    decides = _top(_name(file)) in {"domain", "validation", "pacing"} and _name(file) not in _WAITING
    if decides or _name(file) in _PURE_ELSEWHERE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))
        outside = {"time", "random", "secrets", "asyncio", "threading", "anyio", "aiolimiter", "structlog"}
        assert not outside & {name.partition(".")[0] for name in _imports(file)}
