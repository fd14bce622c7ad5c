"""A plugin of the SDK, as a user may set one up: it listens to every request, and changes nothing."""

from __future__ import annotations

from typing import Any, Final

PLAIN_WAY: Final = {"BOTOCORE_EXPERIMENTAL__PLUGINS": f"listening={__name__}"}
"""With these variables, calls cannot be prepared."""


def initialize_client_plugin(client: Any) -> None:
    client.meta.events.register("before-send", listen)


def listen(**_: object) -> None:
    pass
