"""The ledger survives the emulator: restarts, torn and damaged files, full disks, the audit pages."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from emulator_client import create_request, post
from emulator_process import emulator_process, start_emulator

from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.ledger import Ledger, LedgerError
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import serve
from bulk_invite.rehearsal.emulator.state import ServiceState

pytestmark = pytest.mark.anyio


async def _create(url: str, number: int, **members: Any) -> tuple[int, dict[str, Any]]:
    status, _, body = await asyncio.to_thread(post, url, create_request(number, **members))
    return status, json.loads(body)


async def _body(url: str, number: int) -> bytes:
    return (await asyncio.to_thread(post, url, create_request(number)))[2]


async def _ndjson(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return [json.loads(line) for line in (await answer.text()).splitlines()]


def _load(path: Path, **options: Any) -> ServiceState:
    """The state that an emulator would start with."""
    ledger = Ledger(path)
    try:
        return ServiceState(ledger, Options(**options))
    finally:
        ledger.close()


async def test_a_restarted_emulator_continues(tmp_path: Path) -> None:
    options = Options(ledger=tmp_path / "ledger.ndjson", daily_quota=4)
    async with serve(options) as server:
        ids = [(await _create(server.url, number))[1]["Id"] for number in range(3)]
        before = server.audit()
    async with serve(options) as server:
        assert server.audit() == before
        assert (await _create(server.url, 1))[1]["Id"] == ids[1]
        # The day has room for four: three of the emulator before and the replay just now.
        assert "ThrottlingException" in (await _create(server.url, 9))[1]["__type"]
        audit = server.audit()
    assert (audit["invitations"], audit["replayed"]) == (3, 1)


async def test_a_restart_continues_the_random_sequence(tmp_path: Path) -> None:
    async def run(*restarts: int) -> list[bytes]:
        answers: list[bytes] = []
        path = tmp_path / f"{len(restarts)}.ndjson"
        for first, last in zip((0, *restarts), (*restarts, 12), strict=True):
            async with serve(Options(ledger=path, faults=FaultOptions(error_500=0.4))) as server:
                answers += [await _body(server.url, number) for number in range(first, last)]
        return answers

    assert await run() == await run(5, 9)


async def test_a_killed_emulator_has_every_invitation_that_it_answered(tmp_path: Path) -> None:
    emulator = start_emulator(ledger=tmp_path / "ledger.ndjson")
    answered: dict[str, str] = {}

    async def send(numbers: Sequence[int]) -> None:
        for number in numbers:
            try:
                status, answer = await _create(emulator.url, number)
            except (OSError, json.JSONDecodeError):
                return
            assert status == 200
            answered[f"token-{number}"] = answer["Id"]
            if len(answered) == 60:
                emulator.kill()

    try:
        async with asyncio.TaskGroup() as senders:
            for lane in range(4):
                senders.create_task(send(range(lane, 10_000, 4)))
    finally:
        emulator.process.kill()
        emulator.process.communicate()
    with emulator_process(ledger=tmp_path / "ledger.ndjson") as again:
        kept = {entry["client_token"]: entry["id"] for entry in again.invitations()}
    assert len(answered) >= 60
    assert answered.items() <= kept.items()


async def test_a_line_torn_at_any_byte_is_cut_off_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    async with serve(Options(ledger=path)) as server:
        for number in range(3):
            await _create(server.url, number)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    header, last_two = len(lines[0]), len(lines[-2]) + len(lines[-1])
    for size in (*range(header + 20), *range(len(whole) - last_two - 20, len(whole), 3)):
        path.write_bytes(whole[:size])
        state = _load(path)
        complete = [line for line in lines if size >= whole.index(line) + len(line)]
        assert state.next_invitation == sum(b'"entry":"invitation"' in line for line in complete)
        assert path.read_bytes() == (b"".join(complete) or lines[0])
    path.write_bytes(whole[:-7])
    async with serve(Options(ledger=path)) as server:
        assert (await _create(server.url, 2))[0] == 200
        assert (await _create(server.url, 3))[0] == 200
        assert (server.audit()["invitations"], server.audit()["double_by_token"]) == (4, 0)
    assert _load(path).next_invitation == 4


async def test_a_ledger_damaged_in_the_middle_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    async with serve(Options(ledger=path)) as server:
        for number in range(3):
            await _create(server.url, number)
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"\0\0\0\n", b'{"entry":"call"}\n', b"[]\n", b'{"entry":"other"}\n'):
        path.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
        with pytest.raises(LedgerError, match="damaged at line 4"):
            _load(path)


@pytest.mark.parametrize("content", [b'{"EngagementIdentifier": "eng-1"}\n', b"\x89PNG", b'{"entry":"led\n'])
def test_a_file_of_another_program_is_left_unchanged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="is not an emulator's ledger"):
        _load(path)
    assert path.read_bytes() == content


async def test_a_ledger_serves_one_emulator_at_a_time(tmp_path: Path) -> None:
    options = Options(ledger=tmp_path / "ledger.ndjson")
    async with serve(options):
        with pytest.raises(LedgerError, match="in use by another emulator"):
            async with serve(options):
                pass
    async with serve(options) as server:
        assert (await _create(server.url, 1))[0] == 200


def test_a_ledger_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file or directory"):
        _load(tmp_path / "missing" / "ledger.ndjson")


async def test_nothing_is_committed_without_a_ledger_entry(tmp_path: Path) -> None:
    with emulator_process(ledger=tmp_path / "ledger.ndjson") as emulator:
        assert (await _create(emulator.url, 1))[0] == 200
        size = (tmp_path / "ledger.ndjson").stat().st_size
        unlimited = resource.prlimit(emulator.process.pid, resource.RLIMIT_FSIZE)
        # The kernel takes the first 100 bytes of the next entry and refuses the rest.
        resource.prlimit(emulator.process.pid, resource.RLIMIT_FSIZE, (size + 100, unlimited[1]))
        status, answer = await _create(emulator.url, 2)
        assert (status, answer["__type"].rpartition("#")[2]) == (500, "InternalServerException")
        assert (tmp_path / "ledger.ndjson").stat().st_size == size
        resource.prlimit(emulator.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert (await _create(emulator.url, 3))[0] == 200
        assert [entry["client_token"] for entry in emulator.invitations()] == ["token-1", "token-3"]
    assert _load(tmp_path / "ledger.ndjson").next_invitation == 2


async def test_the_pages_agree_with_a_count_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    faults = FaultOptions(error_500=0.2, empty=0.2, throttle=0.1)
    async with serve(Options(ledger=path, faults=faults, token_retention=0.0)) as server:
        for number in (*range(25), *range(15), *range(5)):
            await _create(server.url, number)
        invitations = await _ndjson(f"{server.url}/_emulator/ledger")
        full = await _ndjson(f"{server.url}/_emulator/ledger?full=1")
        calls = await _ndjson(f"{server.url}/_emulator/calls")
        (audit,) = await _ndjson(f"{server.url}/_emulator/audit")
        (health,) = await _ndjson(f"{server.url}/_emulator/health")
    assert health == {"status": "ok", "ledger": str(path), "calls": 45, "invitations": len(invitations)}
    assert [entry.pop("request")["ClientToken"] for entry in full] == [e["client_token"] for e in invitations]
    assert full == invitations
    tokens = Counter(entry["client_token"] for entry in invitations)
    bodies = Counter(entry["content_sha256"] for entry in invitations)
    outcomes = Counter(call["outcome"] for call in calls)
    assert audit["calls"] == len(calls) == 45
    assert audit["outcomes"] == outcomes
    assert audit["faults"] == Counter(call["fault"] for call in calls if call["fault"])
    assert audit["answers"] == Counter(call["fault"] or call["outcome"] for call in calls)
    assert audit["invitations"] == len(invitations) == outcomes["created"]
    assert audit["double_by_token"] == sum(count > 1 for count in tokens.values()) > 0
    assert audit["double_by_body"] == sum(count > 1 for count in bodies.values()) > 0
    assert sum(audit["answers"].values()) == audit["calls"]
    assert audit["max_granted_per_day"] == sum(call["charged"] for call in calls)


async def test_the_audit_can_be_read_in_pages() -> None:
    async with serve(Options()) as server:
        for number in range(6):
            await _create(server.url, number)
        for page in ("ledger", "calls"):
            read = [e["number"] for e in await _ndjson(f"{server.url}/_emulator/{page}?since=2&limit=3")]
            assert read == [2, 3, 4]
            assert await _ndjson(f"{server.url}/_emulator/{page}?since=6") == []
        url = f"{server.url}/_emulator/ledger?since=x"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 400
