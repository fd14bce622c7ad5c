"""Following a directory, a FIFO and standard input; and what cannot be followed."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from following import Consumer
from source_files import PACKERS
from structlog.testing import capture_logs

from bulk_invite.domain.errors import SourceError, UsageError
from bulk_invite.domain.rows import Row
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS
from bulk_invite.runs.wiring.sources import open_followed
from bulk_invite.sources.directory import FollowedDirectory
from bulk_invite.sources.ndjson import NdjsonSource
from bulk_invite.sources.pipe import Pipe


def directory(path: Path, *, settle: float = 0.05) -> FollowedDirectory:
    return FollowedDirectory(str(path), poll=0.05, settle=settle)


def write(path: Path, text: str, *, modified: int = 0) -> None:
    path.write_bytes(PACKERS.get(path.suffix, bytes)(text.encode()))
    if modified:
        os.utime(path, (modified, modified))


def settings(**given: str) -> Settings:
    return Settings.model_validate({OPTIONS[name].key: value for name, value in given.items()})


def positions(consumer: Consumer) -> list[str]:
    return [Path(each).name for each in consumer.seen]


@pytest.fixture
def pipe(tmp_path: Path) -> NdjsonSource:
    os.mkfifo(tmp_path / "pipe")
    source = NdjsonSource(str(tmp_path / "pipe"))
    source.poll = 0.05
    return source


# A directory


def test_files_come_in_the_order_in_which_they_were_modified(tmp_path: Path) -> None:
    write(tmp_path / "b.ndjson.gz", "1\n2", modified=300)
    write(tmp_path / "c.jsonl", "1", modified=100)
    write(tmp_path / "a.ndjson.zst", "1\n", modified=300)
    for name in ("d.txt", ".e.ndjson", "f.ndjson.tmp", "g.ndjson.partial"):
        write(tmp_path / name, "1")
    (tmp_path / "h.ndjson").mkdir()
    consumer = Consumer(directory(tmp_path))
    consumer.until(lambda: len(consumer.seen) == 4)
    assert positions(consumer) == ["c.jsonl:1", "a.ndjson.zst:1", "b.ndjson.gz:1", "b.ndjson.gz:2"]
    assert consumer.mark is None
    assert consumer.heartbeats(3) == 0
    (tmp_path / "f.ndjson.tmp").rename(tmp_path / "f.ndjson")
    consumer.until(lambda: "f.ndjson:1" in positions(consumer))
    consumer.die()
    assert consumer.heartbeats(5) == 5, "a following begins with all files"


def test_a_changed_file_is_read_again_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.ndjson", "1\n")
    consumer = Consumer(directory(tmp_path))
    consumer.until(lambda: len(consumer.seen) == 1)
    with (tmp_path / "a.ndjson").open("a") as opened:
        opened.write("2\n")
    consumer.until(lambda: len(consumer.seen) == 2)
    assert sorted(map(len, consumer.seen.values())) == [1, 2]
    consumer.die()


def test_a_file_is_not_read_while_it_is_written(tmp_path: Path) -> None:
    written = threading.Event()

    def write_slowly() -> None:
        with (tmp_path / "a.ndjson").open("w") as opened:
            for n in range(6):
                opened.write(f'"{n}')
                opened.flush()
                time.sleep(0.1)
                opened.write('"\n')
        written.set()

    consumer = Consumer(directory(tmp_path, settle=0.5))
    consumer.heartbeats(1)
    writer = threading.Thread(target=write_slowly)
    writer.start()
    consumer.until(lambda: len(consumer.seen) > 0)
    assert written.is_set()
    consumer.until(lambda: len(consumer.seen) == 6)
    writer.join()
    consumer.die()


def test_the_last_line_of_a_file_that_changes_during_the_read_comes_later(tmp_path: Path) -> None:
    line = f'{{"": "{"0" * 1000}"}}'
    write(tmp_path / "a.ndjson", f"{line}\n" * 200 + '"begun')
    consumer = Consumer(directory(tmp_path), max_rows=10)
    consumer.until(lambda: len(consumer.seen) > 0)
    with (tmp_path / "a.ndjson").open("a") as opened:
        opened.write(' and ended"\n')
    consumer.until(lambda: len(consumer.seen) == 201)
    assert list(consumer.seen.values())[-1] == [b'"begun and ended"']
    assert next(iter(consumer.seen.values())) == [line.encode()] * 2
    consumer.die()


def test_a_broken_file_is_logged_once_and_read_again_when_it_changes(tmp_path: Path) -> None:
    whole = PACKERS[".gz"](b"1\n2\n")
    (tmp_path / "a.ndjson.gz").write_bytes(whole[:-6])
    write(tmp_path / "b.ndjson", "1", modified=int(time.time()) + 100)
    followed = directory(tmp_path)
    consumer = Consumer(followed)
    with capture_logs() as logs:
        consumer.until(lambda: "b.ndjson:1" in positions(consumer))
        consumer.heartbeats(3)
        [warning] = logs
        assert warning["event"] == "source.unreadable"
        assert "is truncated" in warning["reason"]
        assert followed.answering
        before = len(consumer.seen)
        (tmp_path / "a.ndjson.gz").write_bytes(PACKERS[".gz"](b"1\n2\n3\n"))
        consumer.until(lambda: "a.ndjson.gz:3" in positions(consumer))
        assert before <= 3
        assert len(logs) == 1
    consumer.die()


def test_following_waits_for_a_directory_that_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "in"
    with pytest.raises(SourceError, match="no such file") as raised:
        directory(place)
    assert not raised.value.retryable  # at the start it is a mistake
    place.mkdir()
    followed = directory(place)
    consumer = Consumer(followed)
    consumer.heartbeats(1)
    place.rmdir()
    answers: list[bool] = []

    def come_back() -> None:
        time.sleep(0.3)
        answers.append(followed.answering)
        place.mkdir()
        write(place / "a.ndjson", "1")

    returning = threading.Thread(target=come_back)
    returning.start()
    with capture_logs() as logs:
        consumer.until(lambda: len(consumer.seen) == 1)
    returning.join()
    assert answers == [False]
    assert [each["event"] for each in logs] == ["source.unreachable"]
    consumer.die()


# A FIFO


def test_successive_writers_of_a_fifo_are_read(pipe: NdjsonSource) -> None:
    consumer = Consumer(pipe)
    consumer.heartbeats(2)
    for writer in range(3):
        Path(pipe.name).write_text(f'"{writer} a"\n"{writer} b"')
        consumer.heartbeats(2)
    assert consumer.seen == {
        f"{pipe.name}:{line}": [f'"{text}"'.encode()]
        for line, text in enumerate(("0 a", "0 b", "1 a", "1 b", "2 a", "2 b"), start=1)
    }
    consumer.die()


def test_a_recreated_fifo_is_found(pipe: NdjsonSource) -> None:
    consumer = Consumer(pipe)
    anew = threading.Timer(0.3, os.mkfifo, (pipe.name,))
    consumer.heartbeats(1)
    Path(pipe.name).unlink()
    anew.start()
    consumer.heartbeats(1)
    anew.join()
    Path(pipe.name).write_text("1\n")
    consumer.until(lambda: len(consumer.seen) == 1)
    consumer.die()


@pytest.mark.parametrize("written", [False, True])
def test_waiting_for_a_writer_costs_nothing_and_ends_soon(pipe: NdjsonSource, *, written: bool) -> None:
    consumer = Consumer(pipe)
    consumer.heartbeats(1)
    if written:
        Path(pipe.name).write_text("1\n")
        consumer.until(lambda: len(consumer.seen) == 1)
    began = time.thread_time()
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        assert not consumer.take()
    assert time.thread_time() - began < 0.07
    consumer.stopped = True
    with pytest.raises(StopIteration):
        consumer.take()
    assert time.monotonic() - until < 0.5


def test_standard_input_ends_the_following() -> None:
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        source = NdjsonSource("-")
        source.poll = 0.05
        consumer = Consumer(source)
        os.write(writing, b"1\n2")
        consumer.until(lambda: len(consumer.seen) == 1)
        assert consumer.heartbeats(2) == 0
        os.close(writing)
        assert len(consumer.take()) == 1
        with pytest.raises(StopIteration):
            consumer.take()
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)


# What is named


def test_followable_sources_are_opened_and_others_reported(tmp_path: Path, pipe: NdjsonSource) -> None:
    write(tmp_path / "a.ndjson", "1")
    opened = open_followed([str(tmp_path), pipe.name, "-"], settings(), {})
    assert [type(each) for each in opened] == [FollowedDirectory, Pipe, Pipe]
    assert [each.name for each in opened] == [str(tmp_path), pipe.name, "-"]
    for name in (str(tmp_path / "a.ndjson"), str(tmp_path / "*.ndjson"), "/dev/zero"):
        with pytest.raises(UsageError, match="Use send for files; serve follows directories, FIFOs"):
            open_followed([name], settings(), {})
    with pytest.raises(UsageError, match="given twice"):
        open_followed(["-", "-"], settings(), {})
    assert open_followed(["-"], settings(token_from="key"), {})
    with pytest.raises(SourceError) as raised:
        open_followed([str(tmp_path / "mistyped")], settings(), {})
    assert not raised.value.retryable
    with pytest.raises(SourceError) as raised:
        open_followed(["postgresql://127.0.0.1:9/nowhere"], settings(table="a", key="id"), {})
    assert raised.value.retryable


def test_a_pipe_repeats_unsettled_rows_and_loses_nothing_between_readers(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pipe = Pipe(NdjsonSource(str(fifo)), poll=0.2)

    def taken(count: int) -> list[bytes]:
        """A number of rows, by a reader that follows and then leaves."""
        rows: list[bytes] = []
        with closing(pipe.follow(10, 1 << 20, lambda: False)) as found:
            while len(rows) < count:
                rows += [row.data for row in next(found)[0]]
        return rows

    with closing(pipe.follow(10, 1 << 20, lambda: False)) as found:
        assert [next(found), next(found)] == [([], None)] * 2  # it is open
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b'{"a":1}\n{"a":2}\n{"a"')
        assert taken(2) == [b'{"a":1}', b'{"a":2}']
        writer.write(b":3}\n")  # the unfinished line belongs to no other writer
        assert taken(3) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']
        pipe.forget()
        writer.write(b'{"a":4}\n')
        assert taken(1) == [b'{"a":4}']
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b'{"a":5}\n')
    assert taken(2) == [b'{"a":4}', b'{"a":5}']


def test_unreadable_data_in_a_pipe_is_an_error_and_not_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pipe = Pipe(NdjsonSource(str(fifo)), poll=0.2)
    with closing(pipe.follow(10, 1 << 20, lambda: False)) as found:
        assert [next(found), next(found)] == [([], None)] * 2
        fifo.write_bytes(b"\xff\xfe{\x00}\x00\n\x00")
        with pytest.raises(SourceError, match="UTF-16"):
            list(found)
    with closing(pipe.follow(10, 1 << 20, lambda: False)) as found:
        assert [next(found), next(found)] == [([], None)] * 2
        fifo.write_bytes(b"1\n")
        rows: list[Row] = []
        while not rows:
            rows, _ = next(found)
        assert [row.data for row in rows] == [b"1"]
