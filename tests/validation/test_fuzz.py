"""The short form of `python tests/validation/fuzz.py`, with seeds that stay."""

from __future__ import annotations

import pytest
from fuzz import Fuzzer


@pytest.mark.parametrize("seed", [0, 10_000])
def test_mutated_rows_break_no_promise(seed: int) -> None:
    fuzzer = Fuzzer()
    for each in range(seed, seed + 60):
        fuzzer.round(each)
    counts = fuzzer.counts
    assert counts["accepted"] > 100
    assert counts["rejected"] > 500
    assert counts["files refused"] >= 5
    assert {"invalid_json", "invalid_utf8", "duplicate_key", "unknown_member", "missing"} <= counts.keys()
