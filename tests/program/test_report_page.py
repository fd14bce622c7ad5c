"""The HTML page of a report: complete, self-contained, safe from texts of rows, with charts of the log."""

from __future__ import annotations

import re
import sqlite3
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import chromium
from checkpoints import NOW, Place, admit, answered, created, writing
from fakes import invitation, row
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext

from bulk_invite.checkpoint.audit.result import Open, Proof, Run, Silence
from bulk_invite.checkpoint.audit.timeline import MOST_BUCKETS, width_of
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.axis import round_times, round_values
from bulk_invite.cli.report.charts import calls_chart, created_chart, throttled_chart
from bulk_invite.cli.report.html import element
from bulk_invite.cli.report.page import page
from bulk_invite.domain.events import Sent
from bulk_invite.domain.records import Failure, PacingState, Problem
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.rows import Position, Rejection, RowError
from bulk_invite.domain.verdicts import NEED_ATTENTION, State

HOSTILE = "<script>alert(1)</script>\"'&\u202e\n--><style>*{}</style>"
VOID = {"meta", "wbr"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    inner: list[Element | str] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        for each in self.inner:
            if isinstance(each, Element):
                if each.name == name:
                    yield each
                yield from each.all(name)

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inner)


class Reader(HTMLParser):
    """Builds the tree; a tag that is not closed in order is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        made = Element(tag, dict(attrs))
        self._open[-1].inner.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inner.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].inner.append(data)

    def tree(self, text: str) -> Element:
        self.feed(text)
        self.close()
        assert self._open == [self.root]
        return self.root


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "checkpoint.db"))


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


def proof_of(place: Place) -> Proof:
    with place.reader() as reader:
        return reader.proof(NOW + 90_000)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """Two runs over two days, of rows whose names and errors are attacks."""
    place = Place(str(tmp_path_factory.mktemp("hostile") / "check<b>point.db"))
    with writing(place) as writer:
        bad = Rejection(row(9, "x", HOSTILE), (RowError(f"$.{HOSTILE}", HOSTILE, "secret message"),))
        rows = [invitation(name, line=n, source=HOSTILE) for n, name in enumerate("abcd", 1)]
        writer.admit([*rows, bad], campaign=HOSTILE, retry_failed=False)
        writer.record([Sent("a", NOW), Sent("b", NOW + 1)])
        refused = answered("b", State.FAILED, "refused", NOW + 2, code=HOSTILE)
        writer.record([created("a"), refused])
        writer.record([Sent("c", NOW + 40_000)])
        writer.record([answered("c", State.PENDING, "throttled", NOW + 40_900, code=HOSTILE)])
        writer.save_pacing(PacingState(NOW, 2.5, parked="daily_quota", next_call=NOW + 90_000.0))
    with writing(place, at=NOW + 86_400) as writer:
        admit(writer, invitation("c", line=3, source=HOSTILE))
        writer.record([Sent("c", NOW + 86_402)])
    return proof_of(place)


def test_the_page_is_complete_and_needs_no_other_file(hostile: Proof) -> None:
    text = page(hostile)
    tree = Reader().tree(text)
    names = Counter(each.name for each in _everything(tree))
    assert not {"script", "link", "img", "iframe", "object", "form", "base", "image", "use"} & names.keys()
    attributes = {name for each in _everything(tree) for name in each.attributes}
    assert not {"src", "href", "style", "xlink:href", "action", "data"} & attributes
    assert not any(name.startswith("on") for name in attributes)
    assert re.findall(r"[a-z]+://[^\"' <]*", text) == ["http://www.w3.org/2000/svg"] * 3
    (style,) = tree.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    digest = b64encode(sha256(style.text.encode()).digest()).decode()
    policies = [each for each in tree.all("meta") if each.attributes.get("http-equiv")]
    assert [each.attributes["content"] for each in policies] == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_texts_of_rows_are_shown_as_text(hostile: Proof) -> None:
    text = page(hostile)
    tree = Reader().tree(text)
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\n", "\\n")
    heads = [each.text for each in tree.all("th")]
    assert shown in heads
    assert {shown, f"$.{shown}"} <= {each.text for each in tree.all("td")}
    assert "\u202e" not in text
    assert "secret message" not in text
    assert tree.text.count("check<b>point.db") >= 3
    assert shown in summary(hostile) or "check<b>point.db" in summary(hostile)


def test_the_page_is_accessible_to_screen_readers(hostile: Proof) -> None:
    tree = Reader().tree(page(hostile))
    (html,) = tree.all("html")
    assert html.attributes["lang"] == "en"
    assert [each.name for each in _everything(tree) if re.fullmatch("h[1-6]", each.name)].count("h1") == 1
    ids = [each.attributes["id"] for each in _everything(tree) if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for section in tree.all("section"):
        assert section.attributes["aria-labelledby"] in ids
    tables = list(tree.all("table"))
    assert len(tables) >= 8
    for table in tables:
        (caption,) = table.all("caption")
        assert caption.text
        assert {each.attributes["scope"] for each in table.all("th")} <= {"row", "col"}
        (head,) = table.all("thead")
        width = len(list(head.all("th")))
        (body,) = table.all("tbody")
        assert {len(each.inner) for each in body.all("tr")} == {width}
    for picture in tree.all("svg"):
        title, desc = next(picture.all("title")), next(picture.all("desc"))
        assert picture.attributes["role"] == "img"
        assert picture.attributes["aria-labelledby"] == f"{title.attributes['id']} {desc.attributes['id']}"
        assert title.text
        assert desc.text


def test_a_row_needs_attention_or_is_open_and_is_listed_there_only(place: Place) -> None:
    with writing(place) as writer:
        rejected = Rejection(row(9, "x"), (RowError("$.Catalog", "wrong_catalog", "message"),))
        rows = [invitation(name, line=n) for n, name in enumerate("abc", 1)]
        writer.admit([*rows, rejected], campaign="", retry_failed=False)
        writer.record([Sent("a", NOW), Sent("b", NOW)])
        full = answered("b", State.DEFERRED, "engagement_full", NOW, code="ServiceQuotaExceededException")
        writer.record([answered("a", State.FAILED, "refused", NOW, code="ConflictException"), full])
        writer.record([answered("c", State.DEFERRED, "set_aside", NOW, code="EngagementFull")])
    proof = proof_of(place)
    sections = {
        each.attributes["aria-labelledby"]: [
            [cell.text for cell in tr.inner if isinstance(cell, Element)]
            for tr in each.all("tr")
            if any(cell.name == "td" for cell in tr.inner if isinstance(cell, Element))
        ]
        for each in Reader().tree(page(proof)).all("section")
    }
    needing = [line[0] for line in sections["attention"] if len(line) == 5 and line[0] in set(State)]
    assert sorted(needing) == sorted(NEED_ATTENTION)
    remedy = remedy_of(State.DEFERRED, "EngagementFull")
    codes = "EngagementFull, ServiceQuotaExceededException"
    assert sections["open"] == [["deferred", codes, "2", remedy]]
    assert f"  2 deferred, {codes}: {remedy}\n" in summary(proof)


@pytest.mark.parametrize("width", [400, 1000, 1500])
def test_remedies_and_times_can_be_read_without_scrolling_to_the_side(
    hostile: Proof, browser: BrowserContext, width: int
) -> None:
    path = "$.Invitation.Payload.LeadInvitation.Customer.CountryCode"
    problem = Problem(State.FAILED, "ResourceNotFoundException", path, 2)
    failure = Failure(Position("rows.ndjson", 4711), State.FAILED, "ResourceNotFoundException", path, NOW)
    doubt = Open(State.IN_DOUBT, "ServerDisconnectedError", 3)
    tab = browser.new_page()
    tab.set_viewport_size({"width": width, "height": 900})
    tab.set_content(page(replace(hostile, problems=(problem,), failures=(failure,), open=(doubt,))))
    beyond = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert tab.locator(".box:has(table)").evaluate_all(beyond) == 0
    for remedy in tab.get_by_text(re.compile("^(The service does not know|It is unknown)")).all():
        box = remedy.bounding_box()
        assert box is not None
        assert box["width"] >= 220
        assert box["height"] <= 130
    tops = "times => times.every(time => time.getClientRects().length === 1)"
    assert tab.locator("td time").evaluate_all(tops)
    tab.close()


def test_open_rows_and_failed_checks_are_named_at_the_top(hostile: Proof, place: Place) -> None:
    (header,) = Reader().tree(page(hostile)).all("header")
    assert header.text.endswith(
        "1 of 5 invitations created; 2 need attention (1 failed, 1 rejected); "
        "2 still open (1 in doubt, 1 pending). All 13 audit checks pass."
    )
    with writing(place) as writer:
        admit(writer, invitation("a"))
        writer.record([Sent("a", NOW)])
        writer.record([created("a")])
    (header,) = Reader().tree(page(proof_of(place))).all("header")
    assert "1 of 1 invitations created; nothing needs attention. All" in header.text
    place.run("DELETE FROM log WHERE event = 'sent'")
    tree = Reader().tree(page(proof_of(place)))
    (header,) = tree.all("header")
    assert "4 of 13 audit checks fail: these figures are not proven." in header.text
    assert [each.text for each in tree.all("strong")].count("FAIL") == 4


def test_a_checkpoint_without_calls_has_a_page(place: Place) -> None:
    with writing(place):
        pass
    tree = Reader().tree(page(proof_of(place)))
    assert not list(tree.all("svg"))
    assert "No call has been made yet." in tree.text


def test_the_charts_show_the_log(place: Place) -> None:
    times = [0.0, 1.0, 1.5, 2.0, 700.0, 1300.0, 1300.5, 2399.0]
    with writing(place, at=NOW) as writer:
        admit(writer, *(invitation(f"t{n}", line=n + 1) for n in range(len(times))))
        for n, at in enumerate(times):
            writer.record([Sent(f"t{n}", NOW + at)])
            throttled = answered(f"t{n}", State.PENDING, "throttled", NOW + at, code="ThrottlingException")
            yes = answered(f"t{n}", State.CREATED, "created", NOW + at, invitation_id=f"engi-{n}")
            writer.record([throttled if n % 4 == 1 else yes])
    proof = proof_of(place)
    buckets = proof.course.over_time.buckets
    assert proof.course.over_time.width == 10.0
    assert [(each.at - NOW, each.calls, each.throttled, each.created) for each in buckets] == [
        (0.0, 4, 1, 3),
        (700.0, 1, 0, 1),
        (1300.0, 2, 1, 1),
        (2390.0, 1, 0, 1),
    ]
    title, picture = calls_chart(proof.course)
    assert title == "Calls per minute"
    paths = {
        each.attributes["class"]: each.attributes["d"] or "" for each in Reader().tree(picture).all("path")
    }
    assert paths["granted"].count("M") == 4
    assert paths["throttled"].count("M") == 2
    heights = _heights(paths["granted"])
    assert heights[0] == max(heights)
    assert heights[1] == pytest.approx(heights[0] / 4, abs=0.2)
    assert heights[2] == pytest.approx(heights[0] / 2, abs=0.2)
    assert "8 calls in total, 2 of them throttled (25.0%)" in picture
    _, picture = throttled_chart(proof.course)
    assert "at most 50 percent" in picture
    _, picture = created_chart(proof.course, 8)
    curve = next(each for each in Reader().tree(picture).all("path"))
    places = [float(y) for y in re.findall(r",([\d.]+)", curve.attributes["d"] or "")]
    assert places == sorted(places, reverse=True)
    assert (180.0 - places[-1]) / (180.0 - 14.0) == pytest.approx(6 / 8, abs=0.01)
    assert "6 invitations" in picture


def test_days_runs_and_pauses_are_shown(hostile: Proof) -> None:
    course = hostile.course
    days = [(each.calls, each.throttled, each.created) for each in course.days]
    assert days == [(3, 1, 1), (1, 0, 0)]
    assert course.runs == (
        Run(1, NOW, NOW + 40_900, 3),
        Run(2, NOW + 86_400, NOW + 86_402, 1),
    )
    # Nothing is known of the time between the runs.
    assert course.silences == (
        Silence(1, NOW + 1, NOW + 40_000),
        Silence(1, NOW + 40_000, NOW + 40_900),
    )
    page_text = Reader().tree(page(hostile)).text
    assert "no call for 11:06:39" in page_text
    assert "daily_quota" in page_text


def test_the_json_agrees_with_the_page(hostile: Proof) -> None:
    said = members(hostile)
    assert (said["rows"], said["created"], said["failed"], said["rejected"]) == (5, 1, 1, 1)
    assert (said["pending"], said["in_doubt"], said["attempts"], said["throttled"]) == (1, 1, 4, 1)
    assert (said["adds_up"], said["rows_open"], len(said["evidence"])) == (True, 2, 13)
    assert said["repeated"] == {"rows": 1, "calls": 1, "why": {"throttled": 1}}
    assert said["sources"][0]["source"] == HOSTILE
    assert said["last_event"] == "2027-01-16T08:00:02Z"
    assert said["silences"][0]["since"] == "2027-01-15T08:00:01Z"
    assert said["pacing"]["parked"] == "daily_quota"
    assert sum(each["calls"] for each in said["over_time"]["buckets"]) == 4
    assert {each["code"] for each in said["problems"]} == {HOSTILE, None}


def test_memory_does_not_grow_with_the_log(place: Place) -> None:
    import tracemalloc  # noqa: PLC0415 - here only

    with writing(place) as writer:
        admit(writer, invitation("a"))
    peaks = []
    for count in (1_000, 20_000):
        with closing(sqlite3.connect(place.name)) as file:
            file.execute(_MANY, (count,))
            file.commit()
        with place.reader() as reader:
            tracemalloc.start()
            proof = reader.proof(NOW)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert len(proof.course.over_time.buckets) <= MOST_BUCKETS
    assert proof.figures.calls == 21_000
    assert peaks[1] < peaks[0] + 1_000_000, peaks


_MANY = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO log (client_token, event, at, outcome, request_id)
    SELECT 'token-' || i % 50000, 'sent', 1800000000 + i * 7, '', '' FROM n
"""


