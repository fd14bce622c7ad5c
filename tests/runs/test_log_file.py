"""The log in a file as well."""

from __future__ import annotations

import json
import stat
from functools import partial
from pathlib import Path

import pytest
import structlog
from command import run, together

from bulk_invite.domain.errors import ControlError, UsageError
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.log_file import LogFile
from bulk_invite.runs.settings.loading import load


def say(file: LogFile, count: int, *, level: str = "info") -> None:
    logs.configure("json", level, file)
    for number in range(count):
        structlog.get_logger().info("said", number=number, text="\x1b[2Jü")
    file.close()
    structlog.reset_defaults()  # others log too, and would have it opened again


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.json"


def test_the_log_file_equals_standard_error_and_is_private(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say(LogFile(path, 10_000, 2), 3)
    assert lines(path) == [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines(path)[2]["text"] == "\\x1b[2Jü"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    say(LogFile(path, 10_000, 2), 1)
    assert len(lines(path)) == 4, "an older log is continued"
    say(LogFile(path, 10_000, 2), 1, level="warning")
    assert len(lines(path)) == 4


def test_a_large_log_file_is_rotated_and_only_so_many_are_kept(path: Path) -> None:
    say(LogFile(path, 1000, 3), 100)
    kept = sorted(each.name for each in path.parent.iterdir())
    assert kept == ["log.json", "log.json.1", "log.json.2"]
    assert all(each.stat().st_size <= 1000 for each in path.parent.iterdir())
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    numbers = [line["number"] for name in reversed(kept) for line in lines(path.parent / name)]
    assert numbers == list(range(100))[-len(numbers) :]


def test_a_full_disk_is_reported_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say(LogFile(Path("/dev/full"), 10_000, 2), 3)
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("{") for line in said) == 3
    assert [line for line in said if not line.startswith("{")] == [
        "bulk-invite: The log file /dev/full cannot be written: No space left on device."
    ]


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    """Also through a link, which may lead to a file of any user."""
    target, link = tmp_path / "target", tmp_path / "link.json"
    target.touch(mode=0o640)
    target.chmod(0o640)
    link.symlink_to(target)
    say(LogFile(link, 10_000, 2), 1)
    assert (len(lines(target)), stat.S_IMODE(target.stat().st_mode)) == (1, 0o640)


def test_a_log_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot be written: No such file or directory") as caught:
        LogFile(tmp_path / "nowhere" / "log.json", 1000, 2)
    assert "--log-file" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("500kB", 500_000), ("50MB", 50_000_000), ("1GB", 1_000_000_000)]
)
def test_a_size_is_parsed(text: str, size: int) -> None:
    assert load({"log_file_size": text}, None, {}).log_file_size == size


@pytest.mark.parametrize("text", ["", "50", "MB", "5.5MB", "50 MB", "50mb", "-1GB", "1TB"])
def test_an_invalid_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--log-file-size"):
        load({"log_file_size": text}, None, {})


def test_send_and_serve_open_the_log_file(tmp_path: Path) -> None:
    calls = [
        partial(run, name, "missing.ndjson", "--log-file", "no/log", cwd=tmp_path)
        for name in ("send", "serve")
    ]
    for ran in together(*calls):
        assert ran.code == 4
        assert "The log file no/log cannot be written" in ran.said
