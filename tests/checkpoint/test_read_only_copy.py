"""A checkpoint is read where its reader may not write: a copy on a share, a folder of another user."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from checkpoints import NOW, Place, admit, records_of, settle, writing
from fakes import invitation

from bulk_invite.checkpoint.open import database_at
from bulk_invite.domain.errors import CheckpointError, UsageError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.verdicts import State

_OTHER_USER: Final = 65534

_STATES: Final = {"a": State.CREATED, "b": State.IN_DOUBT, "c": State.PENDING}

_NAME: Final = "bulk-invite.db"


@contextmanager
def _as_another_user() -> Iterator[None]:
    """To the superuser no folder is closed."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(_OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can enter; those of pytest are private to their user."""
    made = Path(tempfile.mkdtemp(prefix="bulk-invite-looking-"))
    try:
        yield made
    finally:
        made.chmod(0o700)
        shutil.rmtree(made)


def _close(folder: Path) -> Path:
    """To all that write."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    return folder / _NAME


def _read(path: Path) -> dict[str, State]:
    with _as_another_user():
        return {each.client_token: each.state for each in records_of(Place(str(path)))}


def _sent(path: Path) -> None:
    with writing(Place(str(path))) as writer:
        admit(writer, *(invitation(token, line=line) for line, token in enumerate(_STATES, start=1)))
        settle(writer, "a")
        writer.record([Sent("b", NOW)])


def _with_log(folder: Path) -> None:
    """As after a crash: the last commits are in the log only."""
    with tempfile.TemporaryDirectory() as elsewhere:
        path = Path(elsewhere) / _NAME
        with writing(Place(str(path))) as writer:
            admit(writer, invitation("a"))
            shutil.copy(path, folder)
            admit(writer, *(invitation(token, line=line) for line, token in ((2, "b"), (3, "c"))))
            settle(writer, "a")
            writer.record([Sent("b", NOW)])
            shutil.copy(f"{path}-wal", folder)
            shutil.copy(f"{path}-shm", folder)


def _without_index(folder: Path) -> None:
    _with_log(folder)
    (folder / f"{_NAME}-shm").unlink()


def _closed(folder: Path) -> None:
    _sent(folder / _NAME)
    assert not (folder / f"{_NAME}-wal").exists()


@pytest.mark.parametrize("left", [_closed, _with_log, _without_index])
def test_a_checkpoint_is_read_without_write_access_and_left_unchanged(
    folder: Path, left: Callable[[Path], None]
) -> None:
    left(folder)
    path = _close(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert _read(path) == _STATES
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not list(Path(tempfile.gettempdir()).glob("bulk-invite-*/copy.db")), "and no copy is left"


def test_a_checkpoint_is_read_while_its_sender_runs(folder: Path) -> None:
    path = folder / _NAME
    _sent(path)
    with writing(Place(str(path))) as writer:
        _close(folder)
        assert _read(path) == _STATES
        writer.record([Sent("c", NOW)])
        assert _read(path)["c"] is State.IN_DOUBT


def test_a_checkpoint_being_written_is_not_read_in_part(folder: Path) -> None:
    _without_index(folder)
    path, over = _close(folder), threading.Event()
    Path(f"{path}-wal").chmod(0o666)  # the users who may write to it may change its times

    def write() -> None:
        while not over.wait(0.05):
            os.utime(f"{path}-wal")

    writer = threading.Thread(target=write)
    writer.start()
    began = time.monotonic()
    timer = threading.Timer(0.7, over.set)
    timer.start()
    assert _read(path) == _STATES
    assert time.monotonic() - began > 0.7
    writer.join()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is a directory"),
        ("folder", "is a directory"),
        ("file/checkpoint.db", "part of its path is a file"),
        ("pipe", "not a regular file"),
        ("ring", "symbolic links"),
        ("x" * 300, "too long"),
        ("closed/checkpoint.db", "Permission denied"),
        ("nul\0", "not a valid file name"),
    ],
)
def test_every_reader_reports_a_path_that_is_no_checkpoint(folder: Path, name: str, says: str) -> None:
    (folder / "folder").mkdir()
    (folder / "file").touch()
    (folder / "ring").symlink_to("ring")
    os.mkfifo(folder / "pipe")
    (folder / "closed").mkdir(mode=0o600)
    folder.chmod(0o777)
    with _as_another_user():
        for opened in (
            Place(str(folder / name)).reader,
            Place(str(folder / name)).writer,
            lambda: database_at(folder / name, ""),
        ):
            with pytest.raises((CheckpointError, UsageError), match=says):
                opened()
    assert not list(folder.glob("*.lock"))
