"""Disk full, I/O error, failed sync, half a write, a kill, a power failure: at the n-th call, for every n."""

from __future__ import annotations

import random
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from command import Emulator, emulator, run
from rows import make_rows, write_rows

from faults.audit import CHECKPOINT, OPTIONS, Finding, Kept, check_promises, each_of, spread
from faults.disk import Call, Disk, Effect, Fault
from faults.tried import Tried

_ROWS: Final = make_rows(6)
_FAULTS: Final = (
    (Effect.FULL, False),
    (Effect.FULL, True),
    (Effect.BROKEN, False),
    (Effect.BROKEN, True),
    (Effect.TORN, True),
    (Effect.KILLED, False),
    (Effect.KILLED_HALF, False),
    (Effect.POWER, False),
)
_KILLS: Final = {Effect.KILLED, Effect.KILLED_HALF, Effect.POWER}


def campaign(times: int, folder: Path, seed: int) -> list[Tried]:
    """Every fault at `times` calls, evenly from the first to the last; of all when there are fewer."""
    calls = len(clean_calls(folder))
    shift = random.Random(seed)
    tried = []
    for effect, stays in _FAULTS:
        offset = shift.randrange(max(1, calls // max(times, 1)))
        at = sorted({(nth + offset) % calls for nth in spread(calls, times)})
        faults = [Fault(nth, effect, stays) for nth in at]
        name = f"{effect.value}{', and it stays so' if stays else ''}"
        tried.append(each_of(name, faults, partial(judge, folder=folder), least_hit=0.5))
    few = [300 * 1024 + each * 16 * 1024 for each in range(min(times, 12))]
    tried.append(each_of("a small file system that is full", few, partial(judge_full, folder=folder)))
    return tried


def clean_calls(folder: Path) -> list[tuple[str, str]]:
    """The calls of a run without faults, by name and file."""
    place = _place(folder)
    disk = Disk(place / CHECKPOINT)
    with emulator() as service:
        ran = disk.run(*_command(service), cwd=place)
        assert ran.code == 0, ran.stderr
    return [(call.name, call.file) for call in disk.calls]


def judge(fault: Fault, *, folder: Path) -> Finding:
    """A run with the fault, the files that it left, and the same command without the fault."""
    place, finding = _place(folder), Finding()
    disk = Disk(place / CHECKPOINT, fault)
    with emulator() as service:
        ran = disk.run(*_command(service), cwd=place)
        if disk.hit is None and fault.nth >= len(disk.calls) > 1:
            # On a busy machine more events share a commit, and there are fewer calls than there were.
            return judge(replace(fault, nth=fault.nth // 2), folder=folder)
        finding.hit = disk.hit is not None
        if fault.effect is Effect.POWER or _sync_failed(disk):
            disk.cut_power()
        kept = Kept.of(place)
        check_promises(finding, kept, service, ran, place / "out")
        if fault.effect in _KILLS and finding.hit:
            finding.check(ran.code == -9, f"exit code {ran.code} of what was killed")
        elif ran.code == 0:
            # SQLite can do without some calls, as those that empty its log at the end; never without these.
            is_commit = disk.hit == Call("pwrite64", "-wal")
            finding.check(not is_commit, f"ended with 0 although {disk.hit} failed")
            finding.check(len(kept.ids) == len(_ROWS), f"ended with 0, and {len(kept.ids)} rows are kept")
        else:
            finding.check(disk.hit is not None, "stopped without a fault")
            finding.check_stop(ran)
        finding.check_end(run(*_command(service), cwd=place), _ROWS)
        finding.check_ledger(service, _ROWS)
    return finding


def _sync_failed(disk: Disk) -> bool:
    """Whether a sync was reported as failed: the kernel may have dropped unwritten data."""
    return disk.hit is not None and disk.hit.name == "fdatasync"


def judge_full(size: int, *, folder: Path) -> Finding:
    """A file system of that many bytes; if none can be mounted, a limit on the size of files."""
    finding, rows = Finding(), make_rows(60)
    place = _place(folder, rows)
    with emulator() as service, ExitStack() as undo:
        mounted = place / "small"
        mounted.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mounted)]
        has_mount = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        if has_mount:
            undo.callback(subprocess.run, ["umount", str(mounted)], check=True)
        command = [*map(str, _command(service)), "--checkpoint", f"small/{CHECKPOINT}"]
        limit = "" if has_mount else f"ulimit -f {size // 1024}; "
        ran = run(f'{limit}exec "$0" {" ".join(command)}', cwd=place, shell=True)
        finding.check_stop(ran)
        check_promises(finding, Kept.of(mounted), service, ran, place / "out")
        if has_mount:
            subprocess.run(["mount", "-o", "remount,size=64m", str(mounted)], check=True)
        finding.check_end(run(*command, cwd=place), rows)
        finding.check_ledger(service, rows)
    return finding


def _place(folder: Path, rows: list[dict[str, Any]] = _ROWS) -> Path:
    place = Path(mkdtemp(dir=folder))
    write_rows(place / "rows.ndjson", rows)
    return place


def _command(service: Emulator) -> tuple[str, ...]:
    return ("send", "rows.ndjson", "--endpoint-url", service.url, "--results", "out", *OPTIONS)
