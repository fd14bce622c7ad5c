"""Figures have the same digits wherever they are shown."""

from __future__ import annotations

from dataclasses import fields

from bulk_invite.monitoring.figures import rounded
from bulk_invite.monitoring.status import RunStatus


def test_figures_are_rounded_by_name_and_other_values_are_not() -> None:
    values = {
        "rate": 1.23456,
        "estimated_quota": None,
        "source_lag": {"a": 0.123, "b": 2.0},
        "seconds": 0.123456,
        "rows": 7,
        "parked": "daily_quota",
    }
    assert rounded(values) == {**values, "rate": 1.235, "source_lag": {"a": 0.1, "b": 2.0}}


def test_every_fraction_of_the_status_has_its_digits() -> None:
    figures = [each.name for each in fields(RunStatus) if "float" in str(each.type)]
    assert "speed" in figures
    for name in figures:
        value = {"x": 1 / 3} if name == "source_lag" else 1 / 3
        assert rounded({name: value}) != {name: value}, name
