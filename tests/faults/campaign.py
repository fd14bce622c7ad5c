"""The long form of the fault campaign: `python tests/faults/campaign.py [NAME...] [--times N] [--seed S]`.

Exit 1 unless every line of the table is clean.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from faults import clock, kills, names, noise, senders, simulated, sleeps, stops, storage
from faults.tried import Tried

Campaign = Callable[[int, Path, int], list[Tried]]
"""Makes its faults a number of times, in an empty folder, from a seed."""

CAMPAIGNS: Final[dict[str, tuple[Campaign, int]]] = {
    "kills": (kills.campaign, 2000),
    "kills-in-database": (kills.campaign_in_database, 2000),
    "senders": (senders.campaign, 1000),
    "sleeps": (sleeps.campaign, 30),
    "stops": (stops.campaign, 20),
    "storage": (storage.campaign, 1000),
    "names": (names.campaign, 10),
    "noise": (noise.campaign, 100),
    "clock": (clock.campaign, 10),
    "simulated": (simulated.campaign, 3000),
}
"""Every campaign, and its default number of repetitions."""


def show(tried: list[Tried], console: Console) -> None:
    """The table, and under it the deviations from the manual."""
    table = Table("fault", *(f"{name}" for name in ("times", "lost", "twice", "repeated", "allowed", "s")))
    for column in table.columns[1:]:
        column.justify = "right"
    for line in tried:
        figures = (line.times, line.lost, line.twice, line.repeated, line.allowed)
        style = "" if line.clean else "bold red"
        table.add_row(escape(line.fault), *map(str, figures), f"{line.seconds:.1f}", style=style)
    console.print(table)
    for line in tried:
        for sentence in line.broken:
            console.print(f"{line.fault}: {sentence}", markup=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make faults and audit the invitations.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; default: all")
    parser.add_argument("--times", type=int, help="how often each campaign makes its faults")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one every time")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(CAMPAIGNS):
        parser.error(f"there is no campaign {', '.join(sorted(unknown))}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    clean = True
    for name in asked.names or CAMPAIGNS:
        campaign, usual = CAMPAIGNS[name]
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tried = campaign(asked.times or usual, Path(folder), asked.seed)
        clean = clean and bool(tried) and all(line.clean for line in tried)
        console.print(f"{name}, seed {asked.seed}, {time.monotonic() - began:.0f} s")
        show(tried, console)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
