"""Files that change under the reader: no made-up row, and no row missing without an error."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from command import emulator, run, running, wait_until
from following import Consumer
from rows import make_rows, write_rows
from source_files import rows

from bulk_invite.domain.errors import SourceError
from bulk_invite.sources.directory import FollowedDirectory
from bulk_invite.sources.file import resolve
from bulk_invite.sources.file_changes import ChangeWatch, FileChangedError
from bulk_invite.sources.ndjson import NdjsonSource

COUNT = 600
MUCH = 1000
"""Bytes of a line, so that a file of COUNT has ten blocks."""


def lines(mark: str, count: int = COUNT) -> bytes:
    """Lines of one length, each of which says twice of which writing it is."""
    return b"".join(
        b'{"n": %06d, "a": "%s", "": "%s", "z": "%s"}\n'
        % (100_000 + n, mark.encode(), b"x" * MUCH, mark.encode())
        for n in range(count)
    )


def overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as opened:
        opened.write(data)


def overwrite_and_set_back(path: Path, data: bytes) -> None:
    before = path.stat()
    overwrite(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def overwrite_and_append(path: Path, data: bytes) -> None:
    overwrite(path, data)
    append(path, data)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as opened:
        opened.write(data)


def replace(path: Path, data: bytes) -> None:
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").rename(path)


def read_on(path: Path, change: Callable[[], object], after: int = 70) -> tuple[list[bytes], str]:
    """Read a file that is changed after a number of rows; the rows, and the error or ""."""
    found: list[bytes] = []
    changed = False
    [source] = resolve([str(path)])
    with closing(source.batches(10, 1 << 20)) as batches:
        try:
            for batch in batches:
                found += [row.data for row in batch]
                if len(found) >= after and not changed:
                    change()
                    changed = True
        except SourceError as error:
            assert changed
            return found, str(error)
    return found, ""


OLD, NEW = lines("old"), lines("new")
CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "overwritten": (lambda path: overwrite(path, NEW), "overwritten"),
    "overwritten ahead": (lambda path: overwrite(path, OLD[:400_000] + NEW[400_000:]), "overwritten"),
    "overwritten, its time set back": (lambda path: overwrite_and_set_back(path, NEW), "overwritten"),
    "overwritten by more": (lambda path: overwrite(path, lines("new", COUNT + 50)), "overwritten"),
    "its beginning, and more": (lambda path: overwrite_and_append(path, NEW[:30_000]), "overwritten"),
    "cut off": (lambda path: os.truncate(path, 300_500), "truncated"),
    "emptied": (lambda path: os.truncate(path, 0), "truncated"),
    "cut off and written anew": (lambda path: path.write_bytes(NEW), "overwritten"),
    "cut off and written anew, longer": (lambda path: path.write_bytes(NEW * 2), "overwritten"),
    "a time that is set": (os.utime, "overwritten"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_a_changed_file_ends_the_read_and_no_changed_row_is_used(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    found, error = read_on(path, lambda: change(path))
    assert f"{path}: was {said} while it was read, after line {len(found)}." in error
    assert 70 <= len(found) < 200
    assert found == OLD.splitlines()[: len(found)]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: append(path, NEW),
        lambda path: replace(path, NEW),
        lambda path: path.rename(path.with_suffix(".done")),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o640),
        lambda path: os.link(path, path.with_suffix(".link")),
    ],
    ids=["appended to", "replaced", "renamed", "removed", "chmod", "linked"],
)
def test_changes_of_metadata_do_not_count(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    found, error = read_on(path, lambda: change(path))
    assert error == ""
    grown = path.exists() and path.stat().st_size > len(OLD)
    assert found == (OLD + NEW if grown else OLD).splitlines()


def test_a_growing_file_is_read_to_its_current_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(b"")
    stop = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as opened:
            for n in range(2000):
                opened.write(b'{"n": %d, "": "%s"}\n' % (n, b"x" * 500))
                if n == 50:
                    stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    stop.wait(10)
    found = rows(NdjsonSource(str(path)))
    writer.join()
    whole = [row.data for row in found[:-1]]  # the last line may still be incomplete
    assert whole == path.read_bytes().splitlines()[: len(whole)]
    assert len(whole) >= 50


def test_only_rows_from_before_a_concurrent_write_are_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    stopped = 0
    for number in range(40):
        path.write_bytes(OLD)
        source = NdjsonSource(str(path))
        with closing(source.batches(10, 1 << 20)) as batches:
            found = list(next(batches))
            writer = threading.Timer(number / 3000, overwrite, (path, NEW))
            writer.start()
            try:
                for batch in batches:
                    found += batch
                    time.sleep(0.0001)
            except SourceError:
                stopped += 1
            writer.join()
        assert [row.data for row in found] == OLD.splitlines()[: len(found)]
        assert stopped or len(found) == COUNT
    assert stopped > 3, "else it was overwritten too late"


@pytest.mark.parametrize("name", ["rows.ndjson.gz", "rows.ndjson"])
def test_a_compressed_file_is_watched_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(OLD, compresslevel=0))
    found, error = read_on(path, lambda: overwrite(path, gzip.compress(NEW, compresslevel=0)))
    assert "was overwritten while it was read" in error
    assert found == OLD.splitlines()[: len(found)]


def test_standard_input_from_a_file_is_watched_from_its_position(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    with path.open("rb") as opened:
        opened.seek(len(OLD) // 2)
        watch = ChangeWatch(opened.fileno())
        assert watch.check(os.read(opened.fileno(), 100)) is False
        append(path, b"more")
        assert watch.check(os.read(opened.fileno(), 100)) is True
        overwrite(path, NEW)
        with pytest.raises(FileChangedError):
            watch.check(os.read(opened.fileno(), 100))


def test_a_line_across_many_blocks_comes_from_one_version(tmp_path: Path) -> None:
    """Its first block is overwritten, and more is appended, so that only the bytes read before show it."""
    path = tmp_path / "rows.ndjson"
    head = b'{"n": 1}\n' * 8000
    path.write_bytes(head + b'{"": "%s' % (b"a" * 500_000))
    with path.open("rb") as opened:
        watch = ChangeWatch(opened.fileno())
        for _ in range(7):
            watch.check(os.read(opened.fileno(), 1 << 16))
        overwrite(path, head + b'{"": "b')
        append(path, b'"}\n')
        with pytest.raises(FileChangedError):
            watch.check(os.read(opened.fileno(), 1 << 16))


def test_an_overwrite_of_a_grown_file_is_noticed(tmp_path: Path) -> None:
    """Also where more than the longest line has been read since."""
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD * 4)
    found, error = read_on(path, lambda: overwrite_and_append(path, NEW[:2000]), after=3 * COUNT)
    assert "was overwritten" in error
    assert found == (OLD * 4).splitlines()[: len(found)]
    path.write_bytes(OLD * 4)
    found, error = read_on(path, lambda: append(path, NEW[:2000]), after=3 * COUNT)
    assert (error, len(found)) == ("", 4 * COUNT + 2)


@pytest.mark.parametrize("modified", [-3600.0, 3600.0, 0.0])
def test_reading_waits_only_if_the_clock_may_repeat_a_timestamp(tmp_path: Path, modified: float) -> None:
    """-3600: an old file. 3600: a clock that is ahead, which is not waited for. 0: written just now."""
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    if modified:
        os.utime(path, (time.time() + modified + 0.25,) * 2)
    with path.open("rb") as opened:
        began = time.monotonic()
        watch = ChangeWatch(opened.fileno())
        while seconds := watch.settles_in():
            time.sleep(seconds)
            watch.check(b"")
        assert time.monotonic() - began < 0.2
    found, error = read_on(path, lambda: overwrite(path, NEW))
    assert found == OLD.splitlines()[: len(found)]
    assert "overwritten" in error


def test_reading_waits_on_a_file_system_with_whole_seconds(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    os.utime(path, (int(time.time()),) * 2)
    with path.open("rb") as opened:
        assert 0.5 < ChangeWatch(opened.fileno()).settles_in() <= 2.0


def test_a_followed_file_is_read_again_once_it_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(OLD)
    consumer = Consumer(FollowedDirectory(str(tmp_path), poll=0.05, settle=0.1), max_rows=10)
    consumer.until(lambda: len(consumer.seen) >= 70)
    overwrite(path, NEW)
    consumer.until(lambda: sum(row in NEW for seen in consumer.seen.values() for row in seen) == COUNT)
    consumer.die()
    both = {*OLD.splitlines(), *NEW.splitlines()}
    assert all(row in both for seen in consumer.seen.values() for row in seen)
    assert sum(len(seen) == 1 for seen in consumer.seen.values()) > COUNT - 200


def test_a_run_with_a_changed_file_ends_with_4_and_the_next_one_continues(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.ndjson", make_rows(3000))
    with emulator(rate=2000, burst=2000) as service:
        command = ("send", "rows.ndjson", "--endpoint-url", service.url, "--json")
        with running(*command, "--rate", "400", cwd=tmp_path) as sender:
            wait_until(service.invitations)
            overwrite(path, path.read_bytes())
            ran = sender.ended()
        assert (ran.code, ran.json["rejected"]) == (4, 0)
        assert "rows.ndjson: was overwritten while it was read, after line " in ran.said
        before = ran.json["created"]
        ran = run(*command, "--rate", "500", "--limit", "100", cwd=tmp_path)
        assert (ran.json["created"], ran.json["already_created"]) == (100, before)
        assert set(service.messages().values()) == {1}
        assert len(service.invitations()) == before + 100


@pytest.mark.parametrize("command", [("validate",), ("send", "--dry-run", "--json")])
def test_validate_ends_with_4_as_well(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = write_rows(tmp_path / "rows.ndjson", make_rows(12_000))
    with running(*command, "rows.ndjson", cwd=tmp_path) as checking:
        while checking.process.poll() is None:
            os.utime(path)
            time.sleep(0.01)
        ran = checking.ended()
    assert ran.code == 4
    assert "was overwritten while it was read" in ran.said
