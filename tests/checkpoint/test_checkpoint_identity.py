"""A checkpoint is a file, not a name: other names for it, and names that mean another file by now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkpoints import NOW, Place, admit, first_line, overview_of, python, records_of, settle, writing
from command import run
from fakes import invitation
from filelock import FileLock
from structlog.testing import capture_logs

from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.errors import CheckpointError, CheckpointHeldError
from bulk_invite.domain.events import Sent
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader

_HOLDING = """
    import sys, time
    sys.path.insert(0, sys.argv[2])
    from checkpoints import Place, writing
    with writing(Place(sys.argv[1])):
        print("ready", flush=True)
        time.sleep(60)
"""


def _leave(path: Path) -> None:
    """The files of a killed sender whose commits are all in the log: "a" created, "b" in doubt."""
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"), invitation("b", line=2))
        settle(writer, "a")
        writer.record([Sent("b", NOW)])
        kept = {file: file.read_bytes() for file in (path, _log(path))}
    for file, content in kept.items():
        file.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _states(path: Path) -> dict[str, str]:
    return {each.client_token: each.state.value for each in records_of(Place(str(path)))}


_DONE = {"a": "created", "b": "in_doubt"}


def _refused(path: Path, *said: str, reader: bool = True) -> None:
    """Both ways of opening are, and change nothing."""
    place = Place(str(path))
    before = {each: each.stat() for each in path.parent.iterdir()}
    for opened in (place.writer, place.reader) if reader else (place.writer,):
        with pytest.raises(CheckpointError) as raised:
            opened()
        for each in said:
            assert each in str(raised.value)
    for file, was in before.items():
        now = file.stat()
        assert (now.st_ino, now.st_size, now.st_mtime) == (was.st_ino, was.st_size, was.st_mtime)


# Other names


@pytest.fixture
def left(path: Path) -> Path:
    """The checkpoint of a sender that was killed, where it was."""
    _leave(path)
    return path


def test_a_file_with_two_names_is_refused_under_both(left: Path) -> None:
    other = left.with_name("d.db")
    other.hardlink_to(left)
    _refused(other, "2 names", "-samefile", "if there is none", reader=False)
    _refused(left, "2 names", reader=False)
    with pytest.raises(CheckpointError, match=str(_log(left))):
        Place(str(other)).reader()
    other.unlink()
    with writing(Place(str(left))) as writer:
        assert admit(writer, invitation("b", line=2)) == [ToSend(invitation("b", line=2), NOW, NOW)]


def test_a_file_moved_without_its_log_is_refused_until_the_log_is_beside_it(left: Path) -> None:
    other = left.with_name("d.db")
    left.rename(other)
    last = left.with_name("c.db.last"), left.with_name("d.db.last")
    _refused(other, f"mv {_log(left)} {_log(other)} && mv {last[0]} {last[1]}")
    _log(left).rename(_log(other))
    last[0].rename(last[1])
    assert _states(other) == _DONE
    with writing(Place(str(other))):
        pass
    assert _states(other) == _DONE


def test_a_new_checkpoint_records_its_location_before_its_first_row(path: Path) -> None:
    """All commits of its first run are in the log; without it the file would look empty."""
    _leave(path)
    path.rename(path.with_name("d.db"))
    with pytest.raises(CheckpointError, match="is empty or missing"):
        Place(str(path)).writer()
    _refused(path.with_name("d.db"), "was last used as")


def test_a_copy_without_the_log_is_refused_and_one_with_it_is_used(left: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "c.db"
    copy.parent.mkdir()
    shutil.copy(left, copy)
    _refused(copy, f"--checkpoint {left}", "with its log", reader=False)
    with capture_logs() as logs, open_reader(Settings(checkpoint=str(copy))):
        pass
    assert [log["event"] for log in logs] == ["checkpoint.incomplete"], "readers get a warning"
    shutil.copy(_log(left), _log(copy))
    with writing(Place(str(copy))) as writer:
        assert admit(writer, invitation("b", line=2)) == [ToSend(invitation("b", line=2), NOW, NOW)]
    with capture_logs() as logs:
        assert _states(copy) == _DONE
    assert logs == []


@pytest.mark.parametrize("line", ["status --json", "export", "report --json"])
def test_what_a_copy_without_the_log_lacks_is_said_once_and_not_in_the_result(
    left: Path, tmp_path: Path, line: str
) -> None:
    shutil.copy(left, tmp_path / "copy.db")
    ran = run(*line.split(), "--checkpoint", tmp_path / "copy.db", cwd=tmp_path)
    assert [each["event"] for each in ran.events].count("checkpoint.incomplete") == 1
    assert all(json.loads(each) for each in ran.stdout.splitlines())


@pytest.mark.parametrize("there", ["nothing", "another checkpoint"])
def test_a_copy_at_another_location_is_used(left: Path, tmp_path: Path, there: str) -> None:
    """As on another machine: the recorded name means nothing there, or another file.

    Without the file that was beside it, it may be older than the last call: a row is looked up first.
    """
    moved = tmp_path / "volume" / "d.db"
    moved.parent.mkdir()
    shutil.copy(left, moved)
    shutil.copy(_log(left), _log(moved))
    left.rename(tmp_path / "away")
    _log(left).unlink()
    if there == "another checkpoint":
        _leave(left)
    with writing(Place(str(moved))) as writer:
        admit(writer, invitation("c", line=3))
    assert _states(moved) == {**_DONE, "c": "in_doubt"}


def test_another_checkpoint_with_the_same_name_and_inode_is_not_the_copied_one(
    path: Path, tmp_path: Path
) -> None:
    """As on another machine, whose new volumes count their files from the same number on."""
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"))
    copy = path.with_name("copy.db")
    for end in ("", ".last"):
        shutil.copy(path.with_name(f"{path.name}{end}"), copy.with_name(f"{copy.name}{end}"))
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    _leave(other)
    for file in (path, _log(path)):
        file.write_bytes(other.with_name(file.name).read_bytes())
    with writing(Place(str(copy))):
        pass
    assert _states(copy) == {"a": "pending"}


@contextmanager
def _bound(source: Path, target: Path) -> Iterator[None]:
    made = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no mounts here: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.parametrize("name", ["d.db", "d with space.db"])
def test_a_mounted_file_is_refused_and_a_mounted_folder_is_not(left: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / name).touch()
    with _bound(left, other / name):
        _refused(other / name, "mounted as a single file", "Mount the directory")
        with pytest.raises(CheckpointError, match="mounted as a single file"):
            SqliteFile(other / name).check_writable()
    inner = tmp_path / "inner"
    inner.mkdir()
    left.rename(inner / left.name)
    _log(left).rename(inner / _log(left).name)
    with _bound(inner, other), writing(Place(str(other / left.name))) as writer:
        writer.prove()
        assert _states(other / left.name) == _DONE


@pytest.mark.parametrize("target", ["plain", "of a link", "in a linked folder"])
def test_a_dangling_link_is_no_new_checkpoint(left: Path, tmp_path: Path, target: str) -> None:
    link = tmp_path / "link.db"
    if target == "of a link":
        (tmp_path / "between").symlink_to(left)
        link.symlink_to("between")
    elif target == "in a linked folder":
        (tmp_path / "folder").symlink_to(".")
        link = tmp_path / "folder" / left.name
    else:
        link.symlink_to(left)
    left.unlink()
    saved = _log(left).read_bytes()
    for opened in (Place(str(link)).writer, Place(str(link)).reader, SqliteFile(link).check_writable):
        with pytest.raises(CheckpointError, match="belong together"):
            opened()
    assert not left.exists()
    assert _log(left).read_bytes() == saved


def test_a_loop_of_links_is_a_reported_error(path: Path) -> None:
    path.symlink_to("c.db")
    with pytest.raises(CheckpointError, match="symbolic links"):
        Place(str(path)).writer()


def test_the_recorded_location_is_read_back_whatever_its_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff 'c\n.db"))
    for _ in range(2):
        with writing(Place(str(path))):
            pass
    path.rename(path.with_name("d.db"))
    with writing(Place(str(path.with_name("d.db")))):
        pass


# While it is in use

_FILES = ["", "-wal", "-shm", ".lock"]


def _remove(file: Path) -> None:
    file.unlink()


def _move(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def _replace(file: Path) -> None:
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    copy.replace(file)


def _move_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


@pytest.mark.parametrize("end", _FILES)
@pytest.mark.parametrize("change", [_remove, _move, _replace, _move_folder])
def test_the_commit_after_the_file_was_replaced_is_the_last_and_all_is_kept(
    tmp_path: Path, end: str, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "folder" / "c.db"
    path.parent.mkdir()
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"), invitation("b", line=2))
        settle(writer, "a")
        writer.prove()
        change(path.with_name(f"{path.name}{end}"))
        for _ in range(2):
            with pytest.raises(CheckpointError, match="moved, removed, replaced or truncated") as raised:
                writer.record([Sent("b", NOW)])
            with pytest.raises(CheckpointError):
                writer.prove()
    kept = path
    if end in {"", "-wal"} or change is _move_folder:
        (kept,) = tmp_path.rglob("c.db.saved")
        assert f"continue with --checkpoint {kept}" in str(raised.value)
        assert kept.stat().st_mode & 0o777 == 0o600
    assert not raised.value.retryable
    assert _states(kept) == _DONE
    with writing(Place(str(kept))) as again:
        assert admit(again, invitation("b", line=2)) == [ToSend(invitation("b", line=2), NOW, NOW)]


def test_a_file_that_is_emptied_in_place_ends_the_run_at_the_next_commit(path: Path) -> None:
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"))
        settle(writer, "a")
        writer.prove()
        os.truncate(path, 0)
        with pytest.raises(CheckpointError, match="truncated"):
            writer.prove()
    kept = path.with_name("c.db.saved")
    assert not kept.exists() or _states(kept) == {"a": "created"}, (
        "an incomplete copy is not reported as saved"
    )


@pytest.mark.parametrize("first", ["the file", "the copy"])
def test_only_one_of_a_returned_file_and_its_saved_copy_can_continue(tmp_path: Path, first: str) -> None:
    """A supervisor restarts the same command; the operator continues with the copy, as the error says."""
    path = tmp_path / "c.db"
    saved = path.with_name("c.db.saved")
    away = tmp_path / "away"
    away.mkdir()
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"), invitation("b", line=2))
        settle(writer, "a")
        for file in (path, _log(path)):
            file.rename(away / file.name)
        with pytest.raises(CheckpointError, match=f"continue with --checkpoint {saved}"):
            writer.prove()
    for file in away.iterdir():
        file.rename(tmp_path / file.name)
    path.with_name("c.db-shm").unlink()
    if first == "the copy":
        with writing(Place(str(saved))) as writer:
            settle(writer, "b")
    for opened in (Place(str(path)).writer, SqliteFile(path).check_writable):
        with pytest.raises(CheckpointError, match=f"Continue with --checkpoint {saved}"):
            opened()
    with writing(Place(str(saved))):
        pass
    saved.rename(tmp_path / "put away")
    with writing(Place(str(path))) as writer:
        assert [each.client_token for each in records_of(Place(str(path)))] == ["a", "b"]


def test_a_saved_copy_is_refused_once_its_file_has_sent_more(path: Path) -> None:
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"))
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(CheckpointError, match="saved"):
            writer.prove()
    away = path.with_name("put away")
    saved = path.with_name("c.db.saved")
    saved.rename(away)
    path.with_name("elsewhere").rename(path)
    with writing(Place(str(path))) as writer:
        settle(writer, "a")
    away.rename(saved)
    with pytest.raises(CheckpointError, match=f"Continue with --checkpoint {path}"):
        Place(str(saved)).writer()


def test_no_new_checkpoint_is_begun_where_a_copy_was_saved(path: Path) -> None:
    with writing(Place(str(path))) as writer:
        path.unlink()
        with pytest.raises(CheckpointError, match=r"c\.db\.saved"):
            admit(writer, invitation("a"))
    saved = path.with_name("c.db.saved")
    for opened in (Place(str(path)).writer, Place(str(path)).reader, SqliteFile(path).check_writable):
        with pytest.raises(CheckpointError, match=f"--checkpoint {saved}"):
            opened()
    assert not path.exists()
    saved.rename(path)
    with writing(Place(str(path))) as writer:
        path.rename(path.with_name("c.db.saved"))  # the name is taken
        with pytest.raises(
            CheckpointError, match=r"--checkpoint \S+/c\.db\.saved-2\. .* is now at \S+/c\.db\.saved\."
        ):
            writer.prove()


def test_the_next_run_finds_a_copy_saved_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was removed; it is created again, and the same command starts in the same place."""
    folder, started_in = tmp_path / "volume", tmp_path / "started in"
    folder.mkdir()
    started_in.mkdir()
    monkeypatch.chdir(started_in)
    path = folder / "c.db"
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"))
        settle(writer, "a")
        shutil.rmtree(folder)
        with pytest.raises(CheckpointError, match=r"started in/c\.db\.saved"):
            writer.prove()
    with pytest.raises(CheckpointError, match="would send every invitation again"):
        Place(str(path)).writer()
    folder.mkdir()
    for opened in (Place(str(path)).writer, Place(str(path)).reader, SqliteFile(path).check_writable):
        with pytest.raises(CheckpointError, match=r"--checkpoint \S+ in/c\.db\.saved"):
            opened()
    with writing(Place(str(tmp_path / "c.db"))):
        pass  # another one of that name


