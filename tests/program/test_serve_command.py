"""The installed `serve`: rows arrive while it runs, every service around it fails, and it recovers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from command import CREDENTIALS, Emulator, Running, emulator, free_port, run, running, start, wait_until
from crm import READ, filled, insert, with_outcomes
from database import Database, database, server
from page_server import listens
from rows import make_rows, messages, ndjson, write_rows

from bulk_invite.rehearsal.emulator.credentials import Credential

FOLLOW = ("--rate", "200", "--burst", "20", "--json", "--poll-interval", "500ms", "--daily-quota", "none")


@pytest.fixture
def service() -> Iterator[Emulator]:
    with emulator(latency=0.05) as running_service:
        yield running_service


@contextmanager
def _serving(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> Iterator[Running]:
    """Ended by the test, or else killed."""
    with running("serve", *command, cwd=cwd, env=env or CREDENTIALS) as process:
        yield process


def _has(service: Emulator, count: int) -> bool:
    return len(service.invitations()) >= count


def _invited(service: Emulator, count: int, *, within: float = 20.0) -> None:
    wait_until(partial(_has, service, count), within=within)


def _stopped(process: Running, number: int = signal.SIGTERM) -> Any:
    process.signal(number)
    ran = process.ended(within=15)
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran


def _ready(port: int) -> tuple[int, dict[str, str]]:
    """Status and reasons; 0 without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)["reasons"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["reasons"]
    except OSError:
        return 0, {}


def _status(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5) as answer:
        return dict(json.load(answer))


def test_rows_are_sent_as_they_are_committed_in_any_order(
    db: Database, service: Emulator, tmp_path: Path
) -> None:
    rows = filled(db, 40)
    later = make_rows(30, start=1000)
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW)
    with _serving(*command, cwd=tmp_path, env=db.env) as serving:
        _invited(service, 40)
        with db.connection() as early:  # takes the lower keys and commits last
            early.execute("INSERT INTO invitations VALUES (100, %s)", (orjson.dumps(later[0]).decode(),))
            insert(db, later[1:20], key=101)
            _invited(service, 59)
            time.sleep(1.2)
            assert len(service.invitations()) == 59
        _invited(service, 60)
        insert(db, later[20:], key=-50)
        _invited(service, 70)
        ran = _stopped(serving)
    assert (ran.code, ran.json["created"], ran.json["pending"]) == (0, 70, 0)
    assert service.messages() == Counter(messages([*rows, *later]))


def test_a_notification_triggers_a_read_at_once_and_a_corrected_row_is_sent(
    db: Database, service: Emulator, tmp_path: Path
) -> None:
    filled(db, 3)
    db.run("UPDATE invitations SET request = '{}' WHERE id = 2")
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW, "--poll-interval", "1h")
    with _serving(*command, "--notify-channel", "bell", cwd=tmp_path, env=db.env) as serving:
        _invited(service, 2)
        time.sleep(0.5)
        db.run(
            "UPDATE invitations SET request = %s WHERE id = 2",
            (orjson.dumps(make_rows(1, start=77)[0]).decode(),),
        )
        db.run("NOTIFY bell")
        _invited(service, 3, within=5)
        ran = _stopped(serving)
    assert ran.code == 0
    assert ran.json["created"] == 3


