"""Names of sources: found files, and refusals before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from source_files import rows

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import Position
from bulk_invite.sources.file import resolve


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def named(*names: str) -> list[str]:
    return [source.name for source in resolve(names)]


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"{}")


@contextmanager
def other_user_if_root() -> Iterator[None]:
    """Root reads everything, so it steps down for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_names_keep_their_order_and_globs_are_sorted() -> None:
    make("b.ndjson", "a.ndjson", "c.ndjson.gz", "deep/er/d.ndjson", "other.txt")
    assert named("other.txt", "*.ndjson*", "a.ndjson") == [
        *("other.txt", "a.ndjson", "b.ndjson", "c.ndjson.gz", "a.ndjson"),
    ]
    assert named("[ab].ndjson") == ["a.ndjson", "b.ndjson"]
    assert named("?.ndjson") == ["a.ndjson", "b.ndjson"]
    assert named("**/*.ndjson") == ["a.ndjson", "b.ndjson", "deep/er/d.ndjson"]
    assert named(str(Path("deep/*/*").absolute())) == [str(Path("deep/er/d.ndjson").absolute())]


def test_a_file_that_looks_like_a_glob_is_itself() -> None:
    make("rows[1].ndjson", "rows1.ndjson")
    assert named("rows[1].ndjson") == ["rows[1].ndjson"]
    assert named("rows[[]1].ndjson") == ["rows[1].ndjson"]


def test_rows_have_the_source_name_as_given() -> None:
    make("dir/rows.ndjson")
    [source] = resolve(["./dir/../dir/rows.ndjson"])
    assert [row.position for row in rows(source)] == [Position("./dir/../dir/rows.ndjson", 1)]


def test_a_name_that_is_not_utf8_can_be_stored() -> None:
    make(os.fsdecode(b"caf\xe9.ndjson"))
    [source] = resolve(["*.ndjson"])
    assert [row.position.source.encode() for row in rows(source)] == [b"caf\\xe9.ndjson"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.ndjson", "gone.ndjson: no such file. Check"),
        ("dangling", "dangling: no such file. Check"),
        ("gone/*.ndjson", "gone/*.ndjson: no file matches. Check"),
        ("dir", "dir: is a directory. Name its files"),
        ("d*", "dangling: no such file. Check"),
        ("di?", "dir: is a directory. Name its files"),
        ("file/rows", "file/rows: cannot be opened (Not a directory). Check"),
        ("nul\0", "nul\0: cannot be opened (embedded null byte). Check"),
        ("", ": no such file. Check"),
    ],
)
def test_a_source_that_cannot_be_opened_is_reported_before_anything_is_read(name: str, sentence: str) -> None:
    make("file")
    Path("dir").mkdir()
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(SourceError, match="^" + re.escape(sentence)) as caught:
        resolve(["file", name])
    assert caught.value.exit_code == 4


def test_a_file_without_permission_is_refused() -> None:
    make("secret")
    Path("secret").chmod(0)
    Path().chmod(0o755)
    with other_user_if_root(), pytest.raises(SourceError, match=r"^secret: permission denied"):
        resolve(["secret"])


def test_a_file_removed_after_the_check_is_an_error() -> None:
    make("rows")
    [source] = resolve(["rows"])
    Path("rows").unlink()
    with pytest.raises(SourceError, match=r"^rows: no such file"):
        rows(source)


def test_the_check_of_a_pipe_does_not_disturb_its_writer() -> None:
    os.mkfifo("pipe")
    assert named("pipe", "pipe") == ["pipe", "pipe"]


def test_closed_standard_input_is_refused() -> None:
    saved = os.dup(0)
    os.close(0)
    try:
        with pytest.raises(SourceError, match=r"^Standard input: cannot be opened \(Bad file descriptor\)"):
            resolve(["-"])
    finally:
        os.dup2(saved, 0)
        os.close(saved)
