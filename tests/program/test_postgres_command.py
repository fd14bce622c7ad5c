"""`send` and its companions on the rows of a real PostgreSQL, killed and restarted."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import orjson
import pytest
from command import FAST, Emulator, emulator, run, running, wait_until
from crm import READ, filled
from database import PASSWORD, Database, database, server
from rows import make_rows, messages, write_rows

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.settings.loading import require_effect
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.sources import open_sources


def arguments(db: Database, url: str, *more: str) -> tuple[str, ...]:
    return (db.reader, *READ, "--endpoint-url", url, *more)


def settings(**values: str) -> Settings:
    return Settings.model_validate(values)


BLANKS = 20_000
"""With so many there are four pages in 1,600 rows (`_PAGE_BYTES` in `sources.postgres.pages`)."""


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


def test_every_row_is_invited_once_and_reported_by_its_key(db: Database, tmp_path: Path) -> None:
    rows = filled(db, 300)
    with emulator() as service:
        command = arguments(db, service.url, *FAST, "--results", "out")
        ran = run("send", *command, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["created"]) == (0, 300), ran.stderr
        again = run("send", *command, cwd=tmp_path, env=db.env)
        assert (again.code, again.json["already_created"], again.json["attempts"]) == (0, 300, 0)
        assert service.messages() == Counter(messages(rows))
    created = [orjson.loads(line) for line in (tmp_path / "out" / "created.ndjson").read_bytes().splitlines()]
    assert {each["position"]["key"] for each in created} == {str(n) for n in range(1, 301)}
    exported = run("export", cwd=tmp_path).lines
    assert {each["position"]["source"] for each in exported} == {
        f"postgresql:{db.name}/public.invitations/id"
    }
    assert run("export", "--format", "csv", cwd=tmp_path).stdout.count("public.invitations/id,,") == 300


def test_a_killed_run_continues_after_the_last_key(db: Database, tmp_path: Path) -> None:
    rows = filled(db, 900)
    bad = {5: "{}", 7: '{"EngagementIdentifier": "?"}'}
    for key, request in bad.items():
        db.run("UPDATE invitations SET request = %s WHERE id = %s", (request, key))
    valid = [row for key, row in enumerate(rows, start=1) if key not in bad]
    with emulator(latency=0.1) as service:
        command = arguments(db, service.url, "--rate", "100", "--json", "--daily-quota", "none")
        for goal in (150, 400):
            with running("send", *command, cwd=tmp_path, env=db.env) as sender:
                wait_until(partial(_has_calls, service, goal))
                sender.signal(signal.SIGKILL)
        sent = [each["position"]["key"] for each in run("export", "--state", "created", cwd=tmp_path).lines]
        # Settled rows are not read again: they could be deleted.
        db.run("DELETE FROM invitations WHERE id::text = ANY(%s)", (sent,))
        ran = run("send", *command, "--progress-interval", "1s", cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["rejected"]) == (1, 2), ran.stderr
        # The total includes the rows that are no longer in the database.
        assert {each["of"] for each in ran.events if each["event"] == "run.progress"} == {900}
        assert ran.json["already_created"] == len(sent)
        assert (ran.json["rows"], ran.json["created"]) == (900, 898 - len(sent))
        assert service.messages() == Counter(messages(valid))
        # The source was read to its end, so the next run starts from the beginning.
        again = run("send", *command, cwd=tmp_path, env=db.env)
        assert (again.json["rows"], again.json["attempts"]) == (900 - len(sent), 0)


def test_a_limited_run_continues_where_the_last_one_ended(db: Database, tmp_path: Path) -> None:
    filled(db, 50)
    with emulator() as service:
        command = arguments(db, service.url, *FAST, "--limit", "20")
        results = [run("send", *command, cwd=tmp_path, env=db.env).json for _ in range(4)]
        assert [each["created"] for each in results] == [20, 20, 10, 0]
        assert [each["already_created"] for each in results] == [0, 20, 40, 50]
        assert len(service.calls()) == 50


def test_another_campaign_starts_at_the_first_row(db: Database, tmp_path: Path) -> None:
    filled(db, 10)
    with emulator() as service:
        command = arguments(db, service.url, *FAST)
        assert run("send", *command, "--limit", "6", cwd=tmp_path, env=db.env).json["created"] == 6
        ran = run("send", *command, "--campaign", "again", cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["created"], ran.json["already_created"]) == (0, 10, 0)
        first = run("send", *command, cwd=tmp_path, env=db.env)
        assert (first.code, first.json["created"], first.json["already_created"]) == (0, 4, 6)


def test_a_token_from_the_key_survives_changes_and_a_changed_row_is_reported(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 3)
    change = "UPDATE invitations SET request = jsonb_set(request, '{Invitation,Message}', %s) WHERE id = %s"
    with emulator() as service:
        command = arguments(db, service.url, *FAST, "--token-from", "key")
        assert run("send", *command, "--limit", "2", cwd=tmp_path, env=db.env).json["created"] == 2
        db.run(change, ('"changed"', 1))
        db.run(change, ('"mended in time"', 3))
        # It continues after the second row; the next run reads all of them again.
        ran = run("send", *command, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["created"], ran.json["already_created"]) == (0, 1, 2)
        ran = run("send", *command, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["already_created"], ran.json["rejected"]) == (1, 2, 1)
        assert len(service.invitations()) == 3
        assert service.messages()["mended in time"] == 1
        assert service.messages()["changed"] == 0
    (row_record,) = run("export", "--state", "rejected", cwd=tmp_path).lines
    assert [error["code"] for error in row_record["errors"]] == ["changed_since_sent"]
    assert row_record["position"]["key"] == "1"


def test_a_restarted_and_a_killed_server_cost_no_row(tmp_path: Path) -> None:
    with server() as postgres, database(postgres.url) as db, emulator() as service:
        rows = filled(db, 1_600, blanks=BLANKS)
        command = arguments(db, service.url, "--rate", "2000", "--json", "--daily-quota", "none")
        with running("send", *command, "--log-format", "json", cwd=tmp_path, env=db.env) as sender:
            for calls, go_down in ((300, postgres.stop), (900, postgres.kill)):
                wait_until(partial(_has_calls, service, calls))
                go_down()
                time.sleep(1.0)
                postgres.start()
            ran = sender.ended(within=90)
        assert (ran.code, ran.json["created"]) == (0, 1_600), ran.stderr[-2000:]
        assert "source.unreachable" in {event["event"] for event in ran.events}
        assert service.messages() == Counter(messages(rows))


def test_a_stop_while_the_database_is_down_ends_soon(tmp_path: Path) -> None:
    with server() as postgres, database(postgres.url) as db, emulator() as service:
        filled(db, 1_600, blanks=BLANKS)
        command = arguments(db, service.url, "--rate", "1000", "--json", "--daily-quota", "none")
        with running("send", *command, "--log-format", "json", cwd=tmp_path, env=db.env) as sender:
            wait_until(lambda: len(service.calls()) >= 100)
            postgres.stop("immediate")
            assert sender.process.stderr is not None
            unreachable = threading.Event()
            seen = []
            for line in sender.process.stderr:
                seen.append(line)
                if "source.unreachable" in line:
                    unreachable.set()
                    break
            assert unreachable.is_set(), seen
            assert PASSWORD not in "".join(seen)
            began = time.monotonic()
            sender.signal(signal.SIGTERM)
            assert sender.process.wait(10) == 75
            assert time.monotonic() - began < 3
        postgres.start()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("--table", "nothing"), 4, "There is no table nothing"),
        (("--key", "nothing"), 4, "has no column nothing. It has id, request"),
        (("--request-column", "nothing"), 4, "has no column nothing"),
        (("--query", "SELECT 1"), 2, "either --table or --query"),
        (("--columns", '{"Invitation.Message": "nothing"}'), 4, "has no column nothing"),
        (("--columns", "["), 2, "--columns"),
    ],
)
def test_an_unreadable_source_ends_the_run_before_anything_is_sent(
    db: Database, tmp_path: Path, change: tuple[str, ...], code: int, said: str
) -> None:
    filled(db, 3)
    with emulator() as service:
        ran = run("send", *arguments(db, service.url, *FAST, *change), cwd=tmp_path, env=db.env)
        assert (ran.code, said in " ".join(ran.stderr.split())) == (code, True), ran.stderr
        assert not service.calls()


def test_a_wrong_password_and_an_absent_server_are_reported_without_the_password(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 1)
    for url, env in (
        (db.reader, {"PGPASSWORD": "wrong-Secret"}),
        (db.reader.replace("@", ":wrong-Secret@"), {}),
        (f"postgresql://me:wrong-Secret@127.0.0.1:1/{db.name}", {}),
    ):
        ran = run("validate", url, *READ, cwd=tmp_path, env=env)
        assert ran.code == 4, ran.stderr
        assert "wrong-Secret" not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr


def test_rows_are_validated_and_dry_run_like_those_of_a_file(db: Database, tmp_path: Path) -> None:
    filled(db, 10)
    db.run("UPDATE invitations SET request = '{}' WHERE id = 4")
    checked = run("validate", db.reader, *READ, "--json", cwd=tmp_path, env=db.env)
    assert (checked.code, checked.json["valid"], checked.json["rejected"]) == (1, 9, 1)
    assert checked.json["first"][0]["position"] == {
        "source": f"postgresql:{db.name}/public.invitations/id",
        "key": "4",
    }
    with emulator() as service:
        ran = run("send", *arguments(db, service.url, "--dry-run", "--json"), cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["pending"], ran.json["rejected"]) == (1, 9, 1)
        assert not service.calls()


def test_rows_in_doubt_are_found_by_the_requests_in_the_database(db: Database, tmp_path: Path) -> None:
    rows = filled(db, 40)
    with emulator(latency=0.4) as service:
        command = arguments(db, service.url, "--rate", "40", "--settling-time", "1s")
        with running("send", *command, cwd=tmp_path, env=db.env) as sender:
            wait_until(lambda: len(service.calls()) >= 12)
            sender.signal(signal.SIGKILL)
        settling = ("--settling-time", "1s", "--json")
        ran = run("reconcile", *arguments(db, service.url), *settling, cwd=tmp_path, env=db.env)
        assert (ran.code, ran.json["in_doubt"]) == (0, 0), ran.stderr
        assert ran.json["created"] > 0
        assert run("send", *command, cwd=tmp_path, env=db.env).code == 0
        assert service.messages() == Counter(messages(rows))


def test_the_live_catalog_is_confirmed_without_showing_the_address(db: Database, tmp_path: Path) -> None:
    filled(db, 1)
    secret = db.reader.replace("@", f":{PASSWORD.replace('%', '%25')}@")
    ran = run("send", secret, *READ, "--catalog", "AWS", cwd=tmp_path)
    assert ran.code == 2
    assert PASSWORD not in ran.stderr
    assert "needs confirmation" in ran.stderr


@pytest.mark.parametrize("command", ["send", "validate", "serve", "reconcile", "doctor"])
def test_options_of_a_database_are_refused_where_no_source_is_one(tmp_path: Path, command: str) -> None:
    (tmp_path / "rows").mkdir()
    source = tmp_path / "rows"
    if command != "serve":
        source /= "rows.ndjson"
        source.write_text("")
    ran = run(command, source, "--table", "invitations", "--key", "id", cwd=tmp_path)
    assert "--table, --key have no effect: no source is a database. " in ran.said
    assert ran.code == 2
    assert not [*tmp_path.glob("*.db")]


def test_a_file_of_settings_may_serve_databases_and_files(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('table = "invitations"\nkey = "id"\n')
    write_rows(tmp_path / "rows.ndjson", make_rows(1))
    ran = run("validate", "rows.ndjson", "--config", "own.toml", cwd=tmp_path)
    assert ran.code == 0, ran.stderr


def test_options_of_a_database_hold_for_the_one_among_files() -> None:
    require_effect(["rows.ndjson", "postgresql://db/x"], {"table": "invitations", "key": "id"})
    require_effect([], {"table": "invitations"})


def test_impossible_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        open_sources(["-", "-"], settings())
    with pytest.raises(
        UsageError, match=r"--key \$\._bulk_invite\.key has no effect without --token-from key"
    ):
        open_sources([str(tmp_path / "rows.ndjson")], settings(key="$._bulk_invite.key"))
    with pytest.raises(UsageError, match="cannot be parsed") as raised:
        open_sources(["postgresql://me:se%zzcret@db/x"], settings(table="t", key="id"))
    assert "cret" not in str(raised.value)


def test_a_change_that_would_give_other_tokens_is_refused(db: Database, tmp_path: Path) -> None:
    filled(db, 3)
    with emulator() as service:
        command = arguments(db, service.url, *FAST)
        assert run("send", *command, cwd=tmp_path, env=db.env).json["created"] == 3
        other = run("send", *command, "--token-from", "key", cwd=tmp_path, env=db.env)
        assert (other.code, "would send all of them again" in other.said) == (2, True)
        rehearsed = run("send", *command, "--token-from", "key", "--dry-run", cwd=tmp_path, env=db.env)
        assert rehearsed.code == 2
        again = run("send", *command, "--token-from", "key", "--campaign", "autumn", cwd=tmp_path, env=db.env)
        assert again.json["created"] == 3
        assert len(service.calls()) == 6


def test_an_edited_refused_row_and_a_row_of_another_table_are_reported_as_such(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 3)
    changed = """jsonb_set(request, '{Invitation,Message}', '"x"')"""
    db.run(f"CREATE TABLE others AS SELECT id, {changed} AS request FROM invitations")
    db.run(f"GRANT SELECT ON others TO {db.role}")
    with emulator(unknown_engagements=("eng-00000000000001",)) as service:
        command = ("--key", "id", "--endpoint-url", service.url, *FAST, "--token-from", "key")
        first = run("send", db.reader, "--table", "invitations", *command, cwd=tmp_path, env=db.env)
        assert (first.json["created"], first.json["failed"]) == (2, 1)
        db.run("UPDATE invitations SET request = jsonb_set(request, '{Invitation,Message}', '\"y\"')")
        for table, codes in (
            ("invitations", {"changed_since_sent": 2, "changed_since_refused": 1}),
            ("others", {"key_of_another_source": 3}),
        ):
            ran = run("send", db.reader, "--table", table, *command, cwd=tmp_path, env=db.env)
            assert ran.json["rejected"] == 3
            row_record = [
                each["errors"][0].split()[0] for each in ran.events if each["event"] == "row.rejected"
            ]
            assert Counter(row_record) == codes
        assert len(service.calls()) == 3


def test_texts_that_may_hold_a_password_are_not_repeated(tmp_path: Path) -> None:
    for name in (
        "mysql://crm:hunter2@host/db",
        "postgresql//crm:hunter2@host/db",
        "host=db password=hunter2",
    ):
        for ran in (
            run("validate", name, cwd=tmp_path),
            run("serve", name, cwd=tmp_path, env={}),
            run("status", "--checkpoint", name, cwd=tmp_path),
        ):
            assert ran.code == 2, ran.stderr
            assert "hunter2" not in ran.stdout + ran.stderr
