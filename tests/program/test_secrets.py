"""Values that the model marks as sensitive stay in the row: all other output is searched for them."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from command import (
    CREATED,
    CREDENTIALS,
    FAST,
    Ran,
    Reply,
    Request,
    ScriptedServer,
    Then,
    always,
    emulator,
    http,
    refusal,
    run,
    running,
    together,
    wait_until,
)
from controlled import controlled
from rows import make_row, write_rows
from sensitive import sensitive_values

from bulk_invite.validation.service_model import load, sensitive_members

MODEL = load()
SENSITIVE = sensitive_members(MODEL)
CODES = {"CountryCode": "ZW", "CurrencyCode": "ZMW"}
"""Too short to be distinguished from chance in a binary file: searched for, as whole words, in text only."""

NAMES = {"JaneDoe", "918273646464"}
"""Names of members that no model has: they may contain the same data as values."""


def mark(member: str, number: int) -> str:
    """A value for a sensitive member that occurs nowhere else."""
    marks = {
        **CODES,
        "AwsAccountId": f"918273{number:06}",
        "Amount": f"8273{number:04}.37",
        "Phone": f"+4420793{number:05}",
        "Email": f"marked{number}@secret.example.com",
        "WebsiteUrl": f"https://marked{number}.secret.example.com",
    }
    return marks.get(member, f"Marked {member} {number}")


def marked(number: int, **members: Any) -> dict[str, Any]:
    """A row with a mark in every sensitive member; odd numbers are leads."""
    row: dict[str, Any] = _marked(make_row(number), number)
    return {**row, **members}


def _marked(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_marked(item, number) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: mark(name, number) if name in SENSITIVE and isinstance(inner, str) else _marked(inner, number)
        for name, inner in value.items()
    }


def leaks(rows: list[dict[str, Any]], data: bytes, *, binary: bool = False) -> set[str]:
    """Markers found in `data`."""
    values = NAMES.union(*(sensitive_values(MODEL, row) for row in rows))
    found = {value for value in values - set(CODES.values()) if value.encode() in data}
    if binary:
        return found
    return found | {code for code in CODES.values() if re.search(rf"\b{code}\b".encode(), data)}


def test_the_search_finds_every_marker_in_both_payload_types() -> None:
    rows = [marked(0), marked(1)]
    for row in rows:
        values = sensitive_values(MODEL, row)
        assert leaks([row], json.dumps(row).encode()) == values
        assert len(values) >= 7
        assert not leaks([row], json.dumps(make_row(0)).encode() + json.dumps(make_row(1)).encode())
    members = {member for member in SENSITIVE if any(f'"{member}"' in json.dumps(row) for row in rows)}
    assert members == SENSITIVE


class Workplace:
    """A folder with marked rows, and everything else in it that a run leaves behind."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], *broken: str) -> None:
        self.folder = folder
        self.rows = rows
        self.source = write_rows(folder / "rows.ndjson", [*rows, *broken])
        self.cwd = folder / "work"
        self.cwd.mkdir()

    def send(self, url: str, *more: str | Path, **options: Any) -> Ran:
        return run(*self.command(url, *more), cwd=self.cwd, **options)

    def command(self, url: str, *more: str | Path) -> tuple[str | Path, ...]:
        loud = (
            "--log-level",
            "debug",
            "--call-timeout",
            "1s",
            "--max-attempts",
            "2",
            "--progress-interval",
            "1s",
        )
        return ("send", self.source, "--endpoint-url", url, *FAST, *loud, *more)

    def left_behind(self) -> dict[str, bytes]:
        """Files by name: the checkpoint, its -wal and -shm, and the lock file."""
        return {path.name: path.read_bytes() for path in self.cwd.iterdir()}

    def check(self, *ran: Ran) -> None:
        """Assert that there is no mark anywhere, and that there was something to search."""
        for each in ran:
            for text in (each.stdout, each.stderr):
                assert not leaks(self.rows, text.encode()), text
            assert "Traceback" not in each.stderr
        files = self.left_behind()
        assert not {
            name: found for name, data in files.items() if (found := leaks(self.rows, data, binary=True))
        }
        assert any(b"rows.ndjson" in data for data in files.values())


