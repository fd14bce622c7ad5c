"""The cost of validation, checkpoint and pacing: `send` beside a bare asyncio loop over aioboto3.

    python tests/bench/bench_send.py [--rows N] [--rounds N] [--json]
    python tests/bench/bench_send.py --memory 1000 200000

Both send the same rows to the same emulator, which answers at once, in turn; the ratio of each pair counts,
since these figures swing with the machine. The bare loop validates nothing, keeps nothing and paces nothing.
Memory is the peak resident size of the sender's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bulk_invite.validation import examples, service_model

_IN_FLIGHT: Final = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bare", nargs=2, metavar=("URL", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(asyncio.run(_bare(*options.bare))))
        return
    with tempfile.TemporaryDirectory() as folder, _emulator() as url:
        result = (
            _memory(url, Path(folder), options.memory)
            if options.memory
            else _compare(url, Path(folder), options.rows, options.rounds)
        )
    print(
        json.dumps(result)
        if options.json
        else "\n".join(f"{name}: {value}" for name, value in result.items())
    )


def _compare(url: str, folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    source = _write_rows(folder, rows)
    pairs = []
    for number in range(rounds):
        bare = _run([sys.executable, __file__, "--bare", url, str(source)])["calls_per_s"]
        summary, _ = _send(url, folder, source, f"round-{number}")
        assert summary["created"] == rows, summary
        pairs.append((rows / summary["elapsed_s"], bare))
    return {
        "send, calls per second": round(statistics.median(sent for sent, _ in pairs)),
        "bare loop, calls per second": round(statistics.median(bare for _, bare in pairs)),
        "ratio, median": round(statistics.median(sent / bare for sent, bare in pairs), 3),
        "ratio, each pair": [round(sent / bare, 3) for sent, bare in pairs],
    }


def _memory(url: str, folder: Path, sizes: list[int]) -> dict[str, Any]:
    result = {}
    for rows in sizes:
        _, peak = _send(url, folder, _write_rows(folder, rows), f"memory-{rows}")
        result[f"peak resident MiB, {rows} rows"] = round(peak, 1)
    return result


def _send(url: str, folder: Path, source: Path, campaign: str) -> tuple[dict[str, Any], float]:
    """Send every row from an empty checkpoint; return the summary and the peak resident size in MiB."""
    command = [sys.executable, "-m", "bulk_invite", "send", str(source), "--json", "--progress", "off"]
    command += ["--checkpoint", str(folder / f"{campaign}.db"), "--campaign", campaign, "--endpoint-url", url]
    command += ["--rate", "100000", "--daily-quota", "none", "--max-in-flight", str(_IN_FLIGHT)]
    command += ["--log-level", "warning"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    summary: dict[str, Any] = json.loads(output)
    return summary, usage.ru_maxrss / 1024


async def _bare(url: str, source: str) -> dict[str, float]:
    import aioboto3  # noqa: PLC0415 - only the measured process needs it
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    rows = iter([json.loads(line) for line in Path(source).read_text().splitlines()])  # noqa: ASYNC240 - before traffic
    count = 0
    began = time.monotonic()
    session = aioboto3.Session(region_name="us-east-1")
    session._session.get_component("data_loader").search_paths.insert(0, str(service_model.FOLDER))
    retries = {"total_max_attempts": 1, "mode": "standard"}
    config = AioConfig(max_pool_connections=_IN_FLIGHT, retries=retries)
    async with session.client("partnercentral-selling", endpoint_url=url, config=config) as client:

        async def work() -> None:
            nonlocal count
            for row in rows:
                await client.create_engagement_invitation(
                    **{**row, "Catalog": "Sandbox", "ClientToken": str(uuid.uuid4())}
                )
                count += 1

        await asyncio.gather(*(work() for _ in range(_IN_FLIGHT)))
    return {"calls_per_s": count / (time.monotonic() - began)}


def _write_rows(folder: Path, count: int) -> Path:
    path = folder / f"{count}.ndjson"
    templates = examples(service_model.load())
    with path.open("w") as file:
        for number in range(count):
            row = json.loads(json.dumps(templates[number % len(templates)]))
            del row["ClientToken"]
            row["EngagementIdentifier"] = f"eng-{number:014}"
            file.write(json.dumps(row) + "\n")
    return path


@contextmanager
def _emulator() -> Iterator[str]:
    command = [sys.executable, "-m", "bulk_invite", "emulator", "--port", "0", "--json"]
    command += ["--invitations-per-engagement", "none"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def _run(command: list[str]) -> dict[str, float]:
    result: dict[str, float] = json.loads(subprocess.check_output(command, env=_environment()))
    return result


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BULK_INVITE_"))
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "AKIABENCH",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


if __name__ == "__main__":
    main()
