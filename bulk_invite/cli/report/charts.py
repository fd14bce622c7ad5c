"""Charts of calls and rows over time, as inline SVG styled by the page.

A chart is as wide as the page: places on the time axis are shares of the width, so that texts keep their size
on a phone and on paper. Only the shapes are stretched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from bulk_invite.checkpoint.audit.result import Bucket, Course
from bulk_invite.cli.report.axis import Scale, number, round_times, round_values
from bulk_invite.cli.report.html import Markup, element, join
from bulk_invite.cli.report.wording import day, moment, share, width
from bulk_invite.domain.durations import HOUR, MINUTE

_WIDTH: Final = 1000.0
"""Of the plot area, in the units of its shapes."""

_HEIGHT: Final = 230.0
_TOP, _BOTTOM = 14.0, 180.0
"""Edges of the plot area, in pixels."""

_FEW: Final = 3
"""Labels of the time axis on a narrow screen."""

Chart = tuple[str, Markup]
"""Its title and its SVG."""

_PER: Final = (("second", 1.0), ("minute", MINUTE), ("hour", HOUR))


def calls_chart(course: Course) -> Chart:
    """Calls per second, minute or hour in each bucket; throttled ones are drawn over them."""
    over_time = course.over_time
    highest = max(bucket.calls for bucket in over_time.buckets) / over_time.width
    unit, seconds = next((each for each in _PER if highest * each[1] >= 1), _PER[-1])
    factor = seconds / over_time.width
    calls = sum(bucket.calls for bucket in over_time.buckets)
    throttled = sum(bucket.throttled for bucket in over_time.buckets)
    frame = _Frame(course, highest * seconds)
    bars = [
        frame.bars("granted", ((each, 0.0, each.calls * factor) for each in over_time.buckets)),
        frame.bars("throttled", ((each, 0.0, _refused(each) * factor) for each in over_time.buckets)),
    ]
    return frame.drawn(
        "calls",
        f"Calls per {unit}",
        f"Per {width(over_time.width)}: at most {number(highest * seconds)} calls per {unit}; "
        f"{calls:,} calls in total, {throttled:,} of them throttled ({share(throttled, calls)}).",
        f"calls per {unit}",
        bars,
    )


def throttled_chart(course: Course) -> Chart:
    """The throttled share of the calls in each bucket, in percent."""
    over_time = course.over_time
    shares = [(each, 100 * _refused(each) / max(1, each.calls)) for each in over_time.buckets]
    highest = max(percent for _, percent in shares)
    frame = _Frame(course, max(1.0, highest))
    bars = [frame.bars("throttled", ((each, 0.0, percent) for each, percent in shares))]
    return frame.drawn(
        "shares",
        "Throttled calls, percent",
        f"Per {width(over_time.width)}: at most {number(highest)} percent of the calls.",
        "throttled, %",
        bars,
    )


def created_chart(course: Course, rows: int) -> Chart:
    """Invitations created by each moment, cumulative. rows: all valid rows."""
    over_time = course.over_time
    sums = list(accumulate(bucket.created for bucket in over_time.buckets))
    frame = _Frame(course, max(rows, sums[-1]))
    points = [(frame.first, 0.0)]
    for bucket, created in zip(over_time.buckets, sums, strict=True):
        points += [(bucket.at, points[-1][1]), (bucket.at + over_time.width, float(created))]
    points.append((frame.last, points[-1][1]))
    return frame.drawn(
        "created",
        "Invitations created",
        f"{sums[-1]:,} invitations from {moment(frame.first)} to {moment(frame.last)} UTC, "
        f"of {rows:,} valid rows.",
        "rows",
        [frame.limit(float(rows)), frame.curve("created", points)],
    )


def _refused(bucket: Bucket) -> int:
    """Throttled calls of a bucket, capped: some answers belong to calls of the bucket before."""
    return min(bucket.throttled, bucket.calls)


class _Frame:
    """Axes, labels and marks of a chart. highest: the largest value shown."""

    def __init__(self, course: Course, highest: float) -> None:
        over_time = course.over_time
        self.first = over_time.buckets[0].at
        self.last = over_time.buckets[-1].at + over_time.width
        self._width = over_time.width
        self._course = course
        self._values = round_values(highest)
        self._x = Scale(self.first, self.last, 0.0, _WIDTH)
        self._y = Scale(0.0, self._values[-1], _BOTTOM, _TOP)

    def bars(self, kind: str, bars: Iterable[tuple[Bucket, float, float]]) -> Markup:
        """One bar for each (bucket, low, high)."""
        path = []
        for bucket, low, high in bars:
            if high > low:
                left, right = self._x.place(bucket.at), self._x.place(bucket.at + self._width)
                # Even the smallest bar stays visible.
                top = min(self._y.place(high), self._y.place(low) - 1.0)
                path.append(
                    f"M{left:.1f} {self._y.place(low):.1f}V{top:.1f}H{right:.1f}V{self._y.place(low):.1f}Z"
                )
        return element("path", class_=kind, d="".join(path) or "M0 0")

    def curve(self, kind: str, points: Sequence[tuple[float, float]]) -> Markup:
        places = " ".join(f"{self._x.place(at):.1f},{self._y.place(value):.1f}" for at, value in points)
        return element("path", class_=f"curve {kind}", d=f"M{places}")

    def limit(self, value: float) -> Markup:
        height = self._y.place(value)
        return element("line", class_="limit", x1=0, x2=_WIDTH, y1=height, y2=height)

    def drawn(self, name: str, title: str, desc: str, unit: str, content: Iterable[Markup]) -> Chart:
        return title, element(
            "svg",
            element("title", title, id=f"{name}-title"),
            element("desc", desc, id=f"{name}-desc"),
            self._silences(),
            self._values_axis(unit),
            element(
                "svg",
                content,
                width="100%",
                height=_HEIGHT,
                viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
                preserveAspectRatio="none",
            ),
            self._times_axis(),
            xmlns="http://www.w3.org/2000/svg",
            height=_HEIGHT,
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
        )

    def _share(self, at: float) -> str:
        """A time as a share of the width."""
        return f"{100 * self._x.place(at) / _WIDTH:.2f}%"

    def _silences(self) -> Markup:
        """A gray band where a run made no call for longer than a bar; a line where a run started."""
        marks = []
        for each in self._course.silences:
            if each.until - each.since < self._width:
                continue
            share = (self._x.place(each.until) - self._x.place(each.since)) / _WIDTH
            size: dict[str, str | float] = {
                "width": f"{max(0.1, 100 * share):.2f}%",
                "y": _TOP,
                "height": _BOTTOM - _TOP,
            }
            marks.append(element("rect", class_="silence", x=self._share(each.since), **size))
        for run in self._course.runs:
            if self.first <= run.started <= self.last:
                at = self._share(run.started)
                marks.append(element("line", class_="start", x1=at, x2=at, y1=_TOP - 8, y2=_BOTTOM))
        return join(marks)

    def _values_axis(self, unit: str) -> Markup:
        parts = []
        for value in self._values:
            height = self._y.place(value)
            parts.append(element("line", class_="grid", x1=0, x2="100%", y1=height, y2=height))
            parts.append(element("text", number(value), class_="label end", x=-8, y=height + 4))
        middle = (_TOP + _BOTTOM) / 2
        turned = f"translate(-58 {middle:.0f}) rotate(-90)"
        parts.append(element("text", unit, class_="name", transform=turned))
        return join(parts)

    def _times_axis(self) -> Markup:
        parts = [element("line", class_="axis", x1=0, x2="100%", y1=_BOTTOM, y2=_BOTTOM)]
        times = round_times(self.first, self.last)
        every = math.ceil(len(times) / _FEW)
        for index, (at, called) in enumerate(times):
            place, kind = self._share(at), "label" if index % every == 0 else "label wide"
            parts.append(element("line", class_="axis", x1=place, x2=place, y1=_BOTTOM, y2=_BOTTOM + 5))
            parts.append(element("text", called, class_=kind, x=place, y=_BOTTOM + 19))
        begins, ends = day(self.first), day(self.last)
        span = begins if begins == ends else f"{begins} to {ends}"
        parts.append(element("text", f"time (UTC), {span}", class_="name", x="50%", y=_BOTTOM + 40))
        return join(parts)
