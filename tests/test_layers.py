"""Imports point downwards only: program, then flow and edges, then decisions, then values."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parent.parent / "bulk_invite"

_LAYERS = [
    # Who stands side by side in a layer does not import the other; within one of them everything goes.
    {
        "program": [
            "",
            "__main__",
            "cli",
            "settings",
            "configuration",
            "forms",
            "options",
            "grouped_help",
            "logs",
            "log_file",
            "progress",
            "commands",
            "reporting",
        ]
    },
    {"simulation": ["simulation"]},
    {
        "flow": [
            "pipeline",
            "intake",
            "admitter",
            "following",
            "deliver",
            "life",
            "commit",
            "batch",
            "crew",
            "departure",
            "grounds",
            "held",
            "hearing",
            "outage",
            "lookup",
            "reads",
            "reconcile",
            "resolver",
            "aside",
            "stop",
            "report",
            "engagements",
            "health",
            "history",
            "observer",
            "pacing",
            "write_back",
        ],
        "sources": ["sources"],
        "results": ["results"],
        "checkpoint": ["checkpoint"],
        "partner_central": ["partner_central"],
        "emulator": ["emulator"],
        "control": ["control", "health_file"],
        "telemetry": ["telemetry"],
    },
    {"libpq": ["libpq"]},
    {
        "decisions": [
            "validation",
            "classify",
            "disposition",
            "permission",
            "unfamiliar",
            "masking",
            "matching",
            "mends",
            "backoff",
            "clock",
            "tokens",
            "service_model",
        ]
    },
    {
        "values": [
            "invitation",
            "outcome",
            "clearance",
            "doubt",
            "journal",
            "health_view",
            "run_status",
            "claims",
            "proof",
            "text_forms",
            "addresses",
            "errors",
            "fault",
            "durations",
        ]
    },
]

_GROUP_OF = {module: group for layer in _LAYERS for group, modules in layer.items() for module in modules}
_DEPTH_OF = {group: depth for depth, layer in enumerate(_LAYERS) for group in layer}

_OUTSIDE = {
    "flow": {"anyio", "aiolimiter", "structlog"},
    "decisions": {"orjson", "pydantic_core"},
    "values": set[str](),
}
"""What a group may import besides the standard library, where that is limited."""

_ONLY_FROM = {
    "aioboto3": {"partner_central"},
    "aiohttp": {"partner_central", "emulator", "control", "telemetry"},
    "aiobotocore": {"partner_central"},
    "botocore": {"partner_central", "emulator", "simulation"},
    "matplotlib": {"simulation"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "psycopg": {"libpq", "sources", "checkpoint"},
    "sqlalchemy": {"checkpoint"},
    "sqlite3": {"checkpoint"},
    "rich": {"program"},
    "pydantic": {"program", "simulation"},
}

_FILES = sorted(_PACKAGE.rglob("*.py"))


def _name(file: Path) -> str:
    """Dotted name below the package: "pacing.pacer", "checkpoint", "" for the package itself."""
    return ".".join(file.relative_to(_PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def _group(module: str) -> str:
    return _GROUP_OF[module.partition(".")[0]]


def _imports(file: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module="bulk_invite", names=names):
                yield from (f"bulk_invite.{each.name}" for each in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.ImportFrom():
                pytest.fail(f"{file}: relative import")
            case _:
                pass


@pytest.fixture(params=_FILES, ids=_name)
def file(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_there_is_something_to_look_at() -> None:
    assert len(_FILES) > len(_GROUP_OF)


def test_every_module_has_its_layer(file: Path) -> None:
    assert _name(file).partition(".")[0] in _GROUP_OF, "say in which layer it stands"


def test_every_layer_has_its_modules() -> None:
    assert {_name(file).partition(".")[0] for file in _FILES} == set(_GROUP_OF)


def test_imports_point_downwards(file: Path) -> None:
    group = _group(_name(file))
    for name in _imports(file):
        package, _, module = name.partition(".")
        if package == "bulk_invite":
            target = _group(module)
            allowed = target == group or _DEPTH_OF[target] > _DEPTH_OF[group]
            assert allowed, f"{group} imports {name} of {target}"


def test_the_outside_is_met_at_the_edges(file: Path) -> None:
    group = _group(_name(file))
    for name in _imports(file):
        package = name.partition(".")[0]
        assert group in _ONLY_FROM.get(package, {group}), f"{group} imports {name}"
        if group in _OUTSIDE and package not in sys.stdlib_module_names | {"bulk_invite"}:
            assert package in _OUTSIDE[group], f"{group} imports {name}"


def test_decisions_and_values_wait_for_nothing(file: Path) -> None:
    decides = _name(file).startswith("pacing.") and _name(file) not in {"pacing.pacer", "pacing.limiter"}
    if decides or _group(_name(file)) in {"decisions", "values"}:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))
        outside = {"time", "random", "secrets", "asyncio", "threading", "anyio", "aiolimiter", "structlog"}
        assert not outside & set(_imports(file))
