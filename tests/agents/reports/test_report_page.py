"""The page of a run: one file, nothing fetched, hostile names harmless, nothing left blank."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import plotly.graph_objects as go
import pytest

from agents.reports.explain import MadeFile
from agents.reports.training.lineage import Lineage
from agents.views.report_page.charts.search import history_chart
from agents.views.report_page.index_page import IndexRow, render_index
from agents.views.report_page.page import render_report
from agents.views.report_page.palette import DARK
from agents.views.report_page.rows import failure_rows
from gpu.protocol.observations import Importance
from steps.contract import Note
from steps.contract.diagnostics import FamilyDiagnostics

HOSTILE = "</script><img src=x onerror=alert(1)>{{7*7}}<!--\"'`&amp;"
UNKNOWN = Lineage("there is no ledger in this workspace")
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def text(self) -> str:
        hidden = {"script", "style", "title"}
        return " ".join(" ".join(t for where, t in self.texts if where not in hidden).split())

    @property
    def charts(self) -> dict:
        found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', self.html)
        return json.loads(found[1])["charts"]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(made):
    pages = {}

    def render(kind="strong", lineage=UNKNOWN, **changes):
        if changes or lineage is not UNKNOWN:
            return Page(render_report(made(kind, **changes), lineage, "x.json"))
        if kind not in pages:
            pages[kind] = Page(render_report(made(kind), lineage, "x.json"))
        return pages[kind]

    return render


def strings(value):
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from strings(item)
        case list():
            for item in value:
                yield from strings(item)


@pytest.mark.parametrize("kind", ["strong", "none", "leaked"])
def test_first_words_of_the_page_are_the_verdict(page, made, kind):
    title = {
        "strong": "Strong signal: catboost is ahead, R2\xa00.84 (0.83 to 0.85) on rows it never "
        "saw",
        "none": "No signal: nothing here predicts draw",
        "leaked": "Leaked: feature price_in_cents gives price away",
    }[kind]
    shown = [t for where, t in page(kind).texts if where not in {"style", "script", "title"}]
    assert shown[0] == title


def test_who_is_ahead_comes_first_only_where_there_is_a_signal(page, made):
    pairs = made("strong").comparisons
    for kind, first in (("strong", True), ("none", False), ("leaked", False)):
        text = page(kind, comparisons=pairs).text
        is_first = text.index("are tied") < text.index("Families side by side")
        assert is_first is first, kind


def test_leaked_page_offers_the_features_to_exclude_and_a_command_to_copy(page):
    text = page("leaked").text
    assert '"exclude_features": ["price_in_cents"]' in text
    assert "watcher --run-pipeline --start-step 5 --end-step 5 --params" in text
    assert {"type": "button", "class": "copy"} in page("leaked").all("button")


def test_page_is_one_file_under_6_mb_that_asks_for_nothing(page):
    found = page("strong")
    assert len(found.html.encode()) < 6_000_000
    leading_out = [
        value
        for _, attributes in found.elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "data", "action", "formaction", "poster", "background"}
    ]
    assert leading_out
    assert all(value.startswith("#") for value in leading_out)
    assert not found.all("link")
    style = "".join(text for where, text in found.texts if where == "style")
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [m["content"] for m in found.all("meta") if "http-equiv" in m]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]


def test_every_chart_is_one_that_plotly_knows(page):
    charts = page("strong").charts
    assert len(charts) == len(page("strong").all("figure")) > 35
    for chart in charts.values():
        go.Figure(chart)  # raises for a property or value that there is not


def test_every_colour_of_a_chart_has_a_dark_form(page):
    found = {s for s in strings(page("strong").charts) if re.fullmatch("#[0-9a-fA-F]{3,8}", s)}
    assert len(found) > 8
    assert found <= set(DARK)
    assert not set(DARK) & set(DARK.values()), "a colour swapped twice would be lost"


def test_every_chart_says_its_number_to_those_who_do_not_see_it(page):
    plots = [d for d in page("strong").all("div") if d.get("class") == "plot"]
    assert len(plots) == len(page("strong").charts)
    for plot in plots:
        assert plot["role"] == "img"
        assert re.search(r"\d", plot["aria-label"]), plot["aria-label"]


def test_headings_open_one_level_at_a_time_and_ids_are_unique(page):
    found = page("strong")
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in found.all("a")}
    assert targets <= set(ids)


def hostile_diagnostics(made):
    base = made("strong")
    features = (HOSTILE, *base.table.feature_names[1:])
    xgboost = base.families["xgboost"]
    finding = xgboost.findings[0].model_copy(
        update={"message": HOSTILE, "meaning": HOSTILE, "remedy": HOSTILE, "change": {HOSTILE: 1}}
    )
    trials = tuple(
        t.model_copy(update={"params": {**t.params, HOSTILE: f"{HOSTILE}{t.position % 3}"}})
        for t in xgboost.trials
    )
    family = xgboost.model_copy(
        update={
            "findings": (finding,),
            "absent": (HOSTILE,),
            "params": {HOSTILE: HOSTILE},
            "trials": trials,
            "parameter_importance": {HOSTILE: 1.0},
            "devices": (HOSTILE,),
        }
    )
    return base.model_copy(
        update={
            "run_id": HOSTILE,
            "headline": HOSTILE,
            "winner": HOSTILE,
            "families": {**base.families, HOSTILE: family},
            "signal": base.signal.model_copy(update={"reasons": (HOSTILE,)}),
            "table": base.table.model_copy(
                update={"feature_names": features, "target_name": HOSTILE, "path": HOSTILE}
            ),
            "notes": (Note(level="warning", code=HOSTILE, message=HOSTILE),),
        }
    )


def test_hostile_names_and_messages_stay_text(made):
    lineage = Lineage(
        origins={"trials": HOSTILE},
        inputs=(MadeFile("survivors", HOSTILE, "0" * 64, HOSTILE, 3, 1),),
    )
    found = Page(render_report(hostile_diagnostics(made), lineage, HOSTILE))
    assert found.all("img") == []
    assert len(found.all("script")) == 3
    handlers = [n for _, attributes in found.elements for n in attributes if n.startswith("on")]
    assert handlers == []
    assert HOSTILE in found.text
    assert "49" not in found.text.split("Notes")[1].split("The run")[0]
    # In plotly's own markup, too, they are text.
    said = list(strings(found.charts))
    assert any("&lt;img src=x" in s for s in said)
    assert not any("<img" in s or "</script" in s for s in said)
    # In the page's script elements nothing ends the data early.
    data = found.html.split('id="charts">')[1].split("</script>")[0]
    assert "<" not in data


def test_hostile_runs_stay_text_in_the_index():
    row = IndexRow(HOSTILE, "history/%3Cx%3E.html", table=HOSTILE, winner=HOSTILE, rows=3)
    found = Page(render_index(HOSTILE, [row, IndexRow("r", "", problem=HOSTILE)]))
    assert found.all("img") == []
    assert found.all("script") == []
    assert HOSTILE in found.text


def test_absent_parts_are_said_and_not_left_blank(page):
    bare = FamilyDiagnostics(
        severity="warning", findings=(), status="complete", absent=("the worker was killed",)
    )
    text = page(families={"neural_net": bare}, table=None, run=None).text
    for said in (
        "Not known of this family the worker was killed",
        "no training curves were recorded",
        "how the folds differ",
        "neither importances nor attributions were recorded",
        "no predictions were kept",
        "the network was not watched",
        "its parameters",
        "its time and memory",
        "no trial was recorded",
        "nothing of the table was recorded",
        "parameters, devices and versions of this run",
        "where values and files come from",
    ):
        assert said in text, said
    assert "inside the policy's bounds" not in text


def test_diagnostics_that_were_switched_off_are_told_at_the_top(page, made):
    bare = FamilyDiagnostics(severity="warning", findings=(), status="complete")
    text = page(families={"xgboost": bare}, collected=False).text
    assert text.index("The health of these models is not known") < text.index("Families side by")
    assert "inside the policy's bounds" not in text


def test_family_that_failed_says_why(page, made):
    failed = FamilyDiagnostics(
        severity="critical", findings=(), status="failed", error="out of memory on every device"
    )
    text = page(families={**made("strong").families, "neural_net": failed}).text
    assert "failed : out of memory on every device" in text


def test_run_without_a_single_family_has_a_page(page):
    text = page(families={}, signal=None, winner=None, comparisons=()).text
    assert text.startswith("No verdict: no family has a model")
    assert "No scores: no family has a model" in text


def test_origins_and_lineage_of_the_run_are_told(page):
    files = (MadeFile("survivors", "housing.csv", "ab" * 32, "20261101-1", 3, 1),)
    text = page(lineage=Lineage(origins={"trials": "params"}, inputs=files)).text
    assert "trials 40 params" in text
    assert "exclude_features [] default" in text
    assert "housing.csv read abababababab run 20261101-1, step 3" in text


def test_findings_tell_number_bound_meaning_remedy_and_change(page):
    text = page("none").text
    assert "nn_dead_neuron_pct 61; the policy's bound is 50" in text
    assert "so the network is smaller than it looks" in text
    assert "LeakyReLU instead of ReLU" in text
    assert '"use_leaky_relu": true' in text
    overview = text.split("What to look at")[1].split("no findings")[0]
    assert overview.index("61 % of the hidden units") < overview.index("1.41 times")


def test_wide_table_and_long_search_stay_a_small_page(made):
    base = made("strong")
    names = tuple(f"feature_{i}_{'x' * 40}" for i in range(500))
    families = {}
    for name, family in base.families.items():
        trials = tuple(
            family.trials[i % 40].model_copy(update={"position": i}) for i in range(1000)
        )
        importances = (Importance(kind="gain", values=tuple(float(i % 7) for i in range(500))),)
        curves = family.curves * 4
        families[name] = family.model_copy(
            update={"trials": trials, "importances": importances, "curves": curves}
        )
    table = base.table.model_copy(update={"feature_names": names, "kinds": ("numeric",) * 500})
    found = Page(render_report(made("strong", families=families, table=table), UNKNOWN, "x"))
    assert len(found.html.encode()) < 6_000_000
    bars = found.charts["f0-importances"]["data"][0]
    assert len(bars["y"]) == len(set(bars["y"])) == 20, "names cut short are still told apart"


def test_trials_of_a_long_search_are_counted_whole_though_some_are_shown(made):
    base = made("strong")
    counted = base.families["catboost"].model_copy(update={"trials_complete": 5000})
    chart = history_chart(made("strong", families={"catboost": counted}))
    assert f"5000 trials, {len(counted.trials)} of them here." in json.dumps(chart, default=str)
    counted = counted.model_copy(update={"trials_failed": 3})
    assert failure_rows(counted)[-1] == ("in trials that are not shown here", "3")


def test_scores_that_are_far_off_do_not_press_the_others_flat(made):
    base = made("strong")
    wild = base.families["neural_net"].cv.model_copy(
        update={"r2": base.families["neural_net"].cv.r2.model_copy(update={"value": -1e30})}
    )
    family = base.families["neural_net"].model_copy(update={"cv": wild, "holdout": wild})
    charts = Page(
        render_report(
            made("strong", families={**base.families, "neural_net": family}), UNKNOWN, "x"
        )
    ).charts
    low, high = charts["scores"]["layout"]["xaxis"]["range"]
    assert -1.5 < low < high < 1.5
