"""`send` where the same token again is no way out of doubt: it looks up what the service has."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from command import Ran, Reply, Request, ScriptedServer, emulator, http, refusal, run, running, wait_until
from rows import make_row, make_rows, messages, write_rows

from bulk_invite.delivery.lookup.queries import LOOK_UP_DENIED
from bulk_invite.domain.matching import SEVERAL_INVITATIONS

OPTIONS = ("--settling-time", "1s", "--json", "--log-format", "json")
BROKEN = refusal("InternalServerException", status=500)
CONFLICT = refusal("ConflictException")


def exported(cwd: Path) -> list[dict[str, Any]]:
    return run("export", cwd=cwd).lines


def test_a_killed_run_resumed_after_token_retention_invites_every_row_once(tmp_path: Path) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    world = {"ledger": tmp_path / "ledger", "token_retention": 0.8}
    options = (*OPTIONS, "--rate", "40", "--max-in-flight", "16", "--token-lifetime", "500ms")
    with emulator(latency=0.4, **world) as service:
        with running("send", source, "--endpoint-url", service.url, *options, cwd=tmp_path) as sender:
            wait_until(lambda: len(service.calls()) >= 12)
            sender.process.kill()
            sender.process.wait()
        in_doubt = {each["token"] for each in exported(tmp_path) if each["state"] == "in_doubt"}
        forgotten = max(each["time"] for each in service.calls()) + 1.0
    assert in_doubt
    wait_until(lambda: time.time() > forgotten)
    with emulator(**world) as service:
        ran = run("send", source, "--endpoint-url", service.url, *options, cwd=tmp_path)
        assert ran.code == 0, ran.stderr
        assert service.messages() == Counter(messages(rows))
        assert service.audit()["replayed"] == 0
        ids = {entry["client_token"]: entry["id"] for entry in service.invitations()}
    records = exported(tmp_path)
    assert {each["token"]: each["Id"] for each in records} == ids
    looked_up = {each["token"]: each["evidence"] for each in records if each["evidence"]}
    assert set(looked_up) >= in_doubt
    found = {token for token, each in looked_up.items() if each["finding"] == "found"}
    assert found & in_doubt
    assert {looked_up[token]["invitation_id"] for token in found} == {ids[token] for token in found}


# A service with arbitrary answers


class Service:
    """Answers every Create call by turns, and shows `copies` invitations of each row that was called for.

    denied: no list is allowed.
    """

    def __init__(self, *turns: bytes, copies: int = 1, denied: bool = False) -> None:
        self.turns = turns
        self.copies = copies
        self.denied = denied
        self._one_at_a_time = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._requests: list[tuple[str, dict[str, Any]]] = []

    def create(self, request: Request) -> Reply:
        token = request.json["ClientToken"]
        with self._one_at_a_time:
            if not self._calls[token]:
                number = len(self._calls)
                ids = [f"engi-{number:011}{copy:02}" for copy in range(self.copies)]
                self._requests += [(each, request.json) for each in ids]
            self._calls[token] += 1
            return Reply(self.turns[min(self._calls[token], len(self.turns)) - 1])

    def ids(self) -> dict[str, str]:
        """Of the invitations, by client token."""
        return {request["ClientToken"]: identifier for identifier, request in self._requests}

    def read(self, request: Request) -> Reply:
        if self.denied:
            return Reply(refusal("AccessDeniedException"))
        asked = request.json
        if request.operation == "GetEngagementInvitation":
            return Reply(
                next(http(200, _reported(*each)) for each in self._requests if each[0] == asked["Identifier"])
            )
        summaries = [
            _summary(*each)
            for each in self._requests
            if each[1]["EngagementIdentifier"] in asked["EngagementIdentifier"]
        ]
        return Reply(http(200, {"EngagementInvitationSummaries": summaries}))


def _summary(identifier: str, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "Id": identifier,
        "Arn": f"arn:aws:{identifier}",
        "Catalog": request["Catalog"],
        "EngagementId": request["EngagementIdentifier"],
        "PayloadType": next(iter(request["Invitation"]["Payload"])),
        "Receiver": request["Invitation"]["Receiver"],
        "InvitationDate": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _reported(identifier: str, request: dict[str, Any]) -> dict[str, Any]:
    invitation = request["Invitation"]
    return {
        **_summary(identifier, request),
        "InvitationMessage": invitation["Message"],
        "Payload": invitation["Payload"],
    }


def sent(service: Service, cwd: Path, rows: list[dict[str, Any]]) -> Ran:
    source = write_rows(cwd / "rows.ndjson", rows)
    with ScriptedServer(service.create, reads=service.read) as server:
        return run("send", source, "--endpoint-url", server.url, "--rate", "50", *OPTIONS, cwd=cwd)


def test_a_conflict_with_an_earlier_arrived_attempt_finds_its_invitation(tmp_path: Path) -> None:
    rows = make_rows(2)
    service = Service(BROKEN, CONFLICT)
    ran = sent(service, tmp_path, rows)
    assert ran.code == 0, ran.stderr
    records = exported(tmp_path)
    assert [record["state"] for record in records] == ["created"] * 2
    assert {record["token"]: record["Id"] for record in records} == service.ids()
    assert [record["evidence"]["finding"] for record in records] == ["found"] * 2


def test_a_conflict_without_a_listed_invitation_fails_the_row_after_settling(tmp_path: Path) -> None:
    ran = sent(Service(BROKEN, CONFLICT, copies=0), tmp_path, [make_row(1)])
    assert ran.code == 1
    (record,) = exported(tmp_path)
    assert (record["state"], record["code"], record["Id"]) == ("failed", "ConflictException", None)
    assert record["evidence"]["finding"] == "absent"
    assert record["evidence"]["seconds"] >= 1.0


def test_two_invitations_of_one_row_leave_it_in_doubt(tmp_path: Path) -> None:
    ran = sent(Service(BROKEN, CONFLICT, copies=2), tmp_path, [make_row(1)])
    assert (ran.code, ran.json["in_doubt"], ran.json["created"]) == (1, 1, 0)
    (record,) = exported(tmp_path)
    assert (record["state"], record["code"]) == ("in_doubt", "ConflictException")
    assert record["evidence"]["why"] == SEVERAL_INVITATIONS
    assert record["evidence"]["invitations"] == ["engi-0000000000000", "engi-0000000000001"]


def test_denied_lists_leave_the_rows_in_doubt_and_are_logged_once(tmp_path: Path) -> None:
    ran = sent(Service(BROKEN, CONFLICT, denied=True), tmp_path, make_rows(6))
    assert (ran.code, ran.json["in_doubt"]) == (1, 6)
    assert [event["event"] for event in ran.events].count("lookup.denied") == 1
    why = {(each["state"], each["evidence"]["why"]) for each in exported(tmp_path)}
    assert why == {("in_doubt", LOOK_UP_DENIED)}


def test_the_next_run_finds_a_row_left_in_doubt(tmp_path: Path) -> None:
    service = Service(BROKEN, CONFLICT, denied=True)
    assert sent(service, tmp_path, make_rows(3)).json["in_doubt"] == 3
    service.denied = False
    ran = sent(service, tmp_path, make_rows(3))
    assert (ran.code, ran.json["created"], ran.json["in_doubt"]) == (0, 3, 0)
    assert len({each["Id"] for each in exported(tmp_path)}) == 3


def test_a_conflict_without_an_earlier_attempt_is_not_looked_up(tmp_path: Path) -> None:
    ran = sent(Service(CONFLICT), tmp_path, [make_row(1)])
    assert (ran.code, ran.json["failed"]) == (1, 1)
    (record,) = exported(tmp_path)
    assert (record["state"], record["evidence"]) == ("failed", None)
