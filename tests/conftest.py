from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from certificates import CERTIFICATES
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from database import Database, Server

# Hundreds of Pythons start here. Where the environment forbids keeping compiled files, each of them spends
# a tenth of its time on compiling the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

os.environ.update(CERTIFICATES)

_NICE = 10
"""Of all processes of the tests, where 0 is usual."""

# For examples that never end, not for those that wait: the workers share two cores.
settings.register_profile("busy", deadline=2000)
settings.load_profile("busy")

# For `mutants`, which only asks whether a failing example exists: finding the smallest takes minutes.
settings.register_profile("any_example", phases=(Phase.explicit, Phase.generate), deadline=2000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the tests marked `slow` in the share of each worker: started late, all wait for them."""
    if (worker := getattr(config, "workerinput", None)) is None:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    # A process cannot lower its niceness again, so a worker must start with it.
    slow.sort(key=lambda item: item.get_closest_marker("real_time") is None)
    others = [item for item in items if not item.get_closest_marker("slow")]
    workers, dealt = worker["workercount"], list[pytest.Item]()
    for number in range(workers):
        # Work stealing begins with shares of this size, in the order of the tests.
        share = (len(items) - len(dealt)) // (workers - number)
        first = slow[number::workers]
        rest = max(0, share - len(first))
        dealt += first + others[:rest]
        del others[:rest]
    items[:] = dealt + others


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what all tests share: a seventh of their time went there."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Do what a worker, which ends without `atexit`, would leave undone."""
    if database := sys.modules.get("database"):
        database.kept.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let what runs in real time go before everything else: nothing else cares how fast it is."""
    if not item.get_closest_marker("real_time"):
        os.nice(max(0, _NICE - os.nice(0)))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that all tests of a worker share; a test that restarts one makes its own."""
    from database import OTHER, server  # noqa: PLC0415 - few tests need one

    if OTHER:
        yield OTHER
        return
    with server() as running:
        yield running.url


@pytest.fixture(scope="module")
def restarted() -> Iterator[Server]:
    """One that all tests of a module restart and kill, one after the other."""
    from database import server  # noqa: PLC0415 - likewise

    with server() as running:
        yield running


@pytest.fixture
def own_server(restarted: Server) -> Iterator[tuple[Server, Database]]:
    from database import database  # noqa: PLC0415 - likewise

    with database(restarted.url) as made:
        yield restarted, made


@pytest.fixture
def db(postgres: str) -> Iterator[Database]:
    from database import database  # noqa: PLC0415 - likewise

    with database(postgres) as made:
        yield made
