"""What makes a run ready, the health file, and the command that reads it."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from command import run, together, wait_until
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from bulk_invite.cli.app import app
from bulk_invite.domain.errors import ControlError
from bulk_invite.monitoring.health import Health, Part
from bulk_invite.monitoring.health_file import HealthFile
from bulk_invite.monitoring.health_view import LIVE_FOR, is_live, read

NOT_ASKED = "not asked yet"


def parts(health: Health) -> dict[str, Part]:
    return {"source": health.source, "checkpoint": health.checkpoint, "endpoint": health.endpoint}


def ready(at: Callable[[], float] = time.time) -> Health:
    health = Health(at)
    for part in parts(health).values():
        part.answers()
    return health


def test_at_first_no_part_has_been_checked() -> None:
    view = Health(lambda: 17.0).view()
    assert (view.ready, view.at) == (False, 17.0)
    assert view.reasons == {"source": NOT_ASKED, "checkpoint": NOT_ASKED, "endpoint": NOT_ASKED}


@pytest.mark.parametrize("name", ["source", "checkpoint", "endpoint"])
def test_a_run_is_ready_only_while_every_part_answers(name: str) -> None:
    health = Health(time.time)
    for part in (part for each, part in parts(health).items() if each != name):
        part.answers()
    assert (health.view().ready, health.view().reasons) == (False, {name: NOT_ASKED})
    parts(health)[name].answers()
    assert (health.view().ready, health.view().reasons) == (True, {})
    parts(health)[name].fails("ConnectTimeout")
    assert (health.view().ready, health.view().reasons) == (False, {name: "ConnectTimeout"})


def test_a_view_does_not_change_later() -> None:
    health = ready()
    health.endpoint.fails("ConnectTimeout")
    before = health.view()
    health.endpoint.answers()
    assert before.reasons == {"endpoint": "ConnectTimeout"}


def test_only_changes_are_logged() -> None:
    with capture_logs() as logged:
        health = ready()
        for _ in range(3):
            health.endpoint.answers()
        for _ in range(3):
            health.endpoint.fails("ConnectTimeout")
        health.source.fails("57P01")
        health.endpoint.answers()
        health.source.answers()
    endpoint, source = {"endpoint": "ConnectTimeout"}, {"source": "57P01"}
    assert [(each["event"], each.get("reasons")) for each in logged] == [
        ("health.ready", None),
        ("health.not_ready", endpoint),
        ("health.not_ready", {**source, **endpoint}),
        ("health.not_ready", source),
        ("health.ready", None),
    ]


def test_a_part_that_fails_at_once_is_reported_before_the_others_are_checked() -> None:
    with capture_logs() as logged:
        Health(time.time).checkpoint.fails("locked")
    (event,) = logged
    assert event["reasons"] == {"source": NOT_ASKED, "checkpoint": "locked", "endpoint": NOT_ASKED}


def test_parts_can_report_from_many_threads_at_once() -> None:
    """One line for every change, in their order: each differs in one part from the one before."""
    health = Health(time.time)

    def tell(part: Part) -> None:
        for number in range(500):
            part.fails(str(number))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with capture_logs() as logged, ThreadPoolExecutor(3) as threads:
            list(threads.map(tell, parts(health).values()))
    finally:
        sys.setswitchinterval(before)
    shown = [Health(time.time).view().reasons, *(each["reasons"] for each in logged)]
    assert [len(set(one.items()) - set(other.items())) for one, other in pairwise(shown)] == [1] * 1500


@contextmanager
def kept(
    path: Path, health: Health, *, every: float = 0.02
) -> Iterator[Callable[[Callable[[], object]], None]]:
    """The file, kept by an event loop on a thread; gives what runs a call on that loop."""
    ended = threading.Event()
    calls: list[Callable[[], object]] = []

    async def keep() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(HealthFile(path, every=every).keep, health.view)
            while not ended.is_set():
                while calls:
                    calls.pop()()
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    thread = threading.Thread(target=anyio.run, args=(keep,))
    thread.start()
    try:
        wait_until(path.exists, within=5)
        yield calls.append
    finally:
        ended.set()
        thread.join(5)


def test_the_health_file_has_the_health_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path, health = tmp_path / "health.json", Health(lambda: 1_790_000_000.75)
    with kept(path, health):
        assert json.loads(path.read_text()) == {
            "ready": False,
            "at": "2026-09-21T14:13:20Z",
            "live_until": "2026-09-21T14:13:35Z",
            "reasons": {"source": NOT_ASKED, "checkpoint": NOT_ASKED, "endpoint": NOT_ASKED},
        }
        for part in parts(health).values():
            part.answers()
        wait_until(lambda: json.loads(path.read_text())["ready"], within=5)
        assert read(path).reasons == {}
    assert list(tmp_path.iterdir()) == []


def test_the_health_file_is_world_readable_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with kept(tmp_path / "health.json", ready()):
            assert stat.S_IMODE((tmp_path / "health.json").stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_a_reader_never_sees_a_partial_file(tmp_path: Path) -> None:
    path, health = tmp_path / "health.json", ready()
    with kept(path, health, every=0.0):
        inodes: set[int] = set()
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            health.source.fails("x" * (1000 * (len(inodes) % 40)))
            with path.open("rb") as file:
                inodes.add(os.fstat(file.fileno()).st_ino)
                assert set(json.loads(file.read())) == {"ready", "at", "live_until", "reasons"}
    assert len(inodes) > 1, "it was never replaced while it was read"


def test_a_hanging_event_loop_lets_the_file_become_stale(tmp_path: Path) -> None:
    path, hangs, goes_on = tmp_path / "health.json", threading.Event(), threading.Event()
    ticks = iter(range(1_790_000_000, 1_799_999_999))
    with kept(path, ready(lambda: float(next(ticks)))) as on_loop:
        first = read(path).at
        wait_until(lambda: read(path).at > first, within=5)

        def hang() -> None:
            hangs.set()
            goes_on.wait(5)

        on_loop(hang)
        assert hangs.wait(5)
        time.sleep(0.1)  # the file being written when it began to hang
        last = read(path)
        time.sleep(0.3)
        assert read(path).at == last.at
        assert is_live(last, last.at + LIVE_FOR - 1)
        assert not is_live(last, last.at + LIVE_FOR)
        goes_on.set()
        wait_until(lambda: read(path).at > last.at, within=5)


def test_a_clock_set_back_does_not_make_a_stale_file_live(tmp_path: Path) -> None:
    with kept(tmp_path / "health.json", ready(lambda: 1_790_000_000.0)):
        view = read(tmp_path / "health.json")
    assert not is_live(view, view.at - 3600)


@pytest.mark.parametrize("what", ["no folder", "a folder", "a checkpoint", "a pipe", "this folder"])
def test_a_health_file_that_cannot_be_written_ends_with_4_and_an_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "health"
    if what == "no folder":
        path = path / "health.json"
    elif what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "this folder":
        path = Path()
    else:
        path.write_bytes(b"SQLite format 3\0")
    before = sorted(tmp_path.rglob("*"))

    async def keep() -> None:
        with anyio.fail_after(5):
            await HealthFile(path).keep(ready().view)

    with pytest.raises(ControlError) as caught:
        anyio.run(keep)
    assert caught.value.exit_code == 4
    assert str(path) in str(caught.value)
    assert "--health-file" in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before
    assert path.is_fifo() is (what == "a pipe")
    if what == "a checkpoint":
        assert path.read_bytes() == b"SQLite format 3\0"


def test_a_file_left_by_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    path.write_text('{"ready": true, "at": "2020-01-01T00:00:00Z", "reasons": {}}')
    path.with_name("health.json.partial").write_text("half a f")
    with kept(path, ready()):
        wait_until(lambda: is_live(read(path), time.time()), within=5)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_later_is_logged_once_and_does_not_end_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "health.json"
    with capture_logs() as logged, kept(path, ready()):
        folder.rename(tmp_path / "gone")
        wait_until(lambda: logged, within=5)
        time.sleep(0.1)
        (tmp_path / "gone").rename(folder)
        (folder / "health.json").unlink()
        wait_until(path.exists, within=5)
    assert [each["event"] for each in logged if each["event"] != "health.ready"] == [
        "health.file_write_failed"
    ]


def ask(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["health", "--health-file", str(path), *options])


def written(path: Path, *, at: float, **members: Any) -> Path:
    text = datetime.fromtimestamp(at).astimezone().isoformat()
    path.write_text(json.dumps({"ready": True, "at": text, "reasons": {}, **members}))
    return path


def test_the_command_distinguishes_ready_and_not_ready(tmp_path: Path) -> None:
    path, health = tmp_path / "health.json", ready()
    with kept(path, health):
        assert (ask(path).exit_code, ask(path).stdout) == (0, "ready\n")
        assert json.loads(ask(path, "--json").stdout)["ready"] is True
        health.endpoint.fails("ConnectTimeout")
        wait_until(lambda: not read(path).ready, within=5)
        said = ask(path)
        assert (said.exit_code, said.stdout) == (1, "alive, not ready: endpoint: ConnectTimeout\n")
        assert ask(path, "--live").exit_code == 0
        shown = json.loads(ask(path, "--json").stdout)
        assert shown.pop("age_s") < 2
        assert (shown.pop("complete"), shown.pop("error")) == (True, None)
        assert shown == {"live": True, "ready": False, "reasons": {"endpoint": "ConnectTimeout"}, "why": None}
    assert ask(path).exit_code == 1


@pytest.mark.parametrize("options", [(), ("--live",), ("--json",), ("--live", "--json")])
def test_a_stale_file_is_neither_ready_nor_live(tmp_path: Path, options: tuple[str, ...]) -> None:
    fresh = ask(written(tmp_path / "health.json", at=time.time() - 10), *options)
    stale = ask(written(tmp_path / "health.json", at=time.time() - 16), *options)
    assert (fresh.exit_code, stale.exit_code) == (0, 1)
    assert "hangs or was killed" in stale.stdout
    assert stale.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "There is no health file"),
        ("", "is not a health file"),
        ("{", "is not a health file"),
        ("[]", "is not a health file"),
        ("\udcff", "is not a health file"),
        ('{"ready": 1, "at": "2026-01-01T00:00:00Z", "reasons": {}}', "is not a health file"),
        ('{"ready": true, "at": "yesterday", "reasons": {}}', "is not a health file"),
        ('{"ready": true, "at": "2026-01-01T00:00:00Z"}', "is not a health file"),
    ],
)
def test_a_file_that_is_no_health_file_is_not_live(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "health.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    for options in ((), ("--live",)):
        said = ask(path, *options)
        assert said.exit_code == 1
        assert says in said.stdout
        assert said.stdout.count("\n") == 1
    shown = json.loads(ask(path, "--json").stdout)
    assert (shown["live"], shown["ready"], shown["age_s"]) == (False, False, None)
    assert says in shown["why"]


@pytest.mark.timeout(10)
def test_the_command_does_not_wait_for_a_folder_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert ask(path).exit_code == 1


def test_foreign_text_in_the_file_does_not_reach_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path / "f", at=time.time(), ready=False, reasons={"\x1b[2J": "\x9b2J\n"})
    for options in ((), ("--json",)):
        assert ask(path, *options).stdout.removesuffix("\n").isprintable()


def test_the_command_takes_the_file_from_the_environment_and_requires_one(tmp_path: Path) -> None:
    path = written(tmp_path / "health.json", at=time.time() + 5)
    named, unnamed = together(
        partial(run, "health", cwd=tmp_path, env={"BULK_INVITE_HEALTH_FILE": str(path)}),
        partial(run, "health", cwd=tmp_path),
    )
    assert (named.code, named.stdout, named.stderr) == (0, "ready\n", "")
    assert (unnamed.code, unnamed.stdout) == (2, "")
    assert "--health-file" in unnamed.said
