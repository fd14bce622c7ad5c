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
from browser import CONTRASTS, SPLIT_WORDS, chromium
from checkpoints import NOW, Place, admit, answered, created, writing
from fakes import invitation, row
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext

from bulk_invite.checkpoint.audit.result import MOST_LISTED, Group, Open, Proof, Run, Silence
from bulk_invite.checkpoint.audit.timeline import MOST_BUCKETS, width_of
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.axis import round_times, round_values
from bulk_invite.cli.report.charts import calls_chart, created_chart, throttled_chart
from bulk_invite.cli.report.html import element
from bulk_invite.cli.report.page import page
from bulk_invite.domain.events import Sent
from bulk_invite.domain.records import NamedRow, PacingState, Problem
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.rows import Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State

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
    assert {shown, f"$.{shown}"} <= {each.text for each in tree.all("code")}
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
    pictures = [each for each in tree.all("svg") if "role" in each.attributes]
    assert len(pictures) == 3
    for picture in pictures:
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
            [part.text for part in cause.inner if isinstance(part, Element)] for cause in each.all("li")
        ]
        for each in Reader().tree(page(proof)).all("section")
    }
    rest = ["receivers", "results", "time", "background", "runs", "audit"]
    assert list(sections) == ["attention", "open", *rest]
    wrong, conflict, later = (
        remedy_of(state, code)
        for state, code in (
            (State.REJECTED, "wrong_catalog"),
            (State.FAILED, "ConflictException"),
            (State.DEFERRED, "EngagementFull"),
        )
    )
    assert sections["attention"] == [
        ["1 row failed: ConflictException", conflict, "rows, line 1"],
        ["1 row rejected: wrong_catalog at $.Catalog", wrong, "rows, line 9"],
    ]
    codes = "EngagementFull, ServiceQuotaExceededException"
    assert sections["open"] == [[f"2 rows deferred: {codes}", later, "rows, lines 2, 3"]]
    text = summary(proof)
    assert f"  2 deferred, {codes}: {later}\n    rows, lines 2, 3\n" in text
    heads = ("Needs attention:", "wrong_catalog", "Still open:", "Checkpoint:", "Audit checks:")
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)


def test_the_rows_of_a_cause_are_listed_by_position_with_their_labels(place: Place) -> None:
    with writing(place) as writer:
        two = (RowError("$.a", "missing", ""), RowError("$.b", "too_long", ""))
        rows = [Rejection(row(n, "x", "b.ndjson"), two[:1]) for n in (*range(1, 60), 70, 71)]
        both = Rejection(Row(Position("table/id", key="k1"), b"x"), two)
        admit(writer, *rows, Rejection(row(7, "x", "a.ndjson"), two), both)
    place.run("UPDATE unsent_rows SET label = 'Example Ltd' WHERE source = 'a.ndjson' OR line = 3")
    proof = proof_of(place)
    text = Reader().tree(page(proof)).text
    assert "63 rows rejected: missing at $.a" in text
    assert "a.ndjson, line 7 (Example Ltd)b.ndjson, lines 1, 2, 3 (Example Ltd), 4-49and 13 more: " in text
    assert "2 rows rejected: too_long at $.b" in text
    assert "a.ndjson, line 7 (Example Ltd)table/id, key k1" in text
    assert text.count("A row with several errors is listed under each of them.") == 1
    assert "    b.ndjson, lines 1, 2, 3 (Example Ltd), 4-19\n    and 43 more: bulk-invite export" in summary(
        proof
    )
    command = "bulk-invite export --state rejected --checkpoint 'my live.db'"
    named = replace(proof, checkpoint="my live.db")
    assert f"43 more: {command}\n" in summary(named)
    assert f"13 more: {command} lists them all." in Reader().tree(page(named)).text
    (said, _) = members(proof)["problems"]
    assert (said["rows"], len(said["first_rows"])) == (63, MOST_LISTED)
    assert said["first_rows"][0] == {"position": {"source": "a.ndjson", "line": 7}, "label": "Example Ltd"}


def test_a_refused_row_that_is_rejected_since_its_edit_is_one_of_the_latest_once(
    place: Place,
) -> None:
    with writing(place) as writer:
        admit(writer, invitation("a", line=5))
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.FAILED, "refused", NOW, code="ValidationException")])
    with writing(place, at=NOW + 60) as writer:
        admit(writer, Rejection(row(5, "x"), (RowError("$.a", "missing", ""),)))
    (latest,) = proof_of(place).failures
    assert (latest.position, latest.state) == (Position("rows", 5), State.REJECTED)