def test_a_copy_is_saved_even_if_its_companion_file_cannot_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")  # where no files can be made
    saved = path.with_name("c.db.saved")
    saved.with_name("c.db.saved.last").mkdir()
    with writing(Place(str(path))) as writer:
        admit(writer, invitation("a"))
        path.unlink()
        with pytest.raises(CheckpointError, match=f"--checkpoint {saved}"):
            writer.prove()
    assert _states(saved) == {"a": "pending"}


def test_a_copy_that_cannot_be_saved_anywhere_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.joinpath("here").mkdir()
    monkeypatch.chdir("/proc")  # where no files can be made
    inner = path.parent / "here" / path.name
    with writing(Place(str(inner))) as writer:
        shutil.rmtree(inner.parent)
        with pytest.raises(CheckpointError, match="could not be saved"):
            writer.prove()


def test_a_run_that_lost_its_files_leaves_those_of_the_next_one_alone(path: Path) -> None:
    """SQLite deletes the log by its name when it closes, even if another file has that name now."""
    aside = path.with_name("aside")
    aside.mkdir()
    first = Place(str(path)).writer()
    for file in [*path.parent.glob("c.db*")]:
        file.rename(aside / file.name)
    with writing(Place(str(path))) as second:
        admit(second, invitation("a"))
        with pytest.raises(CheckpointError, match="saved"):
            first.prove()
        first.__exit__(None, None, None)
        second.prove()
        admit(second, invitation("b", line=2))
    assert _states(path) == {"a": "pending", "b": "pending"}