@settings(max_examples=50)
@given(st.floats(0, 4e9), st.floats(0, 3e9))
def test_buckets_are_few_and_begin_at_multiples_of_their_width(first: float, span: float) -> None:
    width = width_of(first, first + span)
    assert (first + span) // width - first // width + 1 <= MOST_BUCKETS
    assert width == int(width)


@settings(max_examples=50)
@given(st.floats(1e-6, 1e9))
def test_an_axis_has_a_few_round_labels(highest: float) -> None:
    values = round_values(highest)
    assert values[0] == 0
    assert values[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(values) <= 6


@settings(max_examples=50)
@given(st.floats(1, 4e9), st.floats(1, 3e8))
def test_a_time_axis_has_a_few_labels_within_it(first: float, span: float) -> None:
    times = round_times(first, first + span)
    assert len(times) <= 9
    assert all(first <= at <= first + span for at, _ in times)


def test_markup_escapes_everything_but_itself() -> None:
    made = element("p", "a<b", element("b", "&", class_="x\"'>"), data_x=1.25)
    assert made == '<p data-x="1.2">a&lt;b<b class="x&quot;&#x27;&gt;">&amp;</b></p>'


def _heights(path: str) -> list[float]:
    return [float(low) - float(top) for low, top in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)H", path)]


def _everything(tree: Element) -> Iterator[Element]:
    for each in tree.inner:
        if isinstance(each, Element):
            yield each
            yield from _everything(each)