@pytest.mark.slow
def test_repeated_kills_of_serve_and_its_services_invite_every_row_once(
    service: Emulator, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = []
    with server() as postgres, database(postgres.url) as db:
        rows += filled(db, 150)
        db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
        at = ("--checkpoint", db.reader)
        command = (db.reader, *READ, *at, "--endpoint-url", service.url, *FOLLOW, "--rate", "60")
        for round_number, harm in enumerate(("sender", "server", "sender", "restart")):
            with _serving(*command, "--wait-for-lock", cwd=tmp_path, env=db.env) as serving:
                _invited(service, len(rows) - 120)
                if harm == "sender":
                    serving.signal(signal.SIGKILL)
                elif harm == "server":
                    postgres.kill()
                    postgres.start()
                else:
                    postgres.stop("immediate")
                    time.sleep(1)
                    postgres.start()
                new = make_rows(50, start=1000 * (round_number + 1))
                insert(db, new, key=1000 - 100 * round_number)
                rows += new
                if harm != "sender":
                    _invited(service, len(rows) - 60)
                    assert serving.process.poll() is None
        # The database may not have noticed yet that the one before is gone.
        with _serving(*command, "--wait-for-lock", cwd=tmp_path, env=db.env) as serving:
            _invited(service, len(rows))
            time.sleep(1)
            ran = _stopped(serving)
        assert (ran.code, ran.json["created"]) == (0, len(rows)), ran.stderr
    assert service.messages() == Counter(messages(rows))


def test_readiness_names_what_does_not_answer_and_serve_recovers_by_itself(tmp_path: Path) -> None:
    port, listen = free_port(), free_port()
    rows = make_rows(20)
    with server() as postgres, database(postgres.url) as db:
        filled(db, 10)
        ready = partial(_ready, listen)
        command = (db.reader, *READ, "--endpoint-url", f"http://127.0.0.1:{port}", *FOLLOW)
        more = ("--listen", f"127.0.0.1:{listen}", "--health-file", tmp_path / "health.json")
        with _serving(*command, *more, cwd=tmp_path, env=db.env) as serving:
            wait_until(lambda: ready()[0] == 503 and "endpoint" in ready()[1])
            with emulator(port=port) as service:
                _invited(service, 10)
                wait_until(lambda: ready() == (200, {}))
                wait_until(lambda: run("health", "--health-file", more[-1], cwd=tmp_path).code == 0)
                postgres.stop("immediate")
                wait_until(lambda: ready()[0] == 503 and "source" in ready()[1])
                postgres.start()
                insert(db, rows[10:], key=100)
                _invited(service, 20)
                wait_until(lambda: ready() == (200, {}))
                ran = _stopped(serving)
                assert service.messages() == Counter(messages(rows))
    assert ran.code == 0
    assert not (tmp_path / "health.json").exists()


def test_serve_waits_on_expired_credentials_and_adopts_new_ones_from_the_file(
    db: Database, tmp_path: Path
) -> None:
    filled(db, 5)
    keys = tmp_path / "credentials"

    def write(key: str) -> None:
        keys.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    write("AKIDOLD")
    env = {**db.env, "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    for name in CREDENTIALS:
        del env[name]
    known = (Credential("AKIDOLD", "s"), Credential("AKIDNEW", "s"))
    with emulator(credentials=known, expired_credentials=("AKIDOLD",)) as service:
        command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW)
        with _serving(*command, cwd=tmp_path, env=env) as serving:
            time.sleep(3)
            assert serving.process.poll() is None
            write("AKIDNEW")
            _invited(service, 5)
            ran = _stopped(serving)
    assert ran.code == 0
    assert [each["event"] for each in ran.events].count("serve.retrying") >= 1


def test_a_fault_at_the_start_ends_with_4_or_2_at_once(
    db: Database, service: Emulator, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.ndjson", make_rows(1))
    to = ("--endpoint-url", service.url)
    missing = run("serve", db.reader, "--table", "nothing", "--key", "id", *to, cwd=tmp_path, env=db.env)
    assert (missing.code, "no table" in missing.said) == (4, True)
    ends = run("serve", file, *to, cwd=tmp_path)
    assert (ends.code, "cannot be followed" in ends.said) == (2, True)
    filled(db, 1)
    live = run("serve", db.reader, *READ, *to, "--catalog", "AWS", cwd=tmp_path, env=db.env)
    assert (live.code, "--yes" in live.said) == (2, True)
    with _serving(db.reader, *READ, *to, *FOLLOW, cwd=tmp_path, env=db.env) as serving:
        _invited(service, 1)
        second = run("serve", db.reader, *READ, *to, cwd=tmp_path, env=db.env)
        assert (second.code, "Another sender" in second.said) == (4, True)
        assert _stopped(serving).code == 0
    busy = run("serve", db.reader, *READ, *to, "--listen", service.url[7:], cwd=tmp_path, env=db.env)
    assert (busy.code, "cannot listen" in busy.said) == (4, True), busy.stderr


def test_sighup_reloads_the_configuration_or_keeps_the_old_one(
    db: Database, service: Emulator, tmp_path: Path
) -> None:
    filled(db, 60)
    file = tmp_path / "bulk-invite.toml"
    file.write_text('rate = 2\nkey = "id"\ntable = "invitations"\npoll_interval = "500ms"\n')
    command = (db.reader, "--endpoint-url", service.url, "--json", "--config", file)
    with _serving(*command, cwd=tmp_path, env=db.env) as serving:
        _invited(service, 3)
        table = 'table = "invitations"\n'
        for refused in (
            f"{table}rate = -1\n",
            f'{table}catalog = "AWS"\nyes = true\n',
            f'{table}daily_quota = "none"\npace = "spread"\n',
            f'{table}log_file = "/nowhere/log"\n',
            'table = "nothing"\n',
        ):
            file.write_text(f'key = "id"\n{refused}')
            serving.signal(signal.SIGHUP)
            time.sleep(1.5)
        file.write_text('rate = 200\nkey = "id"\ntable = "invitations"\n')
        serving.signal(signal.SIGHUP)
        _invited(service, 60, within=15)
        ran = _stopped(serving)
    assert ran.code == 0
    events = {each["event"]: each for each in ran.events}
    refused_for = [each["reason"] for each in ran.events if each["event"] == "serve.configuration_rejected"]
    assert len(refused_for) == 5
    assert "cannot change catalog; restart the service" in refused_for[1]
    assert "The log file /nowhere/log cannot be written" in refused_for[3]
    assert "no table nothing" in refused_for[4]
    assert events["serve.configuration_reloaded"]["changed"] == ["rate", "poll_interval"]
    assert service.messages() == Counter(messages(make_rows(60)))


def test_files_of_a_directory_are_sent_as_they_come(service: Emulator, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_rows(folder / "a.ndjson", make_rows(10))
    with _serving(folder, "--endpoint-url", service.url, *FOLLOW, cwd=tmp_path) as serving:
        _invited(service, 10)
        partial_file = write_rows(folder / "b.ndjson.partial", make_rows(10, start=10))
        time.sleep(1)
        partial_file.rename(folder / "b.ndjson")
        _invited(service, 20)
        with (folder / "a.ndjson").open("ab") as file:
            file.write(ndjson(make_rows(5, start=20)))
        _invited(service, 25)
        ran = _stopped(serving)
    assert (ran.code, ran.json["created"], ran.json["duplicate"]) == (0, 25, 0)
    assert service.messages() == Counter(messages(make_rows(25)))


def test_writers_of_a_fifo_come_and_go(service: Emulator, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with _serving(fifo, "--endpoint-url", service.url, *FOLLOW, cwd=tmp_path) as serving:
        for start_at in (0, 10):
            with fifo.open("wb") as writer:
                writer.write(ndjson(make_rows(10, start=start_at)))
            _invited(service, start_at + 10)
        assert _stopped(serving).code == 0
    assert service.messages() == Counter(messages(make_rows(20)))


def test_serve_ends_with_standard_input(service: Emulator, tmp_path: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "wb", buffering=0) as writer:
        serving = start("serve", "-", "--endpoint-url", service.url, *FOLLOW, cwd=tmp_path, stdin=reader)
        writer.write(ndjson(make_rows(10)))
        _invited(service, 10)
        writer.write(ndjson(make_rows(5, start=10)))
        _invited(service, 15)
    ran = serving.ended()
    assert (ran.code, ran.json["created"]) == (0, 15), ran.stderr


def test_open_rows_are_retried_later(db: Database, tmp_path: Path) -> None:
    """An engagement is full, and then it is not: the emulator after it allows more."""
    rows = [{**row, "EngagementIdentifier": "eng-00000000000007"} for row in make_rows(12)]
    db.run("CREATE TABLE invitations (id bigint PRIMARY KEY, request jsonb NOT NULL)")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    insert(db, rows, key=1)
    port, ledger = free_port(), tmp_path / "ledger.ndjson"
    page = ("--listen", str(listen := free_port()))
    command = (db.reader, *READ, "--endpoint-url", f"http://127.0.0.1:{port}", *FOLLOW, *page)
    with _serving(*command, "--retry-interval", "2s", cwd=tmp_path, env=db.env) as serving:
        wait_until(lambda: listens(listen) and _status(listen)["state"] == "waiting")
        status = _status(listen)
        assert {status[each] for each in ("rate", "max_rate", "attempts", "sent_last_day")} == {None}
        assert status["sources"] == [f"postgresql:{db.name}/public.invitations/id"]
        with emulator(port=port, ledger=ledger) as service:
            _invited(service, 9)
            time.sleep(3)
            assert len(service.invitations()) == 9
        with emulator(port=port, ledger=ledger, invitations_per_engagement=100) as service:
            _invited(service, 12)
            ran = _stopped(serving)
            assert service.messages() == Counter(messages(rows))
    assert (ran.code, ran.json["created"], ran.json["deferred"]) == (0, 12, 0)


def test_a_parked_serve_is_ready_and_ends_at_once(db: Database, service: Emulator, tmp_path: Path) -> None:
    filled(db, 8)
    listen = free_port()
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW, "--daily-quota", "5")
    with _serving(*command, "--listen", f"127.0.0.1:{listen}", cwd=tmp_path, env=db.env) as serving:
        _invited(service, 5)
        time.sleep(1)
        assert _ready(listen) == (200, {})
        began = time.monotonic()
        ran = _stopped(serving)
        assert time.monotonic() - began < 3
    assert (ran.code, ran.json["pending"]) == (75, 3)
    last = ran.events[-1]
    assert (last["event"], last["exit_code"], last["created"], last["pending"]) == ("serve.ended", 75, 5, 3)
    assert len(service.invitations()) == 5


def test_a_standby_takes_over_from_a_killed_serve(db: Database, service: Emulator, tmp_path: Path) -> None:
    rows = filled(db, 100)
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    command = (db.reader, *READ, "--checkpoint", db.reader, "--endpoint-url", service.url, *FOLLOW)
    slow = (*command, "--rate", "40", "--wait-for-lock")
    with _serving(*slow, cwd=tmp_path, env=db.env) as first:
        _invited(service, 20)
        page = ("--listen", str(listen := free_port()))
        with _serving(*slow, *page, cwd=tmp_path, env=db.env) as second:
            wait_until(lambda: db.senders() == 2)
            wait_until(lambda: listens(listen) and _status(listen)["standby"] is not None)
            status = _status(listen)
            names = f"process {first.process.pid} of {socket.gethostname()}"
            assert status["standby"]["sender"].startswith(f"{names} (database user {db.role}")
            assert status["standby"]["since"] <= status["at"]
            assert (status["state"], status["created"] >= 19) == ("waiting", True)
            assert {
                status[each] for each in ("rate", "speed", "attempts", "in_flight", "total", "percent")
            } == {None}
            first.signal(signal.SIGKILL)
            killed = time.monotonic()
            _invited(service, 60)
            assert time.monotonic() - killed < 15
            insert(db, make_rows(10, start=500), key=500)
            _invited(service, 110)
            with _serving(*slow, cwd=tmp_path, env=db.env) as third:
                wait_until(lambda: db.senders() == 2)
                assert _stopped(third).code == 0  # it has begun nothing
            other = ("--checkpoint-schema", "other", "--listen", str(port := free_port()))
            with _serving(*slow, *other, cwd=tmp_path, env=db.env) as fourth:
                wait_until(lambda: listens(port) and _status(port)["standby"] is not None)
                status = _status(port)
                assert status["standby"]["sender"] == "the sender of another checkpoint in the same database"
                assert (status["state"], status["rate"]) == ("waiting", None)
                assert _stopped(fourth).code == 0
            assert _status(listen)["standby"] is None
            assert _status(listen)["checkpoint"] == f"postgresql:{db.name}/bulk_invite"
            ran = _stopped(second)
            assert ran.code == 0
            stood_by = [each for each in ran.events if each["event"] == "checkpoint.standing_by"]
            assert stood_by[0]["sender"].startswith(names)
    assert service.messages() == Counter(messages([*rows, *make_rows(10, start=500)]))


def test_outcomes_are_written_back_as_they_arise_and_repaired_after_a_kill(
    db: Database, service: Emulator, tmp_path: Path
) -> None:
    filled(db, 50)
    with_outcomes(db)
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW, "--write-back", "outcomes")

    def has_rows(state: str, count: int) -> None:
        many = "SELECT count(*) FROM outcomes WHERE state = %s AND (invitation_id IS NOT NULL) = %s"
        wait_until(lambda: db.run(many, (state, state == "created")) == [(count,)], within=20)

    with _serving(*command, cwd=tmp_path, env=db.env) as serving:
        has_rows("created", 50)
        insert(db, [*make_rows(20, start=100), {}], key=100)
        has_rows("created", 70)
        has_rows("rejected", 1)
        serving.signal(signal.SIGKILL)
    # As if it had died before it could write them.
    db.run("DELETE FROM outcomes WHERE key < 20")
    db.run("UPDATE outcomes SET state = 'in_doubt', invitation_id = NULL WHERE key > 40")
    with _serving(*command, cwd=tmp_path, env=db.env) as serving:
        has_rows("created", 70)
        has_rows("rejected", 1)
        assert _stopped(serving).code == 0
    made = {entry["id"] for entry in service.invitations()}
    assert {each for (each,) in db.run("SELECT invitation_id FROM outcomes WHERE state = 'created'")} == made


def test_an_unreachable_outcome_table_delays_no_row(db: Database, service: Emulator, tmp_path: Path) -> None:
    db.run("CREATE TABLE invitations (id bigint PRIMARY KEY, request jsonb NOT NULL)")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    full = [{**row, "EngagementIdentifier": "eng-00000000000007"} for row in make_rows(11)]
    insert(db, full, key=1)
    with_outcomes(db)
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW, "--write-back", "outcomes")
    with _serving(*command, "--retry-interval", "1s", cwd=tmp_path, env=db.env) as serving:
        _invited(service, 9)
        with db.connection() as other:
            other.execute("LOCK TABLE outcomes")
            for number in range(3):  # rounds end in between, since two rows have no room
                insert(db, make_rows(5, start=100 + 5 * number), key=100 + 5 * number)
                _invited(service, 9 + 5 * (number + 1))
                time.sleep(1.2)
        wait_until(lambda: db.run("SELECT count(*) FROM outcomes WHERE state = 'created'") == [(24,)])
        _stopped(serving)


def test_serve_does_not_ignore_dry_run_and_limit(db: Database, service: Emulator, tmp_path: Path) -> None:
    filled(db, 3)
    command = ("serve", db.reader, *READ, "--endpoint-url", service.url)
    file = tmp_path / "bulk-invite.toml"
    file.write_text("limit = 1\n")
    for ran in (
        run(*command, cwd=tmp_path, env={**db.env, "BULK_INVITE_DRY_RUN": "true"}),
        run(*command, "--config", file, cwd=tmp_path, env=db.env),
    ):
        assert (ran.code, "no effect on this command" in ran.said) == (2, True), ran.stderr
    assert not service.calls()


def test_signals_right_after_the_start_take_effect(db: Database, service: Emulator, tmp_path: Path) -> None:
    filled(db, 200)
    command = (db.reader, *READ, "--endpoint-url", service.url, *FOLLOW, "--rate", "20")
    with _serving(*command, cwd=tmp_path, env=db.env) as serving:
        _invited(service, 5)
        burst = threading.Thread(target=lambda: list(map(serving.signal, [signal.SIGHUP] * 5)))
        burst.start()
        burst.join()
        _invited(service, 10)
        ran = _stopped(serving)
    assert ran.code == 75
    assert max(service.messages().values()) == 1


def test_no_line_of_a_fifo_is_lost_by_a_reload_or_an_unreachable_checkpoint(
    service: Emulator, tmp_path: Path
) -> None:
    fifo, file = tmp_path / "fifo", tmp_path / "bulk-invite.toml"
    os.mkfifo(fifo)
    file.write_text("rate = 40\n")
    rows = make_rows(120)
    with server() as postgres, database(postgres.url) as db:
        command = (fifo, "--checkpoint", db.url, "--endpoint-url", service.url, "--json", "--config", file)
        with _serving(*command, cwd=tmp_path) as serving, fifo.open("wb", buffering=0) as writer:
            text = ndjson(rows)
            writer.write(text[: len(text) // 2])
            _invited(service, 15)
            serving.signal(signal.SIGHUP)
            _invited(service, 25)
            writer.write(text[len(text) // 2 :])
            _invited(service, 60)
            postgres.stop("immediate")
            time.sleep(1)
            postgres.start()
            file.write_text("rate = 200\n")
            serving.signal(signal.SIGHUP)
            _invited(service, 120, within=30)
            ran = _stopped(serving)
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(rows))