def test_a_link_that_now_leads_elsewhere_ends_the_run(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with writing(Place(str(link))) as writer:
        link.unlink()
        link.symlink_to("other.db")
        with pytest.raises(CheckpointError, match=f"{path} is complete"):
            writer.prove()


def test_the_lock_file_alone_excludes_a_sender(path: Path) -> None:
    with writing(Place(str(path))):
        pass
    with FileLock(path.with_name("c.db.lock")), pytest.raises(CheckpointHeldError):
        Place(str(path)).writer()


def test_a_sender_excludes_others_even_if_its_lock_file_is_removed(path: Path) -> None:
    lock = path.with_name("c.db.lock")
    with writing(Place(str(path))):
        lock.unlink()
        with pytest.raises(CheckpointHeldError):
            Place(str(path)).writer()
        assert overview_of(Place(str(path))).active
        assert SqliteFile(path).has_sender()
    assert not overview_of(Place(str(path))).active
    with writing(Place(str(path))) as writer:
        writer.prove()


def test_the_file_itself_excludes_a_sender_of_another_process(path: Path) -> None:
    with python(_HOLDING, path, Path(__file__).parents[1] / "support") as process:
        assert first_line(process) == "ready\n"
        with Place(str(path)).reader() as reader:
            assert reader.overview(NOW).active
        path.with_name("c.db.lock").unlink()
        with pytest.raises(CheckpointHeldError):
            Place(str(path)).writer()
        with Place(str(path)).reader() as reader:
            assert reader.overview(NOW).active
    with writing(Place(str(path))):
        pass


def test_reading_does_not_release_the_lock_of_a_sender_in_the_same_process(path: Path) -> None:
    """POSIX locks belong to the process: closing any descriptor of the file releases them."""
    with writing(Place(str(path))) as writer:
        for _ in range(3):
            assert overview_of(Place(str(path))).active
            writer.prove()
        kinds = {line.split()[1] for line in _locks(path)}
        assert kinds == {"POSIX", "OFDLCK"}
    assert _locks(path) == []


def _locks(path: Path) -> list[str]:
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return [line for line in lines if line.split()[5].endswith(f":{path.stat().st_ino}")]


def test_a_lock_file_that_cannot_be_made_is_not_another_sender() -> None:
    for opened in (Place("/proc/c.db").writer, SqliteFile(Path("/proc/c.db")).check_writable):
        with pytest.raises(CheckpointError, match=r"/proc/c\.db|in /proc") as raised:
            opened()
        assert not isinstance(raised.value, CheckpointHeldError)
        assert "cannot be" in str(raised.value)
        assert not raised.value.retryable
