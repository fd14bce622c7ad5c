"""The installed `send`: calls to the service, checkpoint, output, and exit codes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import stat
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
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
    free_port,
    http,
    pipe_without_reader,
    refusal,
    run,
    running,
    together,
    wait_until,
)
from rows import make_row, make_rows, message, messages, ndjson, read_rows, write_rows

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.delivery.intake.admit_batch import BATCH_ROWS
from bulk_invite.domain.records import Record
from bulk_invite.domain.verdicts import State
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions

STATES = ("created", "already_created", "failed", "rejected", "duplicate", "in_doubt", "deferred", "pending")
KEYS = {"rows", *STATES, "attempts", "throttled", "elapsed_s"}


def send(url: str, cwd: Path, *arguments: str | Path, **options: Any) -> Ran:
    return run("send", *arguments, "--endpoint-url", url, *FAST, cwd=cwd, **options)


def counts(result: dict[str, Any]) -> dict[str, int]:
    """The states that are not 0, once the result is known to be sound."""
    assert not KEYS - set(result)
    assert all(type(result[key]) is int for key in KEYS - {"elapsed_s"})
    assert isinstance(result["elapsed_s"], float)
    assert result["rows"] == sum(result[state] for state in STATES)
    return {state: result[state] for state in STATES if result[state]}


def records(cwd: Path, checkpoint: str = "bulk-invite.db") -> list[Record]:
    """The rows of the checkpoint; `export` agrees, and is run where it is under test."""
    with CheckpointReader(cwd / checkpoint) as reader:
        return list(reader.records([]))


def once(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(messages(rows))


def test_every_kind_of_source_is_sent_once_and_a_second_run_sends_nothing(tmp_path: Path) -> None:
    rows = make_rows(14)
    write_rows(tmp_path / "a.ndjson", rows[:2])
    (tmp_path / "b.ndjson").write_bytes(
        b"\xef\xbb\xbf" + ndjson(rows[2:4]).replace(b"\n", b"\r\n\r\n").rstrip()
    )
    (tmp_path / "c.ndjson.gz").write_bytes(gzip.compress(ndjson(rows[4:6])))
    (tmp_path / "d.ndjson.zst").write_bytes(zstandard.compress(ndjson(rows[6:8])))
    for number in (1, 2):
        write_rows(tmp_path / f"glob-{number}.ndjson", rows[6 + 2 * number : 8 + 2 * number])
    sources = ("a.ndjson", "b.ndjson", "c.ndjson.gz", "d.ndjson.zst", "glob-?.ndjson", "-")
    with emulator() as service:
        first, second = (send(service.url, tmp_path, *sources, stdin=ndjson(rows[12:])) for _ in range(2))
        assert service.messages() == once(rows)
        assert service.audit()["calls"] == len(rows)
    assert (first.code, counts(first.json), first.json["attempts"]) == (0, {"created": 14}, 14)
    assert (second.code, counts(second.json), second.json["attempts"]) == (0, {"already_created": 14}, 0)
    names = ("a.ndjson", "c.ndjson.gz", "d.ndjson.zst", "glob-1.ndjson", "glob-2.ndjson", "-")
    positions = {(name, line) for name in names for line in (1, 2)} | {("b.ndjson", 1), ("b.ndjson", 3)}
    found = {(record.position.source, record.position.line): record.state for record in records(tmp_path)}
    assert found == dict.fromkeys(positions, State.CREATED)


def test_an_unreadable_source_is_reported_before_anything_is_sent(tmp_path: Path) -> None:
    good = write_rows(tmp_path / "good.ndjson", make_rows(1))
    (tmp_path / "folder").mkdir()
    names = {"missing.ndjson": "no such file", "folder": "is a directory"}
    with emulator() as service:
        ran = together(*(partial(send, service.url, tmp_path, good, name) for name in names))
        assert not service.calls()
    for (name, reason), each in zip(names.items(), ran, strict=True):
        assert (each.code, name in each.said, reason in each.said) == (4, True, True), each.stderr


def test_a_truncated_source_ends_the_run_and_keeps_settled_rows(tmp_path: Path) -> None:
    rows = make_rows(3 * BATCH_ROWS + 100)  # its end is not read before the first of them have been sent
    whole = gzip.compress(ndjson(rows))
    source = tmp_path / "rows.ndjson.gz"
    with emulator() as service:
        source.write_bytes(whole[: len(whole) - len(whole) // 20])
        torn = send(service.url, tmp_path, source, "--results", "out")
        sent = service.messages()
        assert torn.code == 4
        assert "is truncated, after line" in torn.said
        assert 0 < len(sent) < len(rows)
        assert not sent - once(rows)
        assert counts(torn.json)["created"] == len(sent)
        source.write_bytes(whole)
        mended = send(service.url, tmp_path, source)
        assert (mended.code, counts(mended.json)) == (
            0,
            {"created": len(rows) - len(sent), "already_created": len(sent)},
        )
        assert service.messages() == once(rows)


def test_bad_rows_do_not_end_the_run_and_go_to_files_that_can_be_sent_again(tmp_path: Path) -> None:
    rows = make_rows(6)
    misspelt = make_row(6)
    misspelt["Invitation"]["Messsage"] = misspelt["Invitation"].pop("Message")
    unknown = make_row(7, EngagementIdentifier="eng-unknown0000000")
    lines: list[dict[str, Any] | str] = [*rows[:2], misspelt, "{ no JSON", "[]", unknown, rows[0], *rows[2:]]
    source = write_rows(tmp_path / "rows.ndjson", lines)
    with emulator(unknown_engagements=("eng-unknown*",)) as service:
        ran = send(service.url, tmp_path, source, "--results", "out")
        assert (ran.code, counts(ran.json)) == (
            1,
            {"created": 6, "failed": 1, "rejected": 3, "duplicate": 1},
        )
        assert service.messages() == once(rows)

        out = tmp_path / "out"
        created, failed, rejected = (
            read_rows(out / f"{name}.ndjson") for name in ("created", "failed", "rejected")
        )
        private = [*out.iterdir(), *tmp_path.glob("bulk-invite.db*")]
        assert len(private) >= 5
        assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
        ledger = {entry["client_token"]: entry["id"] for entry in service.invitations()}
        assert {entry["token"]: entry["Id"] for entry in created} == ledger
        assert [entry["_bulk_invite"]["position"]["line"] for entry in rejected] == [3, 4, 5]
        assert failed == [{**unknown, "_bulk_invite": failed[0]["_bulk_invite"]}]
        assert failed[0]["_bulk_invite"]["errors"][0]["code"] == "ResourceNotFoundException"

        # As an operator corrects them: the text of the members only, and the two hopeless lines go.
        text = (out / "rejected.ndjson").read_text().splitlines()[0].replace("Messsage", "Message")
        (out / "rejected.ndjson").write_text(text + "\n")
        text = (out / "failed.ndjson").read_text().replace("eng-unknown0000000", "eng-00000000000007")
        (out / "failed.ndjson").write_text(text)
        again = send(
            service.url, tmp_path, out / "rejected.ndjson", out / "failed.ndjson", "--results", "out"
        )
        assert (again.code, counts(again.json)) == (0, {"created": 2}), again.stderr
        assert service.messages() == once(make_rows(8))
        assert (out / "rejected.ndjson").read_bytes() == b""


def test_another_campaign_invites_again_and_a_token_never_has_two_bodies(tmp_path: Path) -> None:
    rows = make_rows(2)
    given = [
        make_row(2, ClientToken="mine"),
        make_row(3, ClientToken="mine"),
        make_row(2, ClientToken="mine"),
    ]
    source = write_rows(tmp_path / "rows.ndjson", [*rows, *given])
    changed = write_rows(tmp_path / "changed.ndjson", [make_row(4, ClientToken="mine")])
    with emulator() as service:
        first = send(service.url, tmp_path, source)
        spring = send(service.url, tmp_path, source, "--campaign", "spring")
        later = send(service.url, tmp_path, changed)
        # A given token is the same in every campaign.
        assert service.messages() == Counter({message(0): 2, message(1): 2, message(2): 1})
        assert len({entry["client_token"] for entry in service.invitations()}) == 5
        assert service.audit()["calls"] == 5
    assert (first.code, counts(first.json)) == (1, {"created": 3, "rejected": 1, "duplicate": 1})
    assert counts(spring.json) == {"created": 2, "already_created": 1, "rejected": 1, "duplicate": 1}
    assert (later.code, counts(later.json)) == (1, {"rejected": 1})
    for ran in (first, spring, later):
        [rejected] = [event for event in ran.events if event["event"] == "row.rejected"]
        assert rejected["errors"] == ["token_reused at $.ClientToken"]


def test_a_dry_run_sends_nothing_and_a_limit_some(tmp_path: Path) -> None:
    rows = make_rows(5)
    source = write_rows(tmp_path / "rows.ndjson", [*rows, "{", rows[0]])
    nobody = f"http://127.0.0.1:{free_port()}"
    rehearsal = partial(send, nobody, tmp_path, source, "--dry-run", "--results", "out", env={})
    with emulator() as service:
        limited = send(service.url, tmp_path, source, "--limit", "2")
        assert (limited.code, counts(limited.json)["created"]) == (0, 2)
        assert service.messages() == once(rows[:2])

        before = records(tmp_path), sorted(tmp_path.iterdir())
        new, known = together(partial(rehearsal, "--checkpoint", "new.db"), rehearsal)
        assert (new.code, counts(new.json)) == (1, {"pending": 5, "rejected": 1, "duplicate": 1}), new.stderr
        assert counts(known.json) == {"pending": 3, "already_created": 2, "rejected": 1, "duplicate": 1}
        assert (records(tmp_path), sorted(tmp_path.iterdir())) == before

        rest = send(service.url, tmp_path, source)
        assert counts(rest.json) == {"created": 3, "already_created": 2, "rejected": 1, "duplicate": 1}
        assert service.messages() == once(rows)


def test_a_failed_row_is_sent_again_only_on_request_and_unchanged(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    with ScriptedServer(always(refusal("ResourceNotFoundException"), CREATED)) as server:
        refused, left, again = (
            send(server.url, tmp_path, source, *more) for more in ([], [], ["--retry-failed"])
        )
        assert (refused.code, counts(refused.json)) == (1, {"failed": 1})
        assert (left.code, counts(left.json), left.json["attempts"]) == (1, {"failed": 1}, 0)
        assert (again.code, counts(again.json)) == (0, {"created": 1})
        first, second = server.creates
        assert first.body == second.body
    [record] = records(tmp_path)
    assert (record.state, record.attempts, record.errors) == (State.CREATED, 2, ())


def test_the_live_catalog_needs_confirmation(tmp_path: Path) -> None:
    rows = [*make_rows(2), make_row(2, Catalog="AWS"), make_row(3, Catalog="Sandbox")]
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        refused = send(service.url, tmp_path, source, "--catalog", "AWS")
        assert (refused.code, "--yes" in refused.said) == (2, True)
        assert (service.audit()["operations"], list(tmp_path.iterdir())) == ({}, [source])
        sent = send(service.url, tmp_path, source, "--catalog", "AWS", "--yes")
        assert (sent.code, counts(sent.json)) == (1, {"created": 3, "rejected": 1})
        assert {entry["catalog"] for entry in service.invitations()} == {"AWS"}
    [rejected] = [event for event in sent.events if event["event"] == "row.rejected"]
    assert rejected["errors"] == ["wrong_catalog at $.Catalog"]
    assert rejected["position"] == f"{source}:4"


def test_a_foreign_or_damaged_checkpoint_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    keys = (Credential("AKIDEXAMPLE", "example"), Credential("AKIDOTHER", "example", "444455556666"))
    other = {"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "example"}
    (tmp_path / "text.db").write_text("Dear diary, this is no database of anything.\n" * 99)
    with emulator(credentials=keys) as service:
        assert send(service.url, tmp_path, source).code == 0
        copy, damaged = tmp_path / "copy.db", tmp_path / "damaged.db"
        copy.write_bytes((tmp_path / "bulk-invite.db").read_bytes())
        page = bytearray(copy.read_bytes())
        page[5000:20000] = b"\xff" * 15000
        damaged.write_bytes(page)
        before = {path: path.read_bytes() for path in tmp_path.glob("*.db")}
        live = ("--catalog", "AWS", "--yes", "--checkpoint", copy)
        cases = {
            "belongs to account 111122223333": partial(send, service.url, tmp_path, source, env=other),
            "belongs to catalog Sandbox": partial(send, service.url, tmp_path, source, *live),
            "not a database": partial(send, service.url, tmp_path, source, "--checkpoint", "text.db"),
            "damaged.db": partial(send, service.url, tmp_path, source, "--checkpoint", damaged),
        }
        for (sentence, _), ran in zip(cases.items(), together(*cases.values()), strict=True):
            assert (ran.code, sentence in ran.said) == (4, True), (sentence, ran.stderr)
        assert service.audit()["calls"] == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("*.db")} == before


def test_a_run_can_be_inspected_and_not_joined(tmp_path: Path) -> None:
    rows = make_rows(200)
    source = write_rows(tmp_path / "rows.ndjson", [*rows, "{"])
    with emulator() as service:
        arguments = ("send", source, "--endpoint-url", service.url, "--rate", "20", "--json")
        with running(*arguments, cwd=tmp_path) as sender:
            wait_until(service.calls)
            second, shown, lines, table = together(
                partial(send, service.url, tmp_path, source),
                partial(run, "status", "--json", cwd=tmp_path),
                partial(run, "export", "--state", "created", cwd=tmp_path),
                partial(run, "export", "--format", "csv", cwd=tmp_path),
            )
            assert sender.process.poll() is None
            sender.signal(signal.SIGTERM)
            assert sender.ended().code == 75
        assert (second.code, "Another sender" in second.said) == (4, True)
        assert (second.json["error"]["code"], second.json["complete"]) == ("checkpoint_locked", False)
        assert send(service.url, tmp_path, source).code == 1
        assert service.messages() == once(rows)
        ledger = {entry["client_token"]: entry["id"] for entry in service.invitations()}

    during = shown.json
    assert counts(during)
    assert (during["sending"], during["catalog"], during["account"]) == (True, "Sandbox", "111122223333")
    assert 0 < during["created"] < 200
    assert 0 < during["sent_last_minute"] <= during["attempts"] + 1
    assert 0 < len(lines.lines) <= 200
    assert all(ledger[line["token"]] == line["Id"] for line in lines.lines)
    assert len(list(csv.DictReader(io.StringIO(table.stdout)))) >= during["created"]

    after, as_csv, rejected = together(
        partial(run, "status", "--json", cwd=tmp_path),
        partial(run, "export", "--format", "csv", cwd=tmp_path),
        partial(run, "export", "--state", "rejected", "--state", "in_doubt", cwd=tmp_path),
    )
    assert (counts(after.json), after.json["sending"]) == ({"created": 200, "rejected": 1}, False)
    assert after.json["attempts"] == 200
    cells = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert Counter(cell["state"] for cell in cells) == {"created": 200, "rejected": 1}
    assert {cell["token"]: cell["Id"] for cell in cells if cell["Id"]} == ledger
    assert [(line["position"]["line"], line["state"]) for line in rejected.lines] == [(201, "rejected")]


def test_a_run_waits_for_a_dead_endpoint_and_fails_no_row(tmp_path: Path) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    port = free_port()
    ledger = tmp_path / "ledger.ndjson"
    arguments = ("--endpoint-url", f"http://127.0.0.1:{port}", "--rate", "40", "--json")
    with running("send", source, *arguments, cwd=tmp_path) as sender:
        assert sender.process.stderr is not None
        first = json.loads(sender.process.stderr.readline())
        if first["event"] == "sender.waiting":  # on a slow machine
            first = json.loads(sender.process.stderr.readline())
        assert first["event"] == "endpoint.unreachable"
        with emulator(port=port, ledger=ledger) as service:
            wait_until(lambda: len(service.calls()) >= 10)
        # Down once more, in the middle; calls that were under way may be in doubt.
        while json.loads(line := sender.process.stderr.readline())["event"] != "endpoint.unreachable":
            assert line
        with emulator(port=port, ledger=ledger) as service:
            ran = sender.ended()
            assert service.messages() == once(rows)
            # A call that was under way as the endpoint went down may have left and never arrived.
            assert 0 <= ran.json["attempts"] - service.audit()["calls"] <= 3
    assert (ran.code, counts(ran.json)) == (0, {"created": 40})
    assert "endpoint.reachable" in {event["event"] for event in ran.events}


def test_sender_faults_fail_no_row(tmp_path: Path) -> None:
    rows = make_rows(8)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    keys = (Credential("AKIDEXAMPLE", "example"),)
    with (
        emulator(credentials=keys) as service,
        emulator(credentials=keys, expired_credentials=("AKIDEXAMPLE",)) as expired,
        emulator(deny_accounts=("111122223333",)) as denied,
        ScriptedServer(always(refusal("ExpiredTokenException", status=403))) as late,
    ):
        cases = {
            "accepts any: `export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local`": partial(
                send, service.url, tmp_path, source, "--checkpoint", "0.db", env={}
            ),
            "not accepted: ExpiredToken": partial(
                send, expired.url, tmp_path, source, "--checkpoint", "3.db"
            ),
            "keeps denying calls": partial(send, denied.url, tmp_path, source, "--checkpoint", "4.db"),
            "rejects the sender: Exp": partial(send, late.url, tmp_path, source, "--checkpoint", "5.db"),
        }
        for (sentence, _), ran in zip(cases.items(), together(*cases.values()), strict=True):
            assert (ran.code, sentence in ran.said) == (4, True), (sentence, ran.stderr)
        assert late.creates
        assert denied.calls()
        assert not service.calls() + expired.calls()
        assert {record.state for record in records(tmp_path, "4.db")} == {State.PENDING}
        untouched = [(record.state, record.attempts) for record in records(tmp_path, "5.db")]
        assert untouched == [(State.PENDING, 0)] * 8
        healed = send(service.url, tmp_path, source, "--checkpoint", "5.db")
        assert (healed.code, counts(healed.json)) == (0, {"created": 8})
        assert service.messages() == once(rows)


def test_a_row_blocked_by_a_firewall_holds_up_no_other(tmp_path: Path) -> None:
    """Found from outside: six such rows of 200 ended every run at the first of them."""
    source = write_rows(tmp_path / "rows.ndjson", rows := make_rows(40))
    page = http(403, b"<html>Blocked</html>", content_type="text/html")
    bad = {row["EngagementIdentifier"] for row in rows[5:40:15]}
    with ScriptedServer(
        lambda request: Reply(page if request.json["EngagementIdentifier"] in bad else CREATED),
        reads=lambda _: Reply(http(200, {"EngagementInvitationSummaries": []})),
    ) as server:
        ran = send(server.url, tmp_path, source, "--max-attempts", "5")
        assert (ran.code, counts(ran.json)) == (1, {"created": 37, "in_doubt": 3}), ran.stderr
        calls = Counter(request.json["EngagementIdentifier"] for request in server.creates)
        assert max(calls.values()) <= 5
        assert len({request.body for request in server.creates}) == 40
        before = len(server.creates)
        again = send(server.url, tmp_path, source, "--settling-time", "1ms", "--max-attempts", "5")
        assert (again.code, again.json["in_doubt"]) == (1, 3)
        assert len(server.creates) - before <= 3 * 5
    assert "Unfamiliar.403.text-html" in ran.stderr
    assert "Blocked" not in ran.stderr + again.stderr


def test_throttles_and_faults_are_retried_with_the_same_token_and_body(tmp_path: Path) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    faults = dict.fromkeys(
        ("error_500", "error_503", "reset_before", "reset_after", "close", "truncate", "empty", "html"), 0.05
    )
    with emulator(faults=FaultOptions(**faults, throttle=0.04), retry_after=0.05, seed=7) as service:
        ran = send(service.url, tmp_path, source)
        audit = service.audit()
        assert service.messages() == once(rows)
        tokens = Counter(call["client_token"] for call in service.calls())
    assert (ran.code, counts(ran.json)) == (0, {"created": 40}), ran.stderr
    assert ran.json["attempts"] == audit["calls"] == tokens.total()
    assert ran.json["throttled"] == audit["throttled"] > 0
    assert set(audit["faults"]) == {*faults, "throttle"}
    assert {record.client_token: record.attempts for record in records(tmp_path)} == tokens


@pytest.mark.slow
def test_persistent_doubt_is_kept_and_an_old_token_is_not_sent(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(3))
    lists: list[Request] = []

    def reads(request: Request) -> Reply:
        """One query always fails; the answers to the others are unfamiliar."""
        lists.append(request)
        if request.json == lists[0].json:
            return Reply(refusal("InternalServerException", status=500))
        return Reply(refusal("ConflictException"))

    with ScriptedServer(always(Reply(then=Then.RESET)), reads=reads) as server:
        ran = send(server.url, tmp_path, source, "--max-attempts", "2")
        assert (ran.code, counts(ran.json), ran.json["attempts"]) == (1, {"in_doubt": 3}, 6)
        assert len(server.creates) == 6
        late = send(server.url, tmp_path, source, "--token-lifetime", "1ms")
        assert (late.code, counts(late.json), late.json["attempts"]) == (1, {"in_doubt": 3}, 0)
        assert len(server.creates) == 6
    assert {record.code for record in records(tmp_path)} == {"LookUpFailed"}


def test_rows_of_a_full_engagement_are_deferred_and_others_continue(tmp_path: Path) -> None:
    full = make_rows(5, EngagementIdentifier="eng-0000000popular")
    rows = make_rows(4, start=5)
    source = write_rows(tmp_path / "rows.ndjson", [*full, *rows])
    with emulator(invitations_per_engagement=2) as service:
        ran = send(service.url, tmp_path, source)
        assert (ran.code, counts(ran.json)) == (1, {"created": 6, "deferred": 3})
        arrived = service.messages()
    assert once(rows) <= arrived
    assert len(arrived & once(full)) == 2
    assert max(arrived.values()) == 1


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    rows = make_rows(60, EngagementIdentifier="eng-unknown0000000")
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator(unknown_engagements=("eng-unknown*",), latency=0.02) as service:
        limited = ("--max-in-flight", "2", "--max-failures")
        few, half = together(
            partial(send, service.url, tmp_path, source, "--checkpoint", "few.db", *limited, "3"),
            partial(send, service.url, tmp_path, source, "--checkpoint", "half.db", *limited, "50%"),
        )
        assert few.json["failed"] + half.json["failed"] == len(service.calls())
    for ran, least in ((few, 3), (half, 20)):
        assert (ran.code, "--max-failures" in ran.said) == (3, True)
        assert least <= ran.json["failed"] < least + 3


def test_a_full_disk_ends_the_run_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    rows = make_rows(400)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        command = f'ulimit -f 1000; exec "$0" send {source} --endpoint-url {service.url} {" ".join(FAST)}'
        full = run(command, cwd=tmp_path, shell=True)
        sent = service.messages()
        assert full.code == 4, full.stderr
        assert "bulk-invite.db cannot be used" in full.said
        assert 0 < len(sent) < 400
        assert max(sent.values()) == 1
        assert counts(full.json)
        again = send(service.url, tmp_path, source)
        assert (again.code, again.json["created"] + again.json["already_created"]) == (0, 400)
        assert service.messages() == once(rows)


def config(folder: Path, text: str) -> Path:
    path = folder / f"{abs(hash(text))}.toml"
    path.write_text(text)
    return path


def test_an_impossible_setting_is_refused_with_its_origin(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    flag, env, file = "on the command line:", "in the environment (BULK_INVITE_", ".toml:"
    mixed = config(tmp_path, "limit = 2\nrate = [5]\nmax_attempts = 0\nburst = 1\n")
    cases: list[tuple[list[str | Path], dict[str, str], tuple[str, ...]]] = [
        (["--colour", "red"], {}, ("--colour",)),
        (
            ["--rate", "0", "--max-rate", "nan", "--max-in-flight", "many", "--token-lifetime", "8"],
            {},
            (f"--rate {flag}", f"--max-rate {flag}", f"--max-in-flight {flag}", f"--token-lifetime {flag}"),
        ),
        (
            ["--max-failures", "0%", "--catalog", "Moon", "--progress", "loud", "--burst", "0.5"],
            {},
            (f"--max-failures {flag}", f"--catalog {flag}", f"--progress {flag}", f"--burst {flag}"),
        ),
        (
            [],
            {"RATE": "fast", "DRY_RUN": "perhaps", "CALL_TIMEOUT": "-1s"},
            (f"--rate {env}RATE)", f"--dry-run {env}DRY_RUN)", f"--call-timeout {env}CALL_TIMEOUT)"),
        ),
        (
            ["--limit", "-1", "--config", mixed],
            {"BURST": "-3"},
            (f"--limit {flag}", f"--burst {env}BURST)", "--rate in ", "--max-attempts in ", file),
        ),
        (["--config", config(tmp_path, "max-rate = 5\n")], {}, ("unknown key", "'max-rate'", "max_rate")),
        (["--config", config(tmp_path, "rate = \n")], {}, ("not valid TOML",)),
        ([], {"CONFIG": "missing.toml"}, ("missing.toml", "cannot be read")),
        (["postgresql://me:secret@host/db"], {}, ("database",)),
        (["--checkpoint", "mysql://me:secret@host/db"], {}, (f"--checkpoint {flag}",)),
        (["--endpoint-url", "http://["], {}, (f"--endpoint-url {flag}",)),
        (["--endpoint-url", "ftp://127.0.0.1"], {}, (f"--endpoint-url {flag}",)),
        (["--catalog", "AWS", "--no-yes"], {"YES": "1"}, ("needs confirmation",)),
    ]
    nobody = f"http://127.0.0.1:{free_port()}"
    ran = together(
        *(
            partial(
                run,
                *("send", source, "--endpoint-url", nobody, *arguments),
                cwd=tmp_path,
                env={**CREDENTIALS, **{f"BULK_INVITE_{name}": value for name, value in variables.items()}},
            )
            for arguments, variables, _ in cases
        )
    )
    for (arguments, variables, sentences), each in zip(cases, ran, strict=True):
        where = (arguments, variables, each.stderr)
        assert each.code == 2, where
        assert all(sentence in " ".join(each.stderr.split()) for sentence in sentences), where
        assert "Traceback" not in each.stderr, where
        assert "secret" not in each.stderr, where
    assert not (tmp_path / "bulk-invite.db").exists()


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(6))
    with emulator() as service:
        file = config(
            tmp_path,
            f'endpoint_url = "{service.url}"\nrate = 200\nlimit = 1\n'
            'checkpoint = "file.db"\nresults = "file"\n',
        )
        env = {
            **CREDENTIALS,
            "BULK_INVITE_CONFIG": str(file),
            "BULK_INVITE_LIMIT": "2",
            "BULK_INVITE_CHECKPOINT": "environment.db",
        }
        ran = run("send", "rows.ndjson", "--limit", "3", cwd=tmp_path, env=env)
        assert (ran.code, len(service.calls())) == (0, 3)
    # Without --json there is a table.
    assert [line.split() for line in ran.stdout.splitlines()[3:5]] == [["rows", "3"], ["created", "3"]]
    assert len(read_rows(tmp_path / "file" / "created.ndjson")) == 3
    assert [path.name for path in tmp_path.glob("*.db")] == ["environment.db"]

    closed = run('"$0" export --checkpoint environment.db | true', cwd=tmp_path, shell=True)
    assert "Traceback" not in closed.stderr


def test_unread_output_shows_in_the_exit_code_and_logs_stop_nothing(tmp_path: Path) -> None:
    rows = make_rows(5)
    write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        command = f'"$0" send rows.ndjson --endpoint-url {service.url} --log-level debug --rate 100'
        log_gone, output_gone = (
            run(f"{command} --checkpoint log.db 2>/dev/full", cwd=tmp_path, shell=True),
            run(f"{command} --checkpoint output.db --campaign more >/dev/full", cwd=tmp_path, shell=True),
        )
        assert Counter(service.messages()) == Counter(messages(rows) * 2)
    assert log_gone.code == 0
    assert "created" in log_gone.stdout
    assert output_gone.code == 4
    assert "No space left" in output_gone.said


@pytest.mark.parametrize("form", ["--json", "--no-json"])
def test_a_reader_that_has_gone_changes_nothing_of_how_a_run_ends(tmp_path: Path, form: str) -> None:
    rows = make_rows(5)
    write_rows(tmp_path / "rows.ndjson", [*rows, "{"])
    with emulator() as service, pipe_without_reader() as gone:
        ran = run(
            *("send", "rows.ndjson", "--endpoint-url", service.url, "--rate", "100", form),
            cwd=tmp_path,
            stdout=gone,
        )
        assert Counter(service.messages()) == Counter(messages(rows))
    assert (ran.code, ran.said) == (1, "")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_change_nothing_of_how_a_run_ends(tmp_path: Path, closed: str) -> None:
    rows = make_rows(5)
    write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        script = f'"$0" send rows.ndjson --endpoint-url {service.url} --rate 100 {closed}'
        ran = run(script, cwd=tmp_path, shell=True)
        assert Counter(service.messages()) == Counter(messages(rows))
    assert (ran.code, "created" in ran.stdout) == (0, "1>&-" not in closed)


def test_a_file_that_is_no_service_model_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(1))
    (tmp_path / "half.json").write_text(
        '{"shapes": {"CreateEngagementInvitationRequest": {"type": "structure"}}}'
    )
    ran = run("send", "rows.ndjson", "--service-model", "half.json", cwd=tmp_path)
    assert (ran.code, "Traceback" in ran.stderr) == (4, False)
    assert "without the metadata" in ran.said


def test_a_stopped_dry_run_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    env = {**CREDENTIALS, "TMPDIR": str(tmp_path / "temporary")}
    ended = []
    for number, *more in ((signal.SIGTERM, "--json"), (signal.SIGINT,), (signal.SIGHUP,)):
        command = ("send", "-", "--dry-run", *more)
        with running(*command, cwd=tmp_path, env=env, stdin=subprocess.PIPE) as rehearsal:
            wait_until(lambda: list((tmp_path / "temporary").rglob("rehearsal.db")))
            rehearsal.signal(number)
            ended.append(rehearsal.ended())
        assert list((tmp_path / "temporary").iterdir()) == []
    assert [ran.code for ran in ended] == [75, 75, 75]
    result = ended[0].json
    assert (result["complete"], result["error"]["code"]) == (False, "stopped")
    assert (result["not_read"], result["forecast"], counts(result)) == (None, None, {})
    for ran in ended[1:]:
        assert "0 rows were read. This is not the whole. Nothing was sent." in ran.stdout


def test_a_dry_run_that_cannot_read_on_shows_what_it_has_read(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"{json.dumps(row)}\n" for row in make_rows(3)).encode())
    (tmp_path / "rows.ndjson.gz").write_bytes(packed[:-8])
    ran = run("send", "rows.ndjson.gz", "--dry-run", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["complete"], ran.json["error"]["code"]) == (4, False, "source")
    assert counts(ran.json) == {"pending": 3}


def test_a_shortened_source_keeps_no_old_rejections(tmp_path: Path) -> None:
    source = tmp_path / "rows.ndjson"
    with emulator() as service:
        write_rows(source, [*make_rows(2), "no row"])
        assert send(service.url, tmp_path, source).code == 1
        write_rows(source, make_rows(2))
        assert send(service.url, tmp_path, source).code == 0
    assert counts(run("status", "--json", cwd=tmp_path).json) == {"created": 2}


def test_unfinished_work_is_reported_with_the_next_step(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(5))
    forbidden = ("eng-00000000000000",)
    with emulator(forbidden_engagements=forbidden) as service:
        limited = send(service.url, tmp_path, source, "--limit", "3")
        again = send(service.url, tmp_path, source)
    assert (limited.code, counts(limited.json)) == (1, {"created": 2, "failed": 1})
    [event] = [event for event in limited.events if event["event"] == "run.limit_reached"]
    assert event["limit"] == 3
    [event] = [event for event in again.events if event["event"] == "run.previously_failed"]
    assert event["rows"] == 1
    assert "--retry-failed" in event["next"]


def test_earlier_results_are_not_lost_by_correcting_or_validating(tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = write_rows(tmp_path / "rows.ndjson", [*make_rows(2), make_row(2, Catalog="Moon")])
    with emulator() as service:
        assert send(service.url, tmp_path, source, "--results", out).code == 1
        created = (out / "created.ndjson").read_bytes()
        assert run("validate", source, "--results", out, cwd=tmp_path).code == 1
        assert (out / "created.ndjson").read_bytes() == created
        [rejected] = read_rows(out / "rejected.ndjson")
        write_rows(out / "rejected.ndjson", [{**rejected, "Catalog": "Sandbox"}])
        assert send(service.url, tmp_path, out / "rejected.ndjson", "--results", out).code == 0
    assert (out / "created.ndjson.previous").read_bytes() == created
    assert len(read_rows(out / "created.ndjson")) == 1
    assert read_rows(out / "rejected.ndjson") == []
