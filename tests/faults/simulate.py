"""`python tests/faults/simulate.py SEED [TIMES]`: run seeds of the simulation; a single one with its log."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faults.simulated import run_seed


def main() -> int:
    first, times = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    totals, made, states = Counter[str](), Counter[str](), Counter[str]()
    began = time.perf_counter()
    for seed in range(first, first + times):
        outcome = run_seed(seed)
        if times == 1:
            print("\n".join(outcome.log))
        for problem in outcome.problems:
            print(f"seed {seed}: {problem}", flush=True)
        totals += Counter(
            {"seeds": 1, "failed": bool(outcome.problems), "runs": len(outcome.ends), "calls": outcome.calls}
        )
        totals += Counter({"repeated": outcome.judgement.repeated, "allowed": outcome.allowed})
        totals += Counter(end.partition(":")[0] for end in outcome.ends)
        made += outcome.made
        states += outcome.judgement.states
    print(f"{dict(totals)}\ncalls by fault: {dict(made)}\nstates: {dict(states)}")
    print(f"{time.perf_counter() - began:.1f} s")
    return int(bool(totals["failed"]))


if __name__ == "__main__":
    sys.exit(main())
