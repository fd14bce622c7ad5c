"""A checkpoint that is older than the last call, while the service has forgotten the tokens."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import Emulator, Ran, emulator, run, running, wait_until
from rows import make_rows, messages, write_rows

from bulk_invite.checkpoint.reader import CheckpointReader

OPTIONS = ("--settling-time", "300ms", "--daily-quota", "none", "--json", "--log-format", "json")
ROWS = make_rows(16)
_FILES = ("bulk-invite.db", "bulk-invite.db-wal")


@pytest.fixture
def service() -> Iterator[Emulator]:
    """It forgets every token at once."""
    with emulator(latency=0.02, token_retention=0.05) as running_service:
        yield running_service


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


def _killed_later(service: Emulator, folder: Path) -> None:
    """A run that is killed after ten calls; a copy of its checkpoint is from when it had made four."""
    source = write_rows(folder / "rows.ndjson", ROWS)
    (folder / "copy").mkdir()
    command = ("send", source, "--endpoint-url", service.url, *OPTIONS, "--rate", "25")
    with running(*command, cwd=folder) as sender:
        wait_until(partial(_has_calls, service, 4))
        for name in _FILES:
            shutil.copy(folder / name, folder / "copy")
        wait_until(partial(_has_calls, service, 10))
        sender.signal(signal.SIGKILL)
    time.sleep(0.1)  # until the tokens are forgotten


def _restored(folder: Path) -> None:
    (folder / "bulk-invite.db-shm").unlink(missing_ok=True)
    for name in _FILES:
        shutil.copy(folder / "copy" / name, folder)


def _sent(service: Emulator, folder: Path, *more: str) -> Ran:
    source = folder / "rows.ndjson"
    return run("send", source, "--endpoint-url", service.url, *OPTIONS, *more, "--rate", "100", cwd=folder)


def _event(ran: Ran, name: str) -> dict[str, Any]:
    (found,) = [event for event in ran.events if event["event"] == name]
    return found


def _report(folder: Path) -> dict[str, Any]:
    ran = run("report", "--json", cwd=folder)
    parsed: dict[str, Any] = json.loads(ran.stdout)
    return parsed


def _is_whole(folder: Path) -> bool:
    """Whether the report says that no call was ever missing, and nothing else against the rows."""
    with CheckpointReader(folder / "bulk-invite.db") as reader:
        proof = reader.proof(time.time())
    wrong = [line.key for line in proof.lines if not line.ok]
    assert wrong in ([], ["whole"])
    assert proof.adds_up is not bool(wrong)
    return not wrong


def test_an_older_copy_is_noticed_and_no_row_is_invited_twice(service: Emulator, tmp_path: Path) -> None:
    _killed_later(service, tmp_path)
    assert _is_whole(tmp_path)
    _restored(tmp_path)
    assert not _is_whole(tmp_path)  # though no sender has seen it yet
    before = len(service.invitations())
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("bulk-invite.db*")}
    rehearsed = _sent(service, tmp_path, "--dry-run")
    looked = run("status", "--json", cwd=tmp_path)
    assert kept.items() <= {path.name: path.read_bytes() for path in tmp_path.glob("bulk-invite.db*")}.items()
    ran = _sent(service, tmp_path)
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(ROWS))
    parsed = _event(ran, "checkpoint.stale")
    assert "bulk-invite.db.last" in parsed["why"]
    assert 1 <= parsed["missing_calls"] <= before
    for ahead in (rehearsed, looked):  # a run's words, before it
        same = _event(ahead, "checkpoint.stale")
        assert [same[key] for key in ("why", "since", "missing_calls")] == [
            parsed[key] for key in ("why", "since", "missing_calls")
        ]
    assert not _is_whole(tmp_path)
    status = run("status", "--json", cwd=tmp_path)
    assert (status.json["created"], status.json["in_doubt"], status.events) == (16, 0, [])


def test_a_copy_from_elsewhere_may_be_older(service: Emulator, tmp_path: Path) -> None:
    _killed_later(service, tmp_path)
    shutil.copy(tmp_path / "rows.ndjson", tmp_path / "copy")
    for path in tmp_path.glob("bulk-invite.db*"):
        path.unlink()
    ran = _sent(service, tmp_path / "copy")
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(ROWS))
    assert "bulk-invite.db.last" in _event(ran, "checkpoint.possibly_stale")["why"]
    again = _sent(service, tmp_path / "copy")
    assert [event["event"] for event in again.events if "older" in event["event"]] == []


def test_a_checkpoint_moved_with_its_companion_or_resumed_after_a_kill_is_current(
    service: Emulator, tmp_path: Path
) -> None:
    _killed_later(service, tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in [*tmp_path.glob("bulk-invite.db*"), tmp_path / "rows.ndjson"]:
        shutil.move(path, moved)
    ran = _sent(service, moved, "--no-look-up-first")
    assert ran.code == 0, ran.stderr
    assert [event["event"] for event in ran.events if "older" in event["event"]] == []
    assert _is_whole(moved)


def test_look_up_first_finds_the_invitations_of_a_lost_checkpoint(service: Emulator, tmp_path: Path) -> None:
    _killed_later(service, tmp_path)
    for path in tmp_path.glob("bulk-invite.db*"):
        path.unlink()
    lists = len(service.reads())
    ran = _sent(service, tmp_path, "--look-up-first", "--daily-quota", "20")
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(ROWS))
    assert len(service.reads()) > lists
    assert 0.0 < _event(ran, "lookup.settling")["seconds"] <= 0.3
    assert _event(ran, "lookup.before_sending")["reads_per_second"] == 10
    with CheckpointReader(tmp_path / "bulk-invite.db") as reader:
        pacing = reader.overview(time.time()).pacing
        assert pacing is not None
        assert pacing.counted == len(ROWS)  # those that were found, too
    found = [each for each in run("export", cwd=tmp_path).lines if each["evidence"]]
    assert len(found) == len(ROWS)
    assert {each["evidence"]["finding"] for each in found} == {"found", "absent"}
    assert _is_whole(tmp_path)  # nothing says that it was older


def test_a_new_checkpoint_beside_the_companion_of_another_counts_as_older(
    service: Emulator, tmp_path: Path
) -> None:
    _killed_later(service, tmp_path)
    for name in (*_FILES, "bulk-invite.db-shm"):
        (tmp_path / name).unlink()
    ran = _sent(service, tmp_path)
    assert ran.code == 0, ran.stderr
    assert service.messages() == Counter(messages(ROWS))
    assert _event(ran, "checkpoint.stale")["missing_calls"] >= 10
