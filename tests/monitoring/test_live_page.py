"""The live page in a real browser: what it shows of a run, and the controls on it."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import pytest
from browser import CONTRASTS, SPLIT_WORDS, Tab, chromium
from command import emulator, free_port, running, wait_until
from page_server import TOKEN, PageServer, iso, listens, page_server
from page_states import ALL_GOOD, ENDS, STANDBY, STATES
from playwright.sync_api import Page, expect
from rows import make_rows, messages, write_rows

from bulk_invite.domain.verdicts import NEED_ATTENTION, OPEN
from bulk_invite.monitoring.status import FailureStatus, Past, ProblemStatus, RunState

WHICH = "Sandbox · spring · 123456789012 · bulk-invite"
DASH = "\N{EN DASH}"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HOSTILE = '<img src=x onerror="document.title=1">\u202etxt.\u0007'


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with page_server() as running:
        yield running


@pytest.fixture(scope="module")
def the_tab(server: PageServer) -> Iterator[Tab]:
    with chromium() as context:
        tab = Tab(context.new_page())
        tab.open(server.url)
        yield tab


@pytest.fixture
def tab(the_tab: Tab, server: PageServer) -> Iterator[Tab]:
    """As if it was opened just now; all tests share it."""
    page = the_tab.page
    page.bring_to_front()
    server.begins()
    if page.locator("#look").is_visible():
        the_tab.open(server.url)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    page.locator("#token").fill("")
    says(page, "#state", "Sending")
    yield the_tab
    the_tab.check()


@pytest.fixture
def page(tab: Tab) -> Page:
    return tab.page


def says(page: Page, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_have_text(text)


# What it says


def test_every_state_is_written_out(page: Page, server: PageServer) -> None:
    for changes, headline, sentence, title in STATES:
        server.begins(**changes)
        says(page, "#state", headline)
        says(page, "#meaning", re.compile(f"^{sentence}$"))
        expect(page).to_have_title(f"{title} · {WHICH}")
        says(page, "#news", headline)


def test_every_end_is_written_out(page: Page, server: PageServer) -> None:
    for changes, headline, sentence in ENDS:
        server.begins(state=RunState.FINISHED, **changes)
        says(page, "#state", headline)
        says(page, "#meaning", sentence)
        expect(page.locator("#link")).to_contain_text("The run has ended. This is its final status")
        expect(page.locator("#pause")).to_be_disabled()
        server.begins()
        page.get_by_role("button", name="Check for a new run").click()
        says(page, "#link", "Live")


def test_rows_need_attention_by_the_same_rule_as_in_a_report(page: Page, server: PageServer) -> None:
    for state in (*NEED_ATTENTION, *OPEN):
        server.begins(state=RunState.FINISHED, **{**ALL_GOOD, state.value: 3, "exit_code": 1})
        words = "need attention" if state in NEED_ATTENTION else "are still open"
        says(page, "#state", f"Finished; 3 rows {words}")
        server.begins()
        page.get_by_role("button", name="Check for a new run").click()
        says(page, "#link", "Live")


def test_the_last_figures_stay_after_the_server_has_ended(tab: Tab, server: PageServer) -> None:
    tab.may_lose_the_connection()
    server.shows(state=RunState.FINISHED, exit_code=0, **ALL_GOOD)
    says(tab.page, "#state", "Finished: every row has its invitation")
    server.stop()
    look = tab.page.get_by_role("button", name="Check for a new run")
    with tab.page.expect_event("requestfailed", lambda request: request.url.endswith("api/events")):
        look.click()
    expect(tab.page.locator("#link")).to_contain_text("The run has ended. This is its final status")
    expect(tab.page.locator("#main")).not_to_have_class("old")
    server.start()
    server.begins()
    look.click()
    says(tab.page, "#link", "Live")


def test_the_figures_are_those_of_the_status(page: Page, server: PageServer) -> None:
    with urlopen(f"{server.url}api/status") as answer:
        status = json.load(answer)
    for state in ("created", "already_created", "duplicate", "in_flight", "pending", "deferred", "in_doubt"):
        says(page, f"#states li[data-state={state}] b", f"{status[state]:,}")
    for state in ("rejected", "failed"):
        says(page, f"#states li[data-state={state}] b", f"{status[state]:,}")
    says(page, "#states li[data-state=unread] b", f"{status['total'] - status['rows']:,}")
    is_open = ("pending", "in_flight", "in_doubt", "deferred")
    ended = status["rows"] - sum(status[state] for state in is_open)
    says(page, "#rows-sum", f"{ended:,} of {status['total']:,} done")
    says(page, "#percent", "60.8%")
    says(page, "#left", re.compile(r"^32 min left, done (at|on .*) \d\d:\d\d$"))
    says(page, "#states li[data-state=unread] small", "counted")
    server.shows(total_is_estimate=True)
    says(page, "#rows-sum", f"{ended:,} of ~{status['total']:,} done")
    says(page, "#states li[data-state=unread] small", "estimated")
    figures = dict(zip(_texts(page, "#figures dt"), _texts(page, "#figures dd"), strict=True))
    assert figures == {
        "Speed": "9.5rows/s",
        "In flight": "5of 64",
        "Allowed rate": "9.8calls/s, auto, at most 15.0",
        "Estimated quota": "≈ 10.1calls/s",
        "Throttled": "0.7%last minute; hour 0.8%",
        "Calls": "21,800152 throttled",
    }
    says(page, "#day", "30,345 of 100,000")
    says(page, "#day-left", "69,655 left.")
    run = dict(zip(_texts(page, "#run dt"), _texts(page, "#run dd"), strict=True))
    assert run["Sources"] == "rows.ndjson, more.ndjson.gz"
    assert (run["Account"], run["Endpoint"]) == ("123456789012", "http://127.0.0.1:8080")
    label = page.locator("#stack").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("60.8%: 30,418 of ~50,000 done; created 21,345, already created 9,000,")


def test_unknown_figures_are_left_out(page: Page, server: PageServer) -> None:
    nothing = dict.fromkeys(("total", "estimated_quota", "daily_quota", "day_remaining", "left_s"))
    server.shows(**nothing, throttled_share_minute=None, throttled_share_hour=None, account=None)
    says(page, "#rows-sum", "30,418 done of 32,000 read so far")
    says(page, "#percent", "30,418")
    says(page, "#left", "rows done")
    expect(page.locator("#states li[data-state=unread]")).to_be_hidden()
    expect(page.locator("#states li[data-state=already_created]")).to_be_visible()
    server.shows(command="serve")
    expect(page.locator("#states li[data-state=already_created]")).to_be_hidden()
    assert _texts(page, "#figures dd")[3:5] == [f"{DASH}not yet known", f"{DASH}last minute; hour {DASH}"]
    says(page, "#day-left", "No daily quota set.")
    expect(page.locator("#gauge")).to_be_hidden()


def test_a_standby_shows_the_rows_of_the_checkpoint_and_no_figures_of_its_own(
    page: Page, server: PageServer
) -> None:
    server.shows(**STANDBY)
    says(page, "#state", "Standing by")
    says(page, "#rows-title", "Rows of the checkpoint")
    says(page, "#states li[data-state=created] b", "21,345")
    shown = page.locator("#states li:visible").evaluate_all("all => all.map(each => each.dataset.state)")
    assert shown == ["created", "duplicate", "pending", "deferred", "in_doubt", "rejected", "failed"]
    says(page, "#percent", DASH)
    says(page, "#day", DASH)
    for selector in ("#left", "#rows-sum", "#day-left"):
        says(page, selector, "")
    figures = _texts(page, "#figures dd")
    assert [each[:1] for each in figures] == [DASH] * 6
    assert not re.search(r"[0-9]", "".join(figures).replace("of 64", ""))
    expect(page.locator("#unready")).to_be_hidden()


def test_the_live_catalog_and_parts_that_do_not_answer_are_highlighted(
    page: Page, server: PageServer
) -> None:
    says(page, "#catalog", "Catalog Sandbox")
    says(page, "#campaign", "Campaign spring")
    says(page, "#account", "Account 123456789012")
    color = "element => getComputedStyle(element).backgroundColor"
    sandbox = page.locator("#catalog").evaluate(color)
    expect(page.locator("#unready")).to_be_hidden()
    server.shows(catalog="AWS", ready=False, reasons={"endpoint": "calls do not arrive"})
    says(page, "#catalog", "LIVE catalog AWS")
    server.shows(campaign="", account=None)
    says(page, "#campaign", "No campaign")
    says(page, "#account", "")
    expect(page).to_have_title("60% Sending · AWS · bulk-invite")
    assert page.locator("#catalog").evaluate(color) != sandbox
    says(page, "#unready", "Not ready. endpoint: calls do not arrive")


def test_errors_are_shown_with_their_remedy_and_the_last_rows_with_their_location(
    page: Page, server: PageServer
) -> None:
    first = page.locator("#problems tbody tr").first.locator("td")
    expect(first).to_have_text(
        ["30", "failed", "ValidationException $.Invitation.Message", server.status.problems[0].mend]
    )
    rows = page.locator("#failures tbody tr")
    expect(rows.nth(0).locator("td").nth(1)).to_have_text("rows.ndjson, line 31998")
    expect(rows.nth(2).locator("td").nth(1)).to_have_text("rows.ndjson, key 47110815")
    many = [replace(server.status.problems[0], code=f"Code{number}") for number in range(500)]
    server.shows(problems=many)
    says(page, "#no-problems", "500 reasons; only the first 50 are listed.")
    expect(page.locator("#problems tbody tr")).to_have_count(6)
    page.get_by_role("button", name="Show the first 50").click()
    expect(page.locator("#problems tbody tr")).to_have_count(50)
    # A call in flight is in doubt in the checkpoint, without a code.
    server.shows(problems=[ProblemStatus("in_doubt", "", "$", 5, "Wait.")], failures=(), in_doubt=5)
    expect(page.locator("#problems tbody tr")).to_have_count(1)
    server.shows(in_doubt=0)
    says(page, "#no-problems", "None: no row is rejected, failed, deferred or in doubt.")
    says(page, "#no-failures", "None.")
    expect(page.locator("table:visible")).to_have_count(0)


def test_foreign_names_and_codes_are_shown_as_text_only(page: Page, server: PageServer) -> None:
    server.shows(
        sources=[HOSTILE],
        campaign=HOSTILE,
        reasons={HOSTILE: HOSTILE},
        ready=False,
        problems=[ProblemStatus(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE)],
        failures=[FailureStatus({"source": HOSTILE, "key": HOSTILE}, "failed", HOSTILE, HOSTILE, None)],
    )
    harmless = HOSTILE.replace("\u202e", r"\u{202e}").replace("\u0007", r"\u{7}")
    expect(page.locator("#failures tbody b").first).to_have_text(harmless)
    expect(page.locator("#run")).to_contain_text(harmless)
    expect(page.locator("#unready")).to_contain_text(harmless)
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title(f"60% Sending · Sandbox · {harmless} · 123456789012 · bulk-invite")
    expect(page.locator("#campaign")).to_have_text(f"Campaign {harmless}")


def test_the_chart_has_a_line_for_each_figure_and_can_be_read_point_by_point(
    page: Page,
) -> None:
    for name in ("rate", "calls", "throttled"):
        path = page.locator(f"#plot path.{name}:not(.area)")
        expect(path).to_have_attribute("d", re.compile(r"^M[^M]*$"))
        assert (path.get_attribute("d") or "").count("L") == 239
    # It begins where the quota was found.
    assert (page.locator("#plot path.estimated_quota").get_attribute("d") or "").count("L") == 198
    plot = page.get_by_role("slider")
    plot.focus()
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    says(
        page,
        "#readout",
        re.compile(r"^\d\d:\d\d:\d\d: allowed 1.0, made 1.0, quota unknown, throttled 0.5"),
    )
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuetext", page.locator("#readout").inner_text())
    plot.hover(position={"x": 600, "y": 100})
    expect(plot).to_have_attribute("aria-valuenow", re.compile("^(?!0$|1$|239$)"))
    expect(page.locator("#chart-summary")).to_contain_text("between 1.0 and 15.0 calls per second")
    page.get_by_text("Show as a table").click()
    expect(page.locator("#points tr")).to_have_count(20)


def test_without_a_history_the_chart_says_so(page: Page, server: PageServer) -> None:
    server.remembers(Past(1.0, []))
    server.shows(started=iso(-1))
    says(page, "#readout", "No data yet: it appears a few seconds after the first call.")
    expect(page.locator("#plot svg")).to_have_count(0)


# When there is no connection


def test_a_lost_connection_is_shown_at_once_and_reconnects(tab: Tab, server: PageServer) -> None:
    tab.may_lose_the_connection()
    page = tab.page
    says(page, "#link", "Live")
    page.locator("#token").fill(TOKEN)
    expect(page.locator("#pause")).to_be_enabled()
    server.stop()
    lost = r"^No connection since \d\d:\d\d:\d\d: this data is out of date\. Retrying …$"
    says(page, "#link", re.compile(lost))
    expect(page.locator("#main")).to_have_class("old")
    expect(page).to_have_title(f"No connection; last: 60% Sending · {WHICH}")
    says(page, "#state", "Sending")
    expect(page.locator("#pause")).to_be_disabled()
    # Another run at the same address.
    server.shows(created=0, rows=10_655, started=iso())
    server.start()
    says(page, "#link", "Live")
    says(page, "#states li[data-state=created] b", "0")
    expect(page.locator("#main")).not_to_have_class("old")
    expect(page.locator("#pause")).to_be_enabled()


def test_a_silent_connection_counts_as_lost(page: Page, server: PageServer) -> None:
    other = page.context.new_page()
    other.clock.install()
    other.goto(server.url)
    says(other, "#link", "Live")
    server.falls_silent()
    other.clock.fast_forward(7_000)
    expect(other.locator("#link")).to_contain_text("No connection since")
    server.falls_silent(silent=False)
    other.clock.fast_forward(1_000)
    says(other, "#link", "Live")
    other.close()


def test_an_answer_that_is_no_event_stream_is_requested_again(tab: Tab, server: PageServer) -> None:
    # A proxy in between: the browser's own EventSource gives up forever after such an answer.
    tab.expected.append("503")
    tab.page.route("**/api/events", lambda route: route.fulfill(status=503, body="no"))
    tab.open(server.url)
    says(tab.page, "#link", "Cannot reach the run: retrying …")
    tab.page.unroute("**/api/events")
    says(tab.page, "#link", "Live")


# What can be done from it


def test_pause_and_resume_by_the_keyboard_alone(tab: Tab, server: PageServer) -> None:
    page = tab.page
    tab.open(server.url)
    says(page, "#link", "Live")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#token")).to_be_focused()
    expect(page.locator("#pause")).to_be_disabled()
    says(page, "#hint", "Enter the control token to use the controls.")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Tab")
    expect(page.locator("#pause")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    says(page, "#said", "Paused: no new calls until you resume.")
    says(page, "#state", "Paused by an operator: no new calls")
    assert server.state == "paused"
    says(page, "#pause:focus", "Resume")
    page.keyboard.press("Enter")
    says(page, "#said", "Resumed: sending continues.")
    assert server.state == "sending"


def test_rate_and_rows_in_flight_are_set_and_mistakes_reported(tab: Tab, server: PageServer) -> None:
    page = tab.page
    tab.expected.append("400 (Bad Request)")
    page.locator("#token").fill(f" {TOKEN}\n")
    rate, flight = page.locator("#rate"), page.locator("#flight")
    says(page, "#rate-note", "Currently automatic, at most 15.0.")
    rate.fill("fast")
    rate.press("Enter")
    says(page, "#refused", "Enter calls per second, such as 5 or 0.5.")
    expect(rate).to_have_attribute("aria-invalid", "true")
    rate.fill("1000")
    rate.press("Enter")
    says(page, "#refused", "The rate is at most 15 calls per second.")
    rate.fill("2,5")
    rate.press("Enter")
    says(page, "#said", "Changed: at most 2.5 calls per second.")
    says(page, "#refused", "")
    says(page, "#rate-note", "Currently 2.5, never exceeded.")
    page.get_by_role("button", name="Automatic").click()
    says(page, "#said", "Changed: the rate is found automatically.")
    expect(flight).to_have_value("64")
    flight.fill("0")
    flight.press("Enter")
    says(page, "#refused", "Enter a whole number of rows, at least 1.")
    flight.fill("16")
    flight.press("Enter")
    says(page, "#said", "Changed: at most 16 rows in flight.")
    assert (server.status.rate_setting, server.status.max_in_flight) == ("auto", 16)


def test_a_drain_asks_for_confirmation(page: Page, server: PageServer) -> None:
    page.locator("#token").fill(TOKEN)
    drain = page.locator("#drain")
    drain.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("run the same command to continue")
    expect(page.get_by_role("button", name="Keep running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(drain).to_be_focused()
    assert server.state == "sending"
    drain.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    says(page, "#state", "Draining: no new calls")
    says(page, "#hint", "The run is draining and will stop.")
    expect(drain).to_be_disabled()
    assert server.state == "draining"


def test_a_wrong_token_changes_nothing_and_the_right_one_is_kept_for_the_tab(
    tab: Tab, server: PageServer
) -> None:
    page = tab.page
    tab.expected.append("401 (Unauthorized)")
    token = page.locator("#token")
    token.fill("not the token, surely")
    page.locator("#pause").click()
    says(page, "#refused", re.compile("^This is not the control token of the run."))
    expect(token).to_be_focused()
    token.fill("ключ")
    page.locator("#pause").click()
    says(page, "#refused", "A control token contains only ASCII characters.")
    assert server.state == "sending"
    token.fill(TOKEN)
    page.reload()
    expect(token).to_have_value(TOKEN)
    page.locator("#pause").click()
    says(page, "#pause", "Resume")
    kept = "[localStorage.length, document.cookie, location.href.includes('token')]"
    assert page.evaluate(kept) == [0, "", False]


def test_a_change_without_an_answer_is_shown_as_unknown(tab: Tab) -> None:
    page = tab.page
    tab.expected.append("net::ERR_FAILED")
    page.route("**/api/pause", lambda route: route.abort())
    page.locator("#token").fill(TOKEN)
    page.locator("#pause").click()
    says(page, "#refused", "No answer: check above whether the change was made, then try again.")
    page.unroute("**/api/pause")


def test_a_run_without_a_token_says_how_to_get_controls(page: Page, server: PageServer) -> None:
    server.shows(controllable=False)
    expect(page.locator("#uncontrollable")).to_contain_text("--control-token-file FILE")
    expect(page.locator("#controls input:visible, #controls button:visible")).to_have_count(0)


# How it looks


def test_a_small_phone_needs_no_horizontal_scrolling(page: Page, server: PageServer) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    long = "namewithoutanyplacetobreak" * 9
    server.shows(
        sources=[long],
        checkpoint=long,
        problems=[ProblemStatus("failed", long, long, 12_345_678, long)],
        failures=[FailureStatus({"source": long, "line": 123_456_789}, "in_doubt", long, long, iso(-1e6))],
    )
    says(page, "#state", "Sending")
    page.locator("#token").fill(TOKEN)
    page.get_by_text("Show as a table").click()
    for state in (RunState.SENDING, RunState.PAUSED, RunState.DRAINING):
        server.shows(state=state, catalog="AWS", ready=False, reasons={"endpoint": long})
        expect(page.locator("#hero")).to_have_attribute("data-tone", re.compile("active|hold"))
        assert page.evaluate(WIDER) == 0


@pytest.mark.parametrize("width", [360, 640, 740, 768, 1000, 1200, 1400, 1900])
def test_names_break_between_words_and_states_fill_their_lines(
    page: Page, server: PageServer, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    code, path = "ServiceQuotaExceededException", "$.Invitation.Payload.LeadInvitation.Customer.CountryCode"
    mend = "Use a value that the service knows (`bulk-invite schema` lists them)."
    source = "postgresql:crm/public.invitations_of_spring/invitation_id"
    server.shows(
        problems=[ProblemStatus("failed", code, path, 1, mend)],
        failures=[FailureStatus({"source": source, "key": "12345"}, "failed", code, path, iso(-1e6))],
    )
    expect(page.locator("#problems tbody b")).to_have_text([code])
    expect(page.locator("#failures tbody b")).to_have_text([code])
    expect(page.locator("#problems tbody td").last).to_have_text(mend.replace("`", ""))
    expect(page.locator("#problems tbody td").last.locator("code")).to_have_text("bulk-invite schema")
    page.get_by_text("Show as a table").click()
    split = page.locator("main").evaluate_all(SPLIT_WORDS)
    page.get_by_text("Show as a table").click()
    assert split == []
    assert page.evaluate(WIDER) == 0
    assert "`" not in page.locator("body").inner_text()
    tops = "items => items.map(item => item.getBoundingClientRect().top)"
    lines = Counter(page.locator("#states li:visible").evaluate_all(tops)).values()
    assert set(lines) in ({10}, {5}, {2})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(
    page: Page, server: PageServer, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    tones: dict[str, dict[str, Any]] = {
        "active": {"state": RunState.SENDING, "ready": False, "reasons": {"endpoint": "no"}},
        "wait": {"state": RunState.WAITING},
        "calm": {"state": RunState.IDLE, "catalog": "AWS"},
        "hold": {"state": RunState.PAUSED},
        "bad": {"state": RunState.FINISHED, "exit_code": 1},
    }
    page.locator("#token").fill(TOKEN)
    expect(page.locator("#plot text").first).to_be_visible()
    found = 0
    for tone, changes in tones.items():
        server.shows(**changes)
        expect(page.locator("#hero")).to_have_attribute("data-tone", tone)
        contrasts = page.evaluate(CONTRASTS)
        found += len(contrasts)
        assert [each for each in contrasts if each[1] < 4.5] == []
    assert found > 500


def test_nothing_moves_if_the_browser_prefers_reduced_motion(page: Page) -> None:
    moves = "getComputedStyle(document.querySelector('#stack > div')).transitionDuration"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moves) == "0.4s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moves) == "0s"


# A whole run


def test_the_page_follows_a_real_run_through_a_kill_to_its_end(tab: Tab, tmp_path: Path) -> None:
    tab.may_lose_the_connection()
    page, port, rows = tab.page, free_port(), make_rows(100)
    write_rows(tmp_path / "rows.ndjson", rows)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    with emulator(rate=1000.0, burst=1000) as service:
        command = ("send", "rows.ndjson", "--endpoint-url", service.url, "--rate", "3", "--json")
        control = ("--listen", f"127.0.0.1:{port}", "--control-token-file", "token")
        with running(*command, *control, cwd=tmp_path) as first:
            wait_until(lambda: listens(port))
            tab.open(f"http://127.0.0.1:{port}/")
            page.locator("#token").fill(TOKEN)
            wait_until(service.invitations)
            page.locator("#pause").click()
            says(page, "#said", "Paused: no new calls until you resume.")
            says(page, "#state", "Paused by an operator: no new calls")
            says(page, "#states li[data-state=in_flight] b", "0")
            _agrees_with_the_api(page, port)
            invited = len(service.invitations())
            says(page, "#states li[data-state=created] b", str(invited))
            expect(page.locator("#heard")).not_to_have_text(page.locator("#heard").inner_text())
            assert len(service.invitations()) == invited
            page.locator("#pause").click()
            says(page, "#state", "Sending")
            wait_until(lambda: len(service.invitations()) > invited)
            page.reload()
            says(page, "#link", "Live")
            first.signal(signal.SIGKILL)
            expect(page.locator("#link")).to_contain_text("No connection since")
        with running(*command, *control, cwd=tmp_path) as second:
            says(page, "#link", "Live")
            expect(page.locator("#states li[data-state=already_created] b")).not_to_have_text("0")
            page.locator("#rate").fill("500")
            page.locator("#rate").press("Enter")
            says(page, "#state", "Finished: every row has its invitation")
            expect(page.locator("#link")).to_contain_text("The run has ended")
            assert second.ended().code == 0
        assert service.messages() == Counter(messages(rows))


def _agrees_with_the_api(page: Page, port: int) -> None:
    def status() -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{port}/api/status") as answer:
            return dict(json.load(answer))

    def shown_figures() -> dict[str, str]:
        shown = page.locator("#states li").all()
        return {each.get_attribute("data-state") or "": each.locator("b").inner_text() for each in shown}

    # The last call before a pause may still be under way; the page hears of its end a moment later.
    wait_until(
        lambda: (
            (now := status())["in_flight"] == 0 and shown_figures().get("pending") == f"{now['pending']:,}"
        )
    )
    settled, shown = status(), shown_figures()
    assert shown == {state: f"{settled.get(state, 0):,}" for state in shown}
    assert _texts(page, "#figures dd")[5] == f"{settled['attempts']}{settled['throttled']} throttled"
    says(page, "#day", f"{settled['sent_last_day']} of 10,000")
    says(page, "#rate-note", "Currently 3.0, never exceeded.")
    expect(page.locator("#run")).to_contain_text("111122223333")


def _texts(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_text_contents()