@pytest.mark.parametrize("width", [390, 768, 1200, "print"])
def test_a_page_fits_a_phone_a_tablet_a_screen_and_paper(
    hostile: Proof, browser: BrowserContext, width: int | str
) -> None:
    path = "$.Invitation.Payload.LeadInvitation.Customer.CountryCode"
    reason = (State.FAILED, "ResourceNotFoundException", path)
    source = "/exports/2026/spring-campaign/partners_of_all_regions_with_a_long_name.ndjson"
    rows = tuple(NamedRow(Position(source, 4711 + 2 * n), "Example Partner Ltd") for n in range(MOST_LISTED))
    group = Group(source, dict.fromkeys(State, 1234567))
    tab = browser.new_page()
    tab.set_viewport_size({"width": _PAPER if width == "print" else int(width), "height": 900})
    tab.emulate_media(media="print" if width == "print" else "screen", color_scheme="dark")
    shown = replace(
        hostile,
        problems=(Problem(*reason, 90),),
        first_rows={reason: rows},
        open=(Open(State.IN_DOUBT, "ServerDisconnectedError", 3),),
        sources=(group,),
    )
    tab.set_content(page(shown))
    wide = "() => document.documentElement.scrollWidth"
    assert tab.evaluate(wide) <= tab.evaluate("() => innerWidth")
    beyond = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert tab.locator(".box:has(table)").evaluate_all(beyond) == 0
    for remedy in tab.get_by_text(re.compile("^(The service does not know|It is unknown)")).all():
        box = remedy.bounding_box()
        assert box is not None
        assert box["width"] >= 220
        assert box["height"] <= 130
    assert tab.locator(".causes h3, .rows, caption, dt").evaluate_all(SPLIT_WORDS) == []
    tops = "times => times.every(time => time.getClientRects().length === 1)"
    assert tab.locator("td time").evaluate_all(tops)
    assert tab.locator("svg[role=img]").evaluate_all(_CHART_FAULTS) == []
    ink = tab.locator("body").evaluate("body => getComputedStyle(body).color")
    assert ink == ("rgb(28, 35, 41)" if width == "print" else "rgb(228, 232, 236)")
    faint = [each for each in tab.evaluate(CONTRASTS) if each[1] < 4.5]
    assert width == "print" or faint == []
    tab.close()


_PAPER = 688
"""Pixels between the margins of A4."""

_CHART_FAULTS = """charts => charts.flatMap(chart => {
  const texts = [...chart.querySelectorAll("text")].map(text => [text, text.getBoundingClientRect()])
    .filter(([, box]) => box.width);
  const outside = texts.filter(([, box]) => box.left < 0 || box.right > innerWidth);
  const over = texts.filter(([, a], at) => texts.slice(at + 1).some(([, b]) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
  const small = texts.filter(([text, box]) => !text.hasAttribute("transform") && box.height < 11);
  return [...outside, ...over, ...small].map(([text]) => text.textContent);
})"""
"""Texts of charts beyond the page, over each other, or too small to be read."""


def test_open_rows_and_failed_checks_are_named_at_the_top(hostile: Proof, place: Place) -> None:
    kind, said = _said(hostile)
    assert kind == "verdict open"
    assert said == (
        "Needs attention 1 of 5 invitations created; 2 need attention (1 failed, 1 rejected); "
        "2 still open (1 in doubt, 1 pending). All 14 audit checks pass."
    )
    with writing(place):
        pass
    kind, said = _said(proof_of(place))
    assert (kind, said[:17]) == ("verdict open", "Nothing to report")
    with writing(place) as writer:
        admit(writer, invitation("a"))
        assert _said(proof_of(place))[1].startswith("Still sending 0 of 1 invitations created; 1 still open")
    assert _said(proof_of(place))[1].startswith("Not finished 0 of 1 invitations created; 1 still open")
    with writing(place) as writer:
        writer.record([Sent("a", NOW)])
        writer.record([answered("a", State.FAILED, "refused", NOW, code="ValidationException")])
    kind, said = _said(proof_of(place))
    assert (kind, said[:13]) == ("verdict bad", "No invitation")
    with writing(place) as writer:
        admit(writer, invitation("a"), retry_failed=True)
        writer.record([Sent("a", NOW)])
        writer.record([created("a")])
    assert _said(proof_of(place)) == (
        "verdict good",
        "Complete 1 of 1 invitations created; nothing needs attention. All 14 audit checks pass.",
    )
    place.run("DELETE FROM log WHERE event = 'sent'")
    kind, said = _said(proof_of(place))
    assert kind == "verdict bad"
    assert said.startswith("Not proven 4 of 14 audit checks fail: these figures are not proven. 1 of 1")
    tree = Reader().tree(page(proof_of(place)))
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
    assert (said["adds_up"], said["rows_open"], len(said["evidence"])) == (True, 2, 14)
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


def _said(proof: Proof) -> tuple[str, str]:
    """The class and the text of a page's verdict."""
    (header,) = Reader().tree(page(proof)).all("header")
    verdict = next(header.all("p"))
    return verdict.attributes["class"] or "", verdict.text


def _heights(path: str) -> list[float]:
    return [float(low) - float(top) for low, top in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)H", path)]


def _everything(tree: Element) -> Iterator[Element]:
    for each in tree.inner:
        if isinstance(each, Element):
            yield each
            yield from _everything(each)