def echo(request: Request) -> str:
    """A sentence that repeats everything that the row says."""
    return "Not possible: " + " ".join(sorted(sensitive_values(MODEL, request.json)))


def odd_page(request: Request, status: int) -> bytes:
    """An answer that repeats the row in its headers, too."""
    account = request.json["Invitation"]["Receiver"]["Account"]["AwsAccountId"]
    kind = f"text/{account}"
    return http(status, {"message": echo(request)}, content_type=kind, x_amzn_RequestId=account)


def answer(request: Request) -> Reply:
    """By the number of the row: created, or one of the troubles; every one of them repeats the row."""
    said = echo(request)
    entry = {"FieldName": "Invitation.Message", "Code": "INVALID_VALUE", "Message": said}
    account = request.json["Invitation"]["Receiver"]["Account"]["AwsAccountId"]
    strange = {"FieldName": said, "Code": said, "Message": said}
    like_a_code = {"FieldName": account, "Code": account, "Message": json.dumps(said).upper()}
    replies = [
        Reply(CREATED),
        Reply(
            refusal("ValidationException", Message=said, Reason=said, ErrorList=[entry, strange, like_a_code])
        ),
        Reply(refusal("ThrottlingException", Message=said)),
        Reply(refusal("InternalServerException", status=500, Message=said)),
        Reply(CREATED, after=3.0),
        Reply(http(200, said.encode() + b"\xe9", content_type="text/html")),
        Reply(then=Then.RESET),
        Reply(refusal("ResourceNotFoundException", Message=said)),
        Reply(refusal("ConflictException", Message=said)),
        Reply(refusal("ServiceQuotaExceededException", Message=said)),
        Reply(refusal("AccessDeniedException", Message=said)),
        Reply(odd_page(request, 403)),
        Reply(refusal(account, headers={"x-amzn-RequestId": account}, Message=said)),
        Reply(http(200, {"Id": f"engi-{account}", "Arn": f"arn:{account}"})),
    ]
    return replies[int(request.json["EngagementIdentifier"].removeprefix("eng-")) // 2 % len(replies)]


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_outcome_of_a_row_reveals_its_data(tmp_path: Path, log_format: str) -> None:
    throttled: set[str] = set()

    def script(request: Request) -> Reply:
        token = request.json["ClientToken"]
        reply = answer(request)
        if b"ThrottlingException" in reply.data and token in throttled:
            return Reply(CREATED)
        throttled.add(token)
        return reply

    rows = [marked(number) for number in range(28)]
    rejected = [
        marked(30, Surprise=True),
        marked(31, EngagementIdentifier="wrong"),
        marked(32, Catalog="AWS"),
        marked(28, ClientToken="same-token"),
        marked(29, ClientToken="same-token"),
    ]
    # Values in places where they are wrong, and a line cut off.
    rejected[0]["Invitation"]["Receiver"]["Account"]["AwsAccountId"] += "9"
    rejected[1]["Invitation"][mark("Message", 31)] = 1
    rejected[1]["Invitation"]["Payload"]["JaneDoe"] = {"918273646464": True}
    twice = '{"JaneDoe": 1, "JaneDoe": 2, "918273646464": {"JaneDoe": [], "JaneDoe": []}}'
    broken = json.dumps(marked(35))[:-9]
    place = Workplace(tmp_path, [*rows, *rejected], broken, broken.replace("{", "{{", 1), twice)
    said = " ".join(sorted(set().union(*(sensitive_values(MODEL, row) for row in rows))))
    lists: list[Request] = []

    def reads(request: Request) -> Reply:
        """One look-up fails however often it is tried, and the others are denied."""
        lists.append(request)
        if request.json == lists[0].json:
            return Reply(refusal("InternalServerException", status=500, Message=said))
        return Reply(refusal("AccessDeniedException", Message=said))

    with (
        ScriptedServer(script, reads=reads) as server,
        Collector() as collector,
        ScriptedServer(always(b""), others=lambda: http(200, {})) as receiver,
    ):
        env = {**CREDENTIALS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        outlets = ("--tracing", "--notify-url", f"{receiver.url}/hook", "--log-file", "log.json")
        options = ("--log-format", log_format, "--results", tmp_path / "results", *outlets)
        with controlled(*place.command(server.url, *options), cwd=place.cwd, env=env) as sender:
            pages = [json.dumps(event).encode() for event in sender.events()]
            ran = sender.command.ended()
        assert len(server.creates) > 28
        said_elsewhere = [*pages, *collector.batches, *(request.body for request in receiver.others)]
    assert ran.code == 1
    assert ran.json["failed"] >= 6
    assert (ran.json["created"], ran.json["rejected"], ran.json["throttled"]) == (5, 7, 2)
    shown = together(
        partial(run, "export", cwd=place.cwd),
        partial(run, "export", "--format", "csv", cwd=place.cwd),
        partial(run, "status", cwd=place.cwd),
        partial(run, "validate", place.source, cwd=place.cwd),
        partial(run, "report", "--html", "report.html", "--json", cwd=place.cwd),
    )
    place.rows.append(marked(35))
    place.check(ran, *shown)
    assert {"log.json", "report.html"} <= set(place.left_behind())
    for outlet, least in ((pages, 2), (collector.batches, 1), (receiver.others, 1)):
        assert len(outlet) >= least
    for data in said_elsewhere:
        assert not leaks(place.rows, data, binary=True)
    assert {"lookup.failed", "lookup.denied"} <= set(re.findall(r"lookup\.\w+", ran.stderr))

    # The searched outputs are about these rows.
    tokens = {json.loads(request.body)["ClientToken"] for request in server.creates}
    assert all(token in ran.stderr and token in shown[0].stdout for token in tokens)
    assert all(f"{place.source}:{line}" in ran.stderr for line in range(1, len(rows) + 1))
    # The results are the rows, by design.
    kept = (tmp_path / "results" / "rejected.ndjson").read_bytes()
    assert leaks(place.rows, kept) > NAMES
    # The texts about them there are not.
    refused = (tmp_path / "results" / "failed.ndjson").read_bytes()
    lines = [*kept.splitlines(), *refused.splitlines()]
    about = [json.loads(line)["_bulk_invite"]["errors"] for line in lines]
    assert not leaks(place.rows, json.dumps(about).encode())


def test_no_end_of_a_run_reveals_data_of_a_row(tmp_path: Path) -> None:
    for name in ("unknown", "expired", "full"):
        (tmp_path / name).mkdir()
    unknown, expired, full = (
        Workplace(tmp_path / name, [marked(n) for n in range(count)])
        for name, count in (("unknown", 2), ("expired", 2), ("full", 300))
    )
    with (
        ScriptedServer(lambda request: Reply(odd_page(request, 418))) as tea,
        ScriptedServer(
            lambda request: Reply(refusal("ExpiredToken", status=403, Message=echo(request)))
        ) as late,
        emulator() as service,
    ):
        command = " ".join(map(str, full.command(service.url)))
        ran = together(
            partial(unknown.send, tea.url),
            partial(expired.send, late.url),
            partial(run, f'ulimit -f 400; exec "$0" {command}', cwd=full.cwd, shell=True),
        )
    assert [each.code for each in ran] == [1, 4, 4]
    for place, each, sentence in zip(
        (unknown, expired, full), ran, ("418", "ExpiredToken", "bulk-invite.db cannot be used"), strict=True
    ):
        assert sentence in each.stderr
        place.check(each)


def test_a_killed_run_leaves_no_data_of_rows_in_its_files(tmp_path: Path) -> None:
    place = Workplace(tmp_path, [marked(number) for number in range(20)])
    with ScriptedServer(always(Reply(CREATED, after=30.0))) as server:
        with running(*place.command(server.url, "--call-timeout", "60s"), cwd=place.cwd) as sender:
            wait_until(lambda: len(server.creates) == 20)
            sender.process.kill()
            ran = sender.ended()
        assert set(place.left_behind()) >= {
            *("bulk-invite.db", "bulk-invite.db-wal", "bulk-invite.db-shm", "bulk-invite.db.lock")
        }
        assert server.creates[0].json["ClientToken"].encode() in place.left_behind()["bulk-invite.db-wal"]
    place.check(ran)
