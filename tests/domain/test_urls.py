"""Which parts of a URL are shown."""

from __future__ import annotations

import pytest

from bulk_invite.domain.urls import is_loopback, origin, origins_only
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.partner_central import endpoint_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/hook/s3cret?key=s3cret#s3cret", "https://example.com"),
        ("http://127.0.0.1:8080?key=s3cret", "http://127.0.0.1:8080"),
        ("http://s3cret:s3cret@[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_scheme_host_and_port_only(url: str, shown: str) -> None:
    assert origin(url) == shown
    assert origins_only(f'Cannot connect to "{url}": (<{url}>), {url}') == (
        f'Cannot connect to "{shown}": (<{shown}>), {shown}'
    )


def test_a_bare_path_is_cut_too() -> None:
    said = "HTTPConnectionPool(host='a'): Max retries exceeded with url: /traces?key=s3cret (Caused by x)"
    assert origins_only(said).endswith("exceeded with url: ... (Caused by x)")
    assert origins_only("nothing of the kind: a/b?c") == "nothing of the kind: a/b?c"


def test_the_endpoint_is_shown_by_its_origin() -> None:
    url = "https://gateway.example.com:8443/s3cret?token=s3cret"
    assert endpoint_of(Settings.model_validate({"endpoint_url": url})) == "https://gateway.example.com:8443"
    assert endpoint_of(Settings.model_validate({"region": "us-east-1"})) == "Partner Central, us-east-1"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *[(each, True) for each in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost.")],
        *[(each, False) for each in ("", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.com")],
    ],
)
def test_only_names_of_this_machine_are_loopback(host: str, *, own: bool) -> None:
    assert is_loopback(host) is own
