"""Which requests may read and which may change."""

from __future__ import annotations

import pytest

from bulk_invite.monitoring.http.guard import Refusal, check_change, check_host, check_site

TOKEN = "0123456789abcdef"
CHANGE = {
    "Host": "127.0.0.1:8081",
    "Content-Type": "application/json; charset=utf-8",
    "Authorization": f"Bearer {TOKEN}",
}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8081", "localhost", "LOCALHOST:80", "localhost.:80", "[::1]:8081", "127.9.9.9", None]
)
def test_this_machine_is_reached_by_its_names(host: str | None) -> None:
    check_host(host, "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "localhost.example.com:8081", "192.0.2.1", "", "[::1", "127.0.0.1.example.com"],
)
def test_a_foreign_name_that_resolves_to_this_machine_is_refused(host: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_host(host, "localhost")
    assert caught.value.status == 421
    check_host(host, "0.0.0.0")  # a server on all addresses may have any name


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_grants_access(scheme: str) -> None:
    check_change({**CHANGE, "Authorization": f"{scheme} {TOKEN}"}, TOKEN)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer 0123456789abcde",
        f"Bearer {TOKEN}x",
        "Bearer ü",
        "Bearer \udcff",
    ],
)
def test_another_token_is_refused(authorization: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_change({**CHANGE, "Authorization": authorization}, TOKEN)
    assert caught.value.status == 401
    assert TOKEN not in str(caught.value)


def test_without_a_token_every_change_is_refused() -> None:
    with pytest.raises(Refusal, match="--control-token-file") as caught:
        check_change(CHANGE, None)
    assert caught.value.status == 403


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_request_that_a_form_can_send_is_refused(kind: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_change({**CHANGE, "Content-Type": kind}, TOKEN)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:8082"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8081", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_is_refused_even_with_the_token(headers: dict[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        check_change({**CHANGE, **headers}, TOKEN)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8081", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_our_own_page_and_clients_without_a_browser_are_accepted(headers: dict[str, str]) -> None:
    check_site({**CHANGE, **headers})
