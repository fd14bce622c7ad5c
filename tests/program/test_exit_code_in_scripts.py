"""Scripts in a real shell tell rows that need attention from a run that failed."""

from __future__ import annotations

import json
from pathlib import Path

from command import CREDENTIALS, emulator
from rows import make_rows, ndjson
from terminal import command_on_path, run_script

from bulk_invite.runs.settings.model import Settings

_SCRIPT = """
set -e
bulk-invite validate rows.ndjson --exit-zero-on-rejected
bulk-invite send rows.ndjson --dry-run --exit-zero-on-rejected
bulk-invite send rows.ndjson --exit-zero-on-rejected --json > option.json
BULK_INVITE_EXIT_ZERO_ON_REJECTED=true bulk-invite send rows.ndjson
bulk-invite send rows.ndjson --json > idiom.json || [ $? -eq 1 ]
code=0
bulk-invite send missing.ndjson --exit-zero-on-rejected || code=$?
echo "missing: $code"
bulk-invite send rows.ndjson || echo "rows: $?"
bulk-invite validate missing.ndjson || [ $? -eq 1 ]
echo "not reached"
"""


def test_a_script_tells_rows_that_need_attention_from_a_failure(tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_bytes(ndjson([*make_rows(3), '{"Invitation": {}}']))
    with emulator() as service, command_on_path(tmp_path) as env:
        ran = run_script(_SCRIPT, env={**env, **CREDENTIALS, "BULK_INVITE_ENDPOINT_URL": service.url})
        assert sum(service.messages().values()) == 3
    said = [line for line in ran.stdout.splitlines() if line.startswith(("missing", "rows: ", "not "))]
    assert (ran.code, said) == (1, ["missing: 4", "rows: 1"]), ran.stderr
    by_option, by_idiom = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("option", "idiom")
    )
    assert (by_option["error"], by_option["complete"]) == (None, True)
    assert by_option.keys() == by_idiom.keys()
    assert (by_option["rejected"], by_idiom["rejected"]) == (1, 1)


def test_the_option_changes_no_other_exit_code() -> None:
    codes = (0, 1, 2, 3, 4, 75, 130)
    assert [Settings().exit_code(each) for each in codes] == [*codes]
    kind = Settings.model_validate({"exit_zero_on_rejected": True})
    assert [kind.exit_code(each) for each in codes] == [0, 0, 2, 3, 4, 75, 130]
