"""The limit of open files is raised to what a run needs, or the run reports it before it begins."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from command import FAST, emulator, run, together
from rows import make_rows, write_rows

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.live_status.controls import RunControls
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.open_files import raise_file_limit

LIMIT = resource.RLIMIT_NOFILE


def settings(**values: object) -> Settings:
    return Settings.model_validate(values)


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    before = resource.getrlimit(LIMIT)
    resource.setrlimit(LIMIT, (150, before[1]))
    yield
    resource.setrlimit(LIMIT, before)


@pytest.mark.parametrize(
    ("given", "soft"),
    [
        ({"max_in_flight": 50}, 150),
        ({"max_in_flight": 51}, 151),
        ({"max_in_flight": 64, "listen": "8081"}, 292),
    ],
)
def test_the_soft_limit_is_raised_to_what_the_run_needs(given: dict[str, object], soft: int) -> None:
    assert raise_file_limit(settings(**given)) == soft
    assert resource.getrlimit(LIMIT)[0] == soft


def test_the_soft_limit_is_raised_when_more_rows_in_flight_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    controls = RunControls(settings(), lambda: None, lambda: False)
    assert controls.change_max_in_flight(300) == 64
    assert resource.getrlimit(LIMIT)[0] == 400
    monkeypatch.setattr(resource, "getrlimit", lambda _: (150, 350))  # a hard limit cannot be raised again
    with pytest.raises(ValueError, match="400 rows in flight need up to 500 open files"):
        controls.change_max_in_flight(400)
    with pytest.raises(UsageError, match="--max-in-flight"):
        raise_file_limit(settings(max_in_flight=1000))
    assert controls.in_flight.limit == 300


def test_a_run_with_few_open_files_sends_or_reports_the_limit(tmp_path: Path) -> None:
    rows = make_rows(40)
    source = write_rows(tmp_path / "rows.ndjson", rows)
    with emulator() as service:
        options = ["--endpoint-url", service.url, *FAST, "--max-in-flight", "200", "--checkpoint"]
        command = " ".join(["send", str(source), *options])
        few, none = together(
            partial(run, f'ulimit -Sn 64; exec "$0" {command} few.db', cwd=tmp_path, shell=True),
            partial(run, f'ulimit -n 200; exec "$0" {command} none.db', cwd=tmp_path, shell=True),
        )
        assert (few.code, few.json["created"], len(service.invitations())) == (0, 40, 40)
    assert (none.code, none.json["error"]["code"]) == (2, "usage")
    assert "200 rows in flight need up to 300 open files, but this process is limited to 200" in none.said
    assert not (tmp_path / "none.db").exists()
