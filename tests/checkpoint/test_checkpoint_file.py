"""Faults of a checkpoint in a file: files of other programs, damage, a full disk."""

from __future__ import annotations

import os
import random
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from checkpoints import (
    Place,
    admit,
    overview_of,
    python,
    records_of,
    settle,
    writing,
)
from fakes import invitation

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.db"


@pytest.fixture
def place(path: Path) -> Place:
    return Place(str(path))


def test_readers_need_a_checkpoint(tmp_path: Path, path: Path) -> None:
    for wrong, says in ((path, "no checkpoint"), (tmp_path, "it is a directory")):
        with pytest.raises(CheckpointError, match=says):
            CheckpointReader(wrong)
    assert list(tmp_path.iterdir()) == [], "and looking for it makes none"
    path.touch()
    with pytest.raises(CheckpointError, match="is empty"):
        CheckpointReader(path)


def test_files_are_readable_by_their_owner_only(place: Place, path: Path) -> None:
    umask = os.umask(0)
    try:
        with writing(place) as writer:
            admit(writer, invitation("a"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert {"checkpoint.db", "checkpoint.db-wal", "checkpoint.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


def _refused(path: Path) -> str:
    """The error of reader and writer; the file must be unchanged."""
    before = path.read_bytes()
    place = Place(str(path))
    with pytest.raises(CheckpointError):
        place.reader()
    with pytest.raises(CheckpointError) as raised:
        place.writer()
    assert path.read_bytes() == before
    return str(raised.value)


def test_a_text_file_is_refused_and_left_unchanged(path: Path) -> None:
    path.write_text("a,b,c\n" * 1000)
    assert "not a database" in _refused(path)


def test_a_database_of_another_program_is_refused_and_left_unchanged(path: Path) -> None:
    Place(str(path)).run("CREATE TABLE about (key TEXT, value TEXT)")
    assert "database of another program" in _refused(path)
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_an_empty_file_beside_its_log_is_no_new_checkpoint(place: Place, path: Path, *, gone: bool) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a"))
        log = path.with_name(f"{path.name}-wal")
        saved = log.read_bytes()
    assert saved
    path.write_bytes(b"")
    log.write_bytes(saved)
    if gone:
        path.unlink()
        with pytest.raises(CheckpointError, match="belong together"):
            place.writer()
        assert not path.exists()
    else:
        assert "belong together" in _refused(path)
    assert log.read_bytes() == saved


def test_an_empty_file_becomes_a_checkpoint(place: Place, path: Path) -> None:
    path.touch()
    with writing(place) as writer:
        assert not writer.has_created()


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        CheckpointWriter.open(tmp_path / "tpyo" / "checkpoint.db", catalog="Sandbox")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="directory"):
        CheckpointWriter.open(tmp_path / "folder", catalog="Sandbox")


def _with_rows(place: Place, number: int = 500) -> None:
    with writing(place) as writer:
        admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, number + 1)))
        settle(writer, *(f"t{line}" for line in range(1, number // 2)))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9])
def test_a_truncated_checkpoint_is_not_used(place: Place, path: Path, share: float) -> None:
    _with_rows(place)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(CheckpointError):
        place.writer()


def test_damage_beyond_what_opening_reads_is_found_by_the_check(place: Place, path: Path) -> None:
    _with_rows(place)
    data = bytearray(path.read_bytes())
    at = len(data) // 4096 // 2 * 4096
    data[at : at + 4096] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        place.writer()


def test_invalid_text_counts_as_damage(place: Place) -> None:
    _with_rows(place, 10)
    place.run("UPDATE invitations SET state = CAST(x'ff' AS TEXT) WHERE client_token = 't3'")
    with pytest.raises(CheckpointError, match="Restore it"):
        overview_of(place)
    with pytest.raises(CheckpointError, match="Restore it"), writing(place) as writer:
        admit(writer, invitation("t3"))


@pytest.mark.parametrize("seed", range(12))
def test_noise_in_a_checkpoint_is_a_reported_error_or_harmless(place: Place, path: Path, seed: int) -> None:
    _with_rows(place)
    noise = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(noise.choice([1, 4, 64])):
        at = noise.randrange(0 if seed % 2 else 4096, len(data) - 512)
        data[at : at + 512] = noise.randbytes(512)
    path.write_bytes(data)
    with suppress(CheckpointError):  # anything else, such as a ValueError, would be a traceback
        with writing(place) as writer:
            admit(writer, *(invitation(f"t{line}", line=line) for line in range(1, 501)))
        records_of(place)
        overview_of(place)


def test_a_commit_returns_once_it_is_flushed_to_disk(path: Path) -> None:
    with SqliteFile(path).held() as engine, engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


_FULL = """
    import resource, sys
    from pathlib import Path
    from bulk_invite.domain.errors import CheckpointError
    sys.path.insert(0, sys.argv[2])
    from fakes import invitation
    from bulk_invite.domain.events import Sent
    from bulk_invite.domain.records import Owner
    from bulk_invite.checkpoint.writer import CheckpointWriter
    with CheckpointWriter.open(Path(sys.argv[1]), catalog="Sandbox") as writer:
        writer.claim(Owner("1", "a"))
        writer.begin_run(0.0)
        rows = [invitation(f"t{line}", line=line) for line in range(1, 101)]
        writer.admit(rows, campaign="", retry_failed=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for line in range(1, 101):
            try:
                writer.record([Sent(f"t{line}", float(line))])
            except CheckpointError as error:
                print(f"failed: {error}")
                break
            print(f"sent t{line}", flush=True)
"""


def test_a_full_disk_is_an_error_and_keeps_earlier_commits(place: Place, path: Path) -> None:
    with python(_FULL, path, Path(__file__).parents[1] / "support") as process:
        assert process.stdout is not None
        *sent, failed = process.stdout.read().splitlines()
    assert failed.startswith("failed: The checkpoint")
    assert "disk" in failed
    assert 0 < len(sent) < 100
    in_doubt = {record.client_token for record in records_of(place, State.IN_DOUBT)}
    assert in_doubt == {line.removeprefix("sent ") for line in sent}
    with writing(place, Owner("1", "a")) as writer:
        (again,) = admit(writer, invitation("t1", line=1))
        assert again == ToSend(invitation("t1", line=1), 1.0, 1.0)


def test_a_sender_keeps_its_lock_while_its_process_reads_the_checkpoint(tmp_path: Path) -> None:
    """Without it the next reader takes itself for the only one, and its end takes the last commits along."""
    path = tmp_path / "c.db"
    with CheckpointWriter.open(path, catalog="Sandbox"):
        pass
    with CheckpointReader(path) as reader, reader._engine.connect() as looking:
        looking.exec_driver_sql("SELECT 1 FROM runs").all()
        with CheckpointWriter.open(path, catalog="Sandbox"):
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            inode = f":{path.stat().st_ino}"
            mine = [lock for lock in locks if lock[1] == "POSIX" and lock[4] == str(os.getpid())]
            assert any(lock[5].endswith(inode) for lock in mine)
