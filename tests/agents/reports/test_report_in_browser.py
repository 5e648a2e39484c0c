"""The page in a real browser: it draws, themes, prints, fits a phone, and complains of nothing."""

from __future__ import annotations

import pytest

from agents.reports.training.lineage import Lineage
from agents.views.report_page.page import render_report

HOSTILE = "</script><img src=x onerror='window.hit=1'><a href=javascript:window.hit=1>a</a>"
DONE = "document.documentElement.dataset.state === 'done'"
DRAWN = "document.querySelectorAll('.plot:has(.main-svg)').length"
PLOTS = "document.querySelectorAll('.plot').length"


@pytest.fixture(scope="module")
def pages(tmp_path_factory, made):
    """A page a kind; hostile: a leaked one whose names are markup."""
    folder = tmp_path_factory.mktemp("pages")

    def render(kind):
        found = made(kind if kind != "hostile" else "leaked")
        # Two of four: what is drawn for the others is the same.
        families = {name: found.families[name] for name in ("xgboost", "neural_net")}
        found = found.model_copy(update={"families": families})
        if kind == "hostile":
            table = found.table.model_copy(
                update={
                    "feature_names": (HOSTILE, *found.table.feature_names[1:]),
                    "target_name": HOSTILE,
                }
            )
            signal = found.signal.model_copy(update={"exclude_features": (HOSTILE,)})
            found = found.model_copy(update={"table": table, "signal": signal})
        path = folder / f"{kind}.html"
        path.write_text(render_report(found, Lineage("the ledger is gone"), "x.json"))
        return path.as_uri()

    return render


def test_page_on_a_phone_draws_all_that_is_open_and_does_not_scroll_sideways(browser, pages):
    browser.open(pages("strong"), width=360, height=780)
    browser.until(DONE)
    assert browser.complaints == []
    assert browser.value("document.documentElement.scrollWidth") == 360
    drawn = browser.value(DRAWN)
    assert 8 < drawn < browser.value(PLOTS), "charts in closed sections wait"
    # No table is cut off: what is wider than the page scrolls in its own box.
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.closest('.wide'))")
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.until(f"{DRAWN} === {PLOTS}")
    assert browser.value("document.documentElement.scrollWidth") == 360
    assert browser.complaints == []


def test_charts_follow_the_screen_from_light_to_dark_and_print_light(browser, pages):
    ink = "getComputedStyle(document.querySelector('#scores .ytick text')).fill"
    browser.open(pages("leaked"), scheme="light")
    browser.until(DONE)
    light = browser.value(ink)
    browser.scheme("dark")
    browser.until(f"{ink} !== '{light}'")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(19, 23, 28)"

    closed = "document.querySelectorAll('details:not([open])').length"
    before = browser.value(closed)
    browser.value(
        f"addEventListener('beforeprint', () => {{ window.printed = [{DRAWN}, {closed}, {ink}]; }})"
    )
    browser.call("Page.printToPDF", printBackground=True)
    drawn, still_closed, printed_ink = browser.value("window.printed")
    assert (drawn, still_closed) == (browser.value(PLOTS), 0)
    assert printed_ink == light
    assert browser.value(closed) == before, "the screen is as it was"
    browser.until(f"{ink} !== '{light}'")
    assert browser.complaints == []


def test_hostile_names_do_nothing_in_a_browser_and_the_command_can_be_copied(browser, pages):
    browser.open(pages("hostile"))
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.until(f"{DRAWN} === {PLOTS}")
    assert browser.value("window.hit") is None
    assert browser.value("document.images.length") == 0
    assert browser.value("document.querySelectorAll('.plot a, .plot [onerror]').length") == 0
    shown = browser.value("document.querySelector('#f0-importances .ytick text').textContent")
    assert browser.value("document.querySelector('#f0-importances').textContent").count("</scr")
    assert shown
    browser.value("document.querySelector('.copy').click()")
    browser.until("document.querySelector('.copy').textContent !== 'Copy'")
    assert browser.complaints == []
