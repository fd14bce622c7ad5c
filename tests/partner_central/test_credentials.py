"""Credentials that end: an endpoint hands out new ones, as a container has it, or fails to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from botocore.exceptions import InvalidConfigError
from clearances import cleared
from command import (
    CREATED,
    FAST,
    Reply,
    Request,
    ScriptedServer,
    always,
    emulator,
    refusal,
    run,
    running,
    wait_until,
)
from rows import make_rows, messages, write_rows
from test_partner_central import _own_credentials, body, connection

from bulk_invite.domain.classify import classify
from bulk_invite.domain.verdicts import Created, NoAnswer, SenderRefused, Unreachable
from bulk_invite.partner_central import PartnerCentral, connect
from bulk_invite.partner_central.aws_settings import AwsSettings
from bulk_invite.partner_central.masking import Vocabulary
from bulk_invite.partner_central.transport import Transmission
from bulk_invite.rehearsal.emulator.credentials import Credential

pytestmark = pytest.mark.anyio

__all__ = ["_own_credentials"]  # a fixture that every test here uses

AT_ONCE = 9 * 60.0
"""Seconds before expiry at which the SDK must have new ones (under ten minutes)."""

SOON = 15 * 60.0 + 0.5
"""Seconds until the end of credentials that the SDK renews, if it can, after half a second."""

LONG = 3600.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


class KeyEndpoint:
    """Hands out keys, each another one, that end in the seconds of `ends`; the last of those goes on.

    answer: what comes in place of a key from now on: a status, "hang", or "" for keys.
    """

    def __init__(self, *ends: float) -> None:
        self.ends = list(ends)
        self.handed_out: list[str] = []
        self.asked = 0
        self.answer = ""
        self._stopped = threading.Event()
        endpoint = self

        class Connection(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.asked += 1
                if endpoint.answer == "hang":
                    endpoint._stopped.wait(10)
                data = b"" if endpoint.answer else endpoint._key()
                self.send_response({"": 200, "403": 403}.get(endpoint.answer, 500))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        """No server listens any more."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def env(self) -> dict[str, str]:
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url}

    def _key(self) -> bytes:
        end = datetime.now(UTC) + timedelta(seconds=self.ends.pop(0) if len(self.ends) > 1 else self.ends[0])
        key = f"ASIAKEY{len(self.handed_out)}"
        self.handed_out.append(key)
        members = {"AccessKeyId": key, "SecretAccessKey": f"secret-{key}", "Token": f"token-{key}"}
        return json.dumps({**members, "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


def known_keys(count: int = 40) -> tuple[Credential, ...]:
    return tuple(Credential(f"ASIAKEY{number}", f"secret-ASIAKEY{number}") for number in range(count))


def key_of(request: Request) -> str:
    found = re.search(r"Credential=(\w+)/", request.headers["authorization"])
    assert found is not None
    assert request.headers["x-amz-security-token"] == f"token-{found.group(1)}"
    return found.group(1)


@pytest.fixture
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def only_current(endpoint: KeyEndpoint) -> Any:
    """A service that accepts the newest key, and the one before it for calls in flight."""

    def script(request: Request) -> Reply:
        taken = key_of(request) in endpoint.handed_out[-2:]
        return Reply(CREATED if taken else refusal("ExpiredTokenException", status=403))

    return script


@pytest.mark.usefixtures("_no_keys")
async def test_calls_continue_across_renewals_and_never_use_an_old_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with KeyEndpoint(SOON + 1.0) as endpoint, ScriptedServer(only_current(endpoint)) as server:
        monkeypatch.setenv(*endpoint.env.popitem())
        async with connect(connection(server.url)) as partner_central:

            async def call_until(end: float) -> None:
                while anyio.current_time() < end:
                    assert await partner_central.ready() is None
                    assert isinstance(classify(await partner_central.create(body(), cleared())), Created)
                    await anyio.sleep(0.02)

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(call_until, anyio.current_time() + 5.0)
    used = {key_of(request) for request in server.creates}
    assert used == set(endpoint.handed_out)
    assert len(used) >= 3
    assert endpoint.asked == len(used)


@pytest.mark.usefixtures("_no_keys")
async def test_one_renewal_serves_all_waiting_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Connecting takes the first one and renews it already.
    with KeyEndpoint(AT_ONCE, AT_ONCE, LONG) as endpoint:
        monkeypatch.setenv(*endpoint.env.popitem())
        async with connect(connection("http://127.0.0.1:1")) as partner_central:
            assert len(endpoint.handed_out) == 2
            got: list[NoAnswer | None] = []

            async def get_ready() -> None:
                got.append(await partner_central.ready())

            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(get_ready)
    assert got == [None] * 50
    assert len(endpoint.handed_out) == 3


@pytest.mark.usefixtures("_no_keys")
async def test_a_failing_credentials_endpoint_is_reported_before_anything_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results: dict[str, NoAnswer | None] = {}

    async def get_ready(failure: str, partner_central: PartnerCentral) -> None:
        results[failure] = await partner_central.ready()

    async with AsyncExitStack() as stack:
        server = stack.enter_context(ScriptedServer(always(CREATED)))
        connected = {}
        for failure in ("500", "hang", "gone", "ended again"):
            endpoint = stack.enter_context(KeyEndpoint(AT_ONCE, AT_ONCE, -60.0))
            monkeypatch.setenv(*endpoint.env.popitem())
            connected[failure] = await stack.enter_async_context(connect(connection(server.url)))
            if failure == "gone":
                endpoint.go_away()
            elif failure != "ended again":
                endpoint.answer = failure
        with anyio.fail_after(15):
            async with anyio.create_task_group() as group:
                for failure, partner_central in connected.items():
                    group.start_soon(get_ready, failure, partner_central)
    for failure, answer in results.items():
        assert answer is not None, failure
        assert (answer.started, answer.fault is not None) == (False, True), failure
        assert isinstance(classify(answer), Unreachable), failure
    assert len(results) == 4
    assert not server.creates


class OddCredentials:
    """Whose renewal fails by something that no table knows."""

    method = "oracle"

    async def get_frozen_credentials(self) -> None:
        raise InvalidConfigError(error_msg="no such thing")


async def _no_call(body: bytes, transmission: Transmission, credentials: Any) -> Mapping[str, Any]:
    raise NotImplementedError


async def test_an_unexpected_renewal_failure_is_a_credential_fault_without_doubt() -> None:
    partner_central = PartnerCentral(
        None,
        _no_call,
        None,
        OddCredentials(),
        "",
        catalog="Sandbox",
        deadline=1.0,
        has_one_endpoint=True,
        setup=AwsSettings(None, {}),
        vocabulary=Vocabulary(frozenset(), frozenset()),
    )
    answer = await partner_central.ready()
    assert answer is not None
    assert isinstance(classify(answer), SenderRefused)


# Whole runs


def test_a_run_continues_across_renewals(tmp_path: Path) -> None:
    rows = make_rows(30)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with KeyEndpoint(SOON) as endpoint, emulator(credentials=known_keys()) as server:
        options = ("--endpoint-url", server.url, "--rate", "20", "--json")
        ran = run("send", source, *options, cwd=tmp_path, env=endpoint.env)
        assert ran.code == 0, ran.stderr
        assert server.messages() == Counter(messages(rows))
        assert len(server.calls()) == 30
    assert len(endpoint.handed_out) >= 3
    assert ran.json["attempts"] == 30
    assert "secret-" not in ran.stderr


def test_a_run_with_failing_renewals_continues_until_expiry_and_then_waits(
    tmp_path: Path,
) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(90))
    with KeyEndpoint(10 * 60.0 + 3.0) as endpoint, emulator(credentials=known_keys()) as server:
        options = ("--endpoint-url", server.url, "--rate", "20", "--json", "--log-format", "json")
        with running("send", source, *options, cwd=tmp_path, env=endpoint.env) as command:
            wait_until(server.calls)
            endpoint.answer = "500"
            waited_with = 0
            while waited_with != len(server.calls()):  # until they are not good any more
                waited_with = len(server.calls())
                time.sleep(1.5)
            asked = endpoint.asked
            wait_until(lambda: endpoint.asked > asked + 3)  # three times are one try
            assert 10 < waited_with < 90
            endpoint.answer, endpoint.ends = "", [LONG]
            ran = command.ended()
        assert (len(server.invitations()), len(server.calls())) == (90, 90)
    assert ran.code == 0, ran.stderr
    assert (ran.json["created"], ran.json["attempts"]) == (90, 90)
    events = [event["event"] for event in ran.events]
    assert {"sdk.warning", "sender.not_ready"} <= set(events)
    assert {line[0] for line in ran.stderr.splitlines()} == {"{"}, "events alone"


def test_a_run_whose_credentials_are_refused_stops_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(60))
    with KeyEndpoint(10 * 60.0 + 2.0) as endpoint, emulator(credentials=known_keys()) as server:
        options = ("--endpoint-url", server.url, "--rate", "20", "--json", "--log-format", "json")
        with running("send", source, *options, cwd=tmp_path, env=endpoint.env) as command:
            wait_until(server.calls)
            endpoint.answer = "403"
            ran = command.ended()
        assert ran.code == 4
        assert "returns no credentials: 403" in ran.said
        assert {line[0] for line in ran.stderr.splitlines()} == {"{", "b", "S"}, (
            "events, the sentence and its topic"
        )
        status = run("status", "--json", cwd=tmp_path).json
        assert (status["in_doubt"], status["failed"]) == (0, 0)
        assert 10 < status["created"] < 60
        assert status["created"] == status["attempts"] == len(server.invitations()) == len(server.calls())
        endpoint.answer, endpoint.ends = "", [LONG]
        again = run("send", source, *options[:2], *FAST, cwd=tmp_path, env=endpoint.env)
        assert again.code == 0, again.stderr
        assert len(server.invitations()) == 60
