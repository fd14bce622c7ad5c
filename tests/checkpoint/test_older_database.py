"""A sender that continues while its database fails over to a standby without the last commits."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from command import CREDENTIALS, Emulator, emulator, run, running, wait_until
from database import database, server
from rows import make_rows, messages, write_rows

_SERVE = ("--poll-interval", "200ms", "--settling-time", "300ms", "--rate", "20")
_REPORTED = ("--log-format", "json", "--json")
_ROWS = make_rows(40)


def _has_calls(service: Emulator, count: int) -> bool:
    return len(service.calls()) >= count


@pytest.mark.slow
def test_a_standby_gets_its_missing_commits_back_and_no_row_is_invited_twice(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    write_rows(tmp_path / "rows" / "rows.ndjson", _ROWS)
    with (
        emulator(latency=0.02, token_retention=0.05) as service,
        server() as primary,
        database(primary.url) as db,
        server(primary) as standby,
    ):
        at = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/{db.name}"
        checkpoint = ("--checkpoint", f"{at}?target_session_attrs=read-write")
        command = ("rows", *checkpoint, "--endpoint-url", service.url, *_SERVE, *_REPORTED)
        with running("serve", *command, cwd=tmp_path) as sender:
            wait_until(partial(_has_calls, service, 5))
            standby.set_up("primary_conninfo = ''")
            lacking = len(service.calls()) + 6
            wait_until(partial(_has_calls, service, lacking))
            primary.kill()
            standby.promote()
            wait_until(partial(_has_calls, service, len(_ROWS)))
            wait_until(lambda: len(service.invitations()) >= len(_ROWS))
            time.sleep(0.5)
            sender.process.terminate()
            ended = sender.ended()
        assert service.messages() == Counter(messages(_ROWS))
        assert (ended.code, ended.json["created"], ended.json["in_doubt"]) == (0, 40, 0), ended.stderr
        older = [each for each in ended.events if each["event"] == "checkpoint.stale"]
        assert ["remembers" in each["why"] for each in older] == [True]
        reported = run("report", "--json", *checkpoint, cwd=tmp_path, env=CREDENTIALS)
        assert [each["key"] for each in reported.json["evidence"] if not each["ok"]] == ["whole"]
        primary.start()  # its database is to be dropped
