from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from database import Database

# For who only wants to know whether there is a failing example (`mutants`): the smallest one takes minutes.
settings.register_profile("any_example", phases=(Phase.explicit, Phase.generate))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that all tests of a worker share; whoever restarts one makes his own."""
    from database import OTHER, server  # noqa: PLC0415 - few tests need one

    if OTHER:
        yield OTHER
        return
    with server() as running:
        yield running.url


@pytest.fixture
def db(postgres: str) -> Iterator[Database]:
    from database import database  # noqa: PLC0415 - likewise

    with database(postgres) as made:
        yield made
