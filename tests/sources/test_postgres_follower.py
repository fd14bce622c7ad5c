"""Following a real PostgreSQL: whatever is written, in whatever order it is committed, is seen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest
from command import wait_until
from database import PASSWORD, Database, Server
from following import Consumer
from structlog.testing import capture_logs

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.source import PostgresSource
from bulk_invite.sources.postgres.xmin_passes import Horizon, Progress, pause_after

TABLE = Selection("invitations", None, "id")


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def source(db: Database, selection: Selection = TABLE, **pace: Any) -> PostgresSource:
    pace = {"poll": 0.02, "whole_every": 0.0, **pace}
    return PostgresSource(db.reader, selection, Backoff(0.05, 0.2), lambda: 1.0, **pace)


def table(db: Database, count: int = 0, *, key: str = "bigint", more: str = "") -> None:
    db.run(f"CREATE TABLE invitations (id {key} PRIMARY KEY, request jsonb) {more}")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    if count:
        insert(db, 1, count)


def insert(db: Database, first: int, last: int) -> None:
    statement = "INSERT INTO invitations SELECT n, to_jsonb(n) FROM generate_series(%s::int, %s::int) n"
    db.run(statement, (first, last))


def later(seconds: float, do: Callable[[], object]) -> threading.Thread:
    def wait() -> None:
        time.sleep(seconds)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# Whatever the order in which it is committed


STEPS = {"insert": 9, "update": 2, "savepoint": 3, "back": 2, "commit": 4, "rollback": 1}


class Writers:
    """Concurrent writers, each in its own transactions, some of them rolled back."""

    def __init__(self, db: Database, noise: random.Random, new_key: Callable[[], str]) -> None:
        self._noise = noise
        self._new_key = new_key
        self._count = 0
        self._savepoints: set[int] = set()
        self.connections = [db.connection() for _ in range(4)]

    def step(self) -> None:
        number = self._noise.randrange(len(self.connections))
        writer = self.connections[number]
        match self._noise.choices(list(STEPS), list(STEPS.values())):
            case ["insert"]:
                writer.execute("INSERT INTO invitations VALUES (%s, %s)", (self._new_key(), self._value()))
            case ["update"]:
                writer.execute(
                    "UPDATE invitations SET request = %s WHERE id = (SELECT id FROM invitations"
                    " ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)",
                    (self._value(),),
                )
            case ["savepoint"]:
                writer.execute("SAVEPOINT s")
                self._savepoints.add(number)
            case ["back"] if number in self._savepoints:
                writer.execute("ROLLBACK TO SAVEPOINT s")
            case ["commit"]:
                writer.commit()
                self._savepoints.discard(number)
            case ["rollback"]:
                writer.rollback()
                self._savepoints.discard(number)
            case _:
                pass

    def finish(self) -> None:
        for writer in self.connections:
            writer.commit()
            writer.close()

    def _value(self) -> str:
        self._count += 1
        return str(self._count)


VIEW = "ALTER TABLE invitations RENAME TO base; CREATE VIEW invitations AS SELECT * FROM base;"


@pytest.mark.parametrize(
    ("kind", "seed"), [("table", 0), ("table", 1), ("uuids", 0), ("uuids", 1), ("partitions", 0), ("view", 0)]
)
def test_no_committed_row_is_missed(db: Database, kind: str, seed: int) -> None:
    noise = random.Random(f"{kind} {seed}")
    keys = noise.sample(range(1, 100_000), 10_000)
    table(
        db,
        key="uuid" if kind == "uuids" else "bigint",
        more="PARTITION BY HASH (id)" if kind == "partitions" else "",
    )
    if kind == "partitions":
        for n in range(3):
            db.run(
                f"CREATE TABLE part{n} PARTITION OF invitations FOR VALUES WITH (MODULUS 3, REMAINDER {n})"
            )
    if kind == "view":
        db.run(VIEW)
        db.run(f"GRANT SELECT ON invitations TO {db.role}")
    writers = Writers(
        db, noise, lambda: f"{noise.getrandbits(128):032x}" if kind == "uuids" else str(keys.pop())
    )
    consumer = Consumer(source(db), max_rows=3)
    for step in range(130):
        if step < 50 or noise.random() < 0.6:
            writers.step()
        elif noise.random() < 0.7:
            consumer.take()
        else:
            consumer.take(commit=noise.random() < 0.5)
            consumer.die()
    writers.finish()
    there = db.run("SELECT id::text, request::text FROM invitations")
    assert len(there) > 10
    consumer.until(lambda: all(value.encode() in consumer.seen[key] for key, value in there))
    consumer.die()


# What comes again, and what does not


def test_a_row_comes_once_and_again_when_it_is_updated(db: Database) -> None:
    table(db, 10)
    consumer = Consumer(source(db))
    assert consumer.heartbeats(1) == 10
    assert consumer.heartbeats(5) == 0
    db.run("UPDATE invitations SET request = '\"mended\"' WHERE id = 4")
    consumer.until(lambda: consumer.seen["4"] == [b"4", b'"mended"'])
    insert(db, 11, 11)
    db.run("VACUUM (FREEZE) invitations")
    consumer.until(lambda: "11" in consumer.seen)
    consumer.die()
    assert consumer.heartbeats(3) == 0, "a mark says that all of it is known"
    assert sum(map(len, consumer.seen.values())) == 12
    consumer.die()


def test_an_interrupted_pass_continues_after_its_watermark(db: Database) -> None:
    table(db, 1000)
    consumer = Consumer(source(db), max_rows=100)
    for _ in range(3):
        consumer.take()
    assert consumer.mark is not None
    assert orjson.loads(consumer.mark).keys() == {"since", "next", "after_key", "started", "tables"}
    consumer.die()
    insert(db, -5, -1)  # behind it
    assert consumer.take()[0].position.key == "301"
    consumer.until(lambda: len(consumer.seen) == 1005)
    assert all(len(each) == 1 for each in consumer.seen.values())
    consumer.die()


def test_everything_is_read_without_a_watermark(db: Database) -> None:
    table(db, 3)
    for mark in (None, "", "{", "[]", "{}"):
        consumer = Consumer(source(db), mark=mark)
        assert len(consumer.take()) == 3
        consumer.die()


def test_everything_is_read_if_transaction_numbers_may_differ(db: Database) -> None:
    table(db, 3)
    followed = Consumer(source(db))
    followed.heartbeats(1)
    followed.die()
    mark = orjson.loads(followed.mark or "")
    for other in ({"started": "1.5"}, {"since": mark["since"] + 1000}, {"tables": "another"}):
        consumer = Consumer(source(db), mark=orjson.dumps({**mark, "after_key": "2", **other}).decode())
        assert len(consumer.take()) == 3
        consumer.die()


def test_rows_of_an_attached_partition_are_seen(db: Database) -> None:
    table(db, more="PARTITION BY RANGE (id)")
    for name, first in (("low", 1), ("high", 100)):
        db.run(f"CREATE TABLE {name} (id bigint PRIMARY KEY, request jsonb)")
        db.run(f"INSERT INTO {name} VALUES (%s, '1')", (first,))
    db.run("ALTER TABLE invitations ATTACH PARTITION low FOR VALUES FROM (1) TO (100)")
    consumer = Consumer(source(db))
    consumer.until(lambda: set(consumer.seen) == {"1"})
    consumer.heartbeats(3)
    db.run("ALTER TABLE invitations ATTACH PARTITION high FOR VALUES FROM (100) TO (200)")
    consumer.until(lambda: set(consumer.seen) == {"1", "100"})
    consumer.heartbeats(3)
    db.run("CREATE TABLE other AS SELECT 7::bigint AS id, '7'::jsonb AS request")
    db.run(f"GRANT SELECT ON other TO {db.role}")
    consumer.heartbeats(3)
    db.run("ALTER TABLE invitations RENAME TO old; ALTER TABLE other RENAME TO invitations")
    consumer.until(lambda: "7" in consumer.seen)
    consumer.die()


@pytest.mark.parametrize("kind", ["view", "query", "policy", "columns"])
def test_without_xmin_higher_keys_come_soon_and_all_others_later(db: Database, kind: str) -> None:
    table(db, 3)
    selection = TABLE
    match kind:
        case "view":
            db.run(VIEW + f"GRANT SELECT ON invitations TO {db.role}")
        case "query":
            selection = Selection(None, "SELECT * FROM invitations", "id")
        case "policy":
            db.run("ALTER TABLE invitations ENABLE ROW LEVEL SECURITY")
            db.run("CREATE POLICY everything ON invitations USING (id <> 0)")
        case _:
            db.run(f"REVOKE SELECT ON invitations FROM {db.role}")
            db.run(f"GRANT SELECT (id, request) ON invitations TO {db.role}")
    seldom = Consumer(source(db, selection, whole_every=3600.0))
    often = Consumer(source(db, selection, whole_every=0.2))
    seldom.until(lambda: len(seldom.seen) == 3)
    often.until(lambda: len(often.seen) == 3)
    seldom.heartbeats(2)
    db.run("INSERT INTO invitations VALUES (-1, '1'), (4, '1')")
    seldom.until(lambda: "4" in seldom.seen)
    seldom.heartbeats(3)
    assert set(seldom.seen) == {"1", "2", "3", "4"}
    assert all(len(rows) == 1 for rows in seldom.seen.values())
    often.until(lambda: "-1" in often.seen)
    seldom.die()
    often.die()
    assert len(seldom.take()) == 5, "where a following begins"
    seldom.die()


# How soon, and at what cost


def test_a_notification_is_followed_at_once(db: Database) -> None:
    table(db, 3)
    consumer = Consumer(source(db, poll=30.0))
    consumer.heartbeats(1)

    def write_and_ring(key: int) -> None:
        insert(db, key, key)
        db.run("NOTIFY bulk_invite")

    for key in (4, 5):
        ringer = later(0.3, partial(write_and_ring, key))
        began = time.monotonic()
        assert consumer.heartbeats(1) == 1
        assert time.monotonic() - began < 2.0
        ringer.join()
    consumer.die()


def test_notifications_do_not_pile_up_while_rows_wait(db: Database) -> None:
    table(db, 10)
    consumer = Consumer(source(db, channel="odd \"channel'"), max_rows=1)
    consumer.take()
    db.run(
        "SELECT pg_notify('odd \"channel''', n || repeat('x', 7000)) FROM generate_series(1, 5000) n",
    )
    wait_until(lambda: db.run("SELECT pg_notification_queue_usage()") == [(0.0,)])
    consumer.die()


def test_no_transaction_is_open_while_rows_wait_and_nothing_is_left_open_at_the_end(db: Database) -> None:
    table(db, 3)
    consumer = Consumer(source(db))
    sessions = "SELECT state FROM pg_stat_activity WHERE usename = %s"
    consumer.take()
    wait_until(lambda: db.run(sessions, (db.role,)) == [("idle",)])
    consumer.heartbeats(2)
    wait_until(lambda: db.run(sessions, (db.role,)) == [("idle",)])
    consumer.die()
    wait_until(lambda: db.run(sessions, (db.role,)) == [])


def test_a_heartbeat_comes_about_every_poll(db: Database) -> None:
    table(db, 3)
    consumer = Consumer(source(db, poll=0.3))
    consumer.heartbeats(2)
    began = time.monotonic()
    consumer.heartbeats(3)
    # The last word of a long pause and the one after the next pass may be close together.
    assert 0.3 < time.monotonic() - began < 5.0
    consumer.die()


@pytest.mark.parametrize(
    ("took", "poll", "pause"),
    [(0.0, 5.0, 5.0), (0.5, 5.0, 5.0), (2.0, 5.0, 20.0), (600.0, 5.0, 60.0), (1.0, 90.0, 90.0)],
)
def test_a_pass_that_takes_long_is_followed_by_a_long_pause(took: float, poll: float, pause: float) -> None:
    assert pause_after(took, poll) == pause


def test_a_pass_is_of_one_server_and_of_transactions_that_can_be_compared() -> None:
    first = Progress().begun(Horizon(100, 120, "a", "t"))
    assert first == Progress(None, 100, None, "a", "t")
    second = first.ended()
    assert second == Progress(100, None, None, "a", "t")
    assert Progress.of(second.mark) == second
    begun = second.begun(Horizon(130, 130, "a", "t"))
    assert begun == Progress(100, 130, None, "a", "t")
    halfway = Progress(100, 130, "k", "a", "t")
    assert halfway.begun(Horizon(140, 140, "a", "t")) == halfway
    for other in (
        Horizon(140, 140, "b", "t"),
        Horizon(140, 140, "a", "u"),
        Horizon(90, 99, "a", "t"),
        Horizon(140, 100 + (1 << 30), "a", "t"),
    ):
        assert halfway.begun(other) == Progress(None, other.oldest, None, other.started, other.tables)


# A stop


@pytest.mark.parametrize("when", ["waiting", "reading", "down"])
def test_a_stop_is_soon(own_server: tuple[Server, Database], when: str) -> None:
    running, db = own_server
    table(db, 3)
    db.run("CREATE TABLE nap AS SELECT 0 AS seconds")
    db.run("CREATE VIEW sleepy AS SELECT i.* FROM invitations i, nap, pg_sleep(nap.seconds)")
    db.run(f"GRANT SELECT ON sleepy TO {db.role}")
    sleepy = source(db, Selection("sleepy", None, "id"), poll=30.0 if when == "waiting" else 0.02)
    consumer = Consumer(sleepy)
    consumer.heartbeats(1)
    if when == "reading":
        db.run("UPDATE nap SET seconds = 20")
    if when == "down":
        running.stop()
    stopped: list[float] = []

    def stop() -> None:
        consumer.stopped = True
        stopped.append(time.monotonic())

    stopper = later(0.5, stop)
    with pytest.raises(StopIteration):
        consumer.heartbeats(1000)
    assert time.monotonic() - stopped[0] < 0.6
    stopper.join()
    if when == "down":
        running.start()


# A server that is not there all the time


@pytest.mark.parametrize("how", ["restarted", "killed", "cut"])
def test_a_restarted_server_costs_no_row(own_server: tuple[Server, Database], how: str) -> None:
    running, db = own_server
    table(db, 12_000)
    followed = source(db)
    consumer = Consumer(followed, max_rows=1000)
    for _ in range(3):
        consumer.take()
    starter: threading.Thread | None = None
    with capture_logs() as logs:
        if how == "cut":
            db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (db.role,))
        else:
            running.kill() if how == "killed" else running.stop()
            asked = later(0.3, lambda: answers.append(followed.answering))
            starter = later(0.6, running.start)
        answers: list[bool] = []
        consumer.until(lambda: len(consumer.seen) == 12_000)
    if starter is not None:
        starter.join()
        asked.join()
        assert answers == [False]
        assert logs
    assert followed.answering
    assert {each["event"] for each in logs} <= {"source.unreachable"}
    insert(db, 12_001, 12_001)
    consumer.until(lambda: "12001" in consumer.seen)
    consumer.die()


def test_a_standby_is_polled_and_may_be_promoted(own_server: tuple[Server, Database]) -> None:
    running, db = own_server
    table(db, 3)
    running.stop()
    running.become_standby()
    running.start()
    consumer = Consumer(source(db))
    with capture_logs() as logs:
        assert consumer.heartbeats(5) == 3
        db.run("SELECT pg_promote()")
        insert(db, 4, 4)
        consumer.until(lambda: "4" in consumer.seen)
    assert not [each for each in logs if each["log_level"] != "debug"]
    consumer.die()


def test_a_database_that_is_down_at_the_start_is_a_transient_error(
    own_server: tuple[Server, Database],
) -> None:
    running, db = own_server
    table(db, 3)
    running.stop()
    with pytest.raises(SourceError) as raised:
        source(db)
    assert raised.value.retryable
    running.start()
    db.run(f"REVOKE SELECT ON invitations FROM {db.role}")
    with pytest.raises(SourceError) as raised:
        source(db)
    assert not raised.value.retryable


def test_a_table_that_is_dropped_ends_the_following(db: Database) -> None:
    table(db, 3)
    followed = source(db)
    consumer = Consumer(followed)
    consumer.heartbeats(1)
    db.run("DROP TABLE invitations")
    with pytest.raises(SourceError, match="does not exist"):
        consumer.heartbeats(1000)
    assert not followed.answering
