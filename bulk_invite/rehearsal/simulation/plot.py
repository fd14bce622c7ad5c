"""Plots of trials: allowed rate, sent rate and throttled share.

The same trials give the same bytes, as PNG and as SVG. Text in an SVG remains text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bulk_invite.domain.durations import HOUR, MINUTE
from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.simulation.virtual_run import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOWS: Final = 200
"""Number of windows in which calls are counted."""

_POINTS: Final = 400
"""Maximum number of points of the sender's own rate."""

_STEPS: Final = 4800
"""Number of points at which the allowed rate is sampled: every second of 80 minutes."""

_LONG: Final = 3 * HOUR
"""Seconds from which the time axis is in hours."""

_HEADROOM: Final = 1.05
_MOST_HEADROOM: Final = 1.8
"""Factors over the highest sent or allowed rate; a sender's own rate may be far off for a moment."""

_ALLOWED, _SENT, _OWN, _THROTTLED = "#a6a6a6", "#1f5fa8", "#e08a00", "#d62728"

_STYLE: Final[dict[Any, object]] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.hspace": 0.0,
    "font.family": "sans-serif",
    "font.size": 10.0,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "bulk-invite",
}

_METADATA: Final = {".png": {"Software": None}, ".svg": {"Date": None}}
"""By file extension: metadata to leave out, so that equal plots are equal files."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One trial. allowed: calls per second allowed at a time in seconds since the start; finite."""

    name: str
    trial: Trial
    allowed: Callable[[float], float]


def check(path: Path) -> None:
    """Raise UsageError where no plot can be written, also where matplotlib is not installed."""
    if path.suffix not in _METADATA or path.is_dir():
        raise UsageError(f"A plot must be a .png or .svg file, not {path.name}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"The directory of the plot {path} does not exist.")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "Plots need matplotlib.", hint="Install it from the checkout: pip install '.[plot]'."
        )


def draw(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw the panels below each other into a .png or .svg file.

    Raises UsageError as `check` does.
    """
    check(path)
    from matplotlib import rc_context  # noqa: PLC0415 - an optional extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise; without pyplot, no window opens

    length = max(panel.trial.length for panel in panels)
    unit, seconds = ("hours", HOUR) if length >= _LONG else ("minutes", MINUTE)
    with rc_context(_STYLE):
        figure = Figure(figsize=(9, 1.1 + 2.8 * len(panels)), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        heights = [3.5, 1] * len(panels)
        grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
        rows: list[Axes] = list(grid[:, 0])
        curves = [_curves(panel, seconds) for panel in panels]
        _share_scales(rows, curves)
        for panel, each, rates, shares in zip(panels, curves, rows[::2], rows[1::2], strict=True):
            _draw_rates(rates, panel, each)
            _draw_shares(shares, each)
        rows[0].set_xlim(0, length / seconds)
        rows[-1].set_xlabel(unit)
        # A sender without a rate has one line less, so the legend covers all panels.
        labelled = [pair for axes in rows for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
        drawn = {label: handle for handle, label in labelled}
        figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=len(drawn), frameon=False)
        try:
            figure.savefig(path, dpi=120, metadata=_METADATA[path.suffix])
        except OSError as error:
            raise UsageError(f"The plot {path} cannot be written: {error.strerror}.") from error


@dataclass(frozen=True, slots=True)
class _Curve:
    """Points over time, in the unit of the plot."""

    times: list[float]
    values: list[float]


@dataclass(frozen=True, slots=True)
class _Curves:
    """Rates in calls per second; throttled: share of the calls in each window, in percent."""

    allowed: _Curve
    own: _Curve
    sent: _Curve
    throttled: _Curve


def _curves(panel: Panel, unit: float) -> _Curves:
    trial = panel.trial
    width = trial.length / _WINDOWS
    calls, throttled = [0] * _WINDOWS, [0] * _WINDOWS
    for call in trial.calls:
        window = min(_WINDOWS - 1, int(call.time / width))
        calls[window] += 1
        throttled[window] += call.throttled
    middles = [(window + 0.5) * width / unit for window in range(_WINDOWS)]
    shares = [100 * part / max(1, whole) for part, whole in zip(throttled, calls, strict=True)]
    return _Curves(
        _steps(panel.allowed, trial.length, unit),
        _own_rate(trial, unit),
        _Curve(middles, [number / width for number in calls]),
        _Curve(middles, shares),
    )


def _steps(allowed: Callable[[float], float], length: float, unit: float) -> _Curve:
    """The times at which the allowed rate changes, and the new rates."""
    changes = [(0.0, allowed(0.0))]
    for time in (step * length / _STEPS for step in range(1, _STEPS)):
        if (rate := allowed(time)) != changes[-1][1]:
            changes.append((time, rate))
    changes.append((length, changes[-1][1]))
    return _Curve([time / unit for time, _ in changes], [rate for _, rate in changes])


def _own_rate(trial: Trial, unit: float) -> _Curve:
    """The sender's own rate, the last value around each point; empty if it has none."""
    around = {
        int(call.time / trial.length * _POINTS): (call.time / unit, call.rate)
        for call in trial.calls
        if call.rate is not None
    }
    return _Curve([time for time, _ in around.values()], [rate for _, rate in around.values()])


def _share_scales(rows: Sequence[Axes], curves: Sequence[_Curves]) -> None:
    """Give all panels the same scales, so that they can be compared."""
    highest = max(max(each.sent.values + each.allowed.values) for each in curves)
    own = max((rate for each in curves for rate in each.own.values), default=0.0)
    most = max(max(each.throttled.values) for each in curves)
    for rates, shares in zip(rows[::2], rows[1::2], strict=True):
        rates.set_ylim(0, min(_MOST_HEADROOM * highest, _HEADROOM * max(own, highest)))
        shares.set_ylim(0, max(1.0, min(100.0, _HEADROOM * most)))


def _draw_rates(axes: Axes, panel: Panel, curves: _Curves) -> None:
    allowed, own, sent = curves.allowed, curves.own, curves.sent
    axes.step(
        allowed.times, allowed.values, where="post", color=_ALLOWED, lw=3, label="allowed by the server"
    )
    if own.times:
        axes.plot(own.times, own.values, color=_OWN, lw=0.6, label="target rate of the sender")
    axes.plot(sent.times, sent.values, color=_SENT, lw=1.4, label="sent")
    axes.set_title(panel.name, loc="left", fontsize=11, fontweight="bold")
    calls = panel.trial.calls
    share = sum(call.throttled for call in calls) / max(1, len(calls))
    axes.set_title(f"{100 * share:.1f}% of all calls throttled", loc="right", fontsize=11, color=_THROTTLED)
    axes.set_ylabel("calls per second")


def _draw_shares(axes: Axes, curves: _Curves) -> None:
    shares = curves.throttled
    axes.fill_between(
        shares.times, shares.values, step="mid", color=_THROTTLED, lw=0, label="throttled, % of calls sent"
    )
    axes.set_ylabel("%")
