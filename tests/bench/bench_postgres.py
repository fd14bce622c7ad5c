"""The cost of PostgreSQL as source and as outcome table.

    python tests/bench/bench_postgres.py read [--rows 1000000]
    python tests/bench/bench_postgres.py whole [--rows 200000] [--checkpoint file|database]

read: `validate` of so many rows, with the peak resident size of its process. whole: so many rows from a table
to the emulator and back into a table of outcomes, beside the same rows with a file for a checkpoint; the
emulator's ledger is the judge of "each once".
The server is a local one, beside the sender on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from command import COMMAND, CREDENTIALS, Emulator, environment, run
from database import Database, database, server
from measured import MIB, measured
from rows import make_row

READ = ("--table", "invitations", "--key", "id")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["read", "whole"])
    parser.add_argument("--rows", type=int)
    parser.add_argument(
        "--checkpoint", choices=["file", "database"], help="of whole; default: one after the other"
    )
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    measure = {"read": _read, "whole": _whole}[options.what]
    usual = 200_000 if options.what == "whole" else 1_000_000
    with TemporaryDirectory() as folder, server() as running, database(running.url) as db:
        kinds = [options.checkpoint] if options.checkpoint else ["file", "database"]
        print(json.dumps(measure(db, options.rows or usual, Path(folder), kinds), indent=1))


def _fill(db: Database, rows: int) -> None:
    db.run("CREATE TABLE invitations (id bigint PRIMARY KEY, request jsonb NOT NULL)")
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    db.run(f"GRANT CREATE ON DATABASE {db.name} TO {db.role}")
    # The server makes the rows: some minutes for five million of them.
    db.run(
        """INSERT INTO invitations
        SELECT n, jsonb_set(jsonb_set(%s::jsonb,
            '{EngagementIdentifier}', to_jsonb('eng-' || lpad(n::text, 14, '0'))),
            '{Invitation,Message}', to_jsonb('Would you join us on project ' || n || '?'))
        FROM generate_series(1, %s) AS n""",
        (json.dumps(make_row(1)), rows),
    )
    db.run("ANALYZE invitations")


def _read(db: Database, rows: int, folder: Path, _kinds: list[str]) -> dict[str, Any]:
    _fill(db, rows)
    began = time.monotonic()
    ran = measured(COMMAND, "validate", db.url, *READ, "--json", cwd=folder)
    seconds = time.monotonic() - began
    assert ran.json["valid"] == rows, ran.stderr
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows/s": round(rows / seconds),
        "rows per second of the program's processor time": round(rows / ran.cpu),
        "peak resident MiB": round(ran.peak / MIB, 1),
    }


def _whole(db: Database, rows: int, folder: Path, kinds: list[str]) -> dict[str, Any]:
    _fill(db, rows)
    made = run("init-db", db.url, *READ, "--write-back", "outcomes", cwd=folder)
    assert made.code == 0, made.stderr
    result: dict[str, Any] = {"rows": rows}
    for name in kinds:
        checkpoint = {"file": "file.db", "database": db.url}[name]
        with _emulator(folder / f"{name}.ledger") as service:
            pace = ("--rate", "100000", "--daily-quota", "none", "--log-level", "warning", "--json")
            more = ("--campaign", name, "--write-back", "outcomes", "--progress", "off")
            command = ("send", db.url, *READ, "--checkpoint", checkpoint, "--endpoint-url", service.url)
            ran = measured(COMMAND, *command, *pace, *more, cwd=folder)
            assert (ran.code, ran.json["created"]) == (0, rows), ran.stderr[-2000:]
            messages = _messages(folder / f"{name}.ledger")
        created = "FROM outcomes WHERE campaign = %s AND state = 'created'"
        written = db.run(f"SELECT count(*), count(DISTINCT invitation_id) {created}", (name,))
        result[f"checkpoint in a {name}"] = {
            "rows/s": round(rows / ran.json["elapsed_s"]),
            "peak resident MiB": round(ran.peak / MIB, 1),
            "in the ledger": sum(messages.values()),
            "lost": rows - len(messages),
            "twice": sum(count - 1 for count in messages.values()),
            "written back, with Ids of their own": written[0],
        }
    return result


def _messages(ledger: Path) -> Counter[str]:
    messages = Counter[str]()
    with ledger.open() as lines:
        for line in lines:
            entry = json.loads(line)
            if "request" in entry and "id" in entry:
                messages[entry["request"]["Invitation"]["Message"]] += 1
    return messages


@contextmanager
def _emulator(ledger: Path) -> Iterator[Emulator]:
    """A separate process; otherwise it would share only our own turns."""
    command = [COMMAND, "emulator", "--port", "0", "--json", "--ledger", ledger]
    with subprocess.Popen(
        [*map(str, command), "--invitations-per-engagement", "none"],
        env=environment(**CREDENTIALS),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            yield Emulator(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
