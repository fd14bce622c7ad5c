from __future__ import annotations

import pytest
from hypothesis import Phase, settings

# For who only wants to know whether there is a failing example (`mutants`): the smallest one takes minutes.
settings.register_profile("any_example", phases=(Phase.explicit, Phase.generate))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
