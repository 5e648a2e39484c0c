"""The families side by side: R2 with its intervals, and how the table's target is spread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from agents.reports.training.words import estimate_text, ordered, target_name
from agents.views.family_scores import error_text
from agents.views.report_page.charts.figure import Chart, Trace, chart, plain, shorts, title
from agents.views.report_page.palette import BLUE, GREY, INK, ORANGE
from steps.contract import Estimate
from steps.contract.diagnostics import TrainingDiagnostics

# Below it, how bad a family is says nothing, and would press the others together.
_LOWEST = -1.0


def scores_chart(diagnostics: TrainingDiagnostics) -> Chart | None:
    """R2 of each family, cross-validation and holdout, as dots with 95 % whiskers."""
    families = [
        (n, f) for n, f in ordered(diagnostics) if f.cv is not None or f.holdout is not None
    ]
    if not families:
        return None
    places = list(range(len(families)))[::-1]
    searched = [
        _dot(place + 0.13, name, family.cv.r2)
        for place, (name, family) in zip(places, families, strict=True)
        if family.cv is not None
    ]
    unseen = [
        _dot(place - 0.13, name, family.holdout.r2)
        for place, (name, family) in zip(places, families, strict=True)
        if family.holdout is not None
    ]
    low = min(dot.low for dot in (*searched, *unseen))
    high = max(dot.high for dot in (*searched, *unseen))
    pad = 0.06 * max(high - low, 0.02)
    best_name, best = families[0]
    score, part = (best.holdout, "holdout") if best.holdout else (best.cv, "cross-validated")
    summary = "1 is perfect, 0 is no better than the mean."
    if score is not None:
        summary = f"{best_name}: {part} R2 {estimate_text(score.r2)}. {summary}"
    if low <= _LOWEST:
        summary += f" What is under {_LOWEST:g} is drawn at {_LOWEST:g}."
    return chart(
        "scores",
        "R2 with 95 % intervals",
        summary,
        [
            _trace("cross-validation", ORANGE, "circle-open", searched),
            _trace("holdout", BLUE, "diamond", unseen),
        ],
        {
            "xaxis": {"title": title("R2"), "range": [low - pad, high + pad]},
            "yaxis": {
                "tickvals": places,
                "ticktext": [plain(name, 24) for name, _ in families],
                "tickfont": {"color": INK, "size": 13},
                "range": [-0.6, len(families) - 0.4],
                "showgrid": False,
                "zeroline": False,
            },
        },
        height=92 + 58 * len(families),
    )


@dataclass(frozen=True, slots=True)
class _Dot:
    at: float
    name: str
    value: float
    low: float
    high: float
    text: str


def _dot(at: float, name: str, estimate: Estimate) -> _Dot:
    low, high = estimate.ci95 or (estimate.value, estimate.value)
    value = max(estimate.value, _LOWEST)
    # A bootstrap's interval need not hold the value itself.
    ends = min(value, max(low, _LOWEST)), max(value, high)
    return _Dot(at, name, value, *ends, estimate_text(estimate))


def _trace(what: str, colour: str, symbol: str, dots: list[_Dot]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": what,
        "x": shorts(dot.value for dot in dots),
        "y": [dot.at for dot in dots],
        "error_x": {
            "type": "data",
            "array": shorts(dot.high - dot.value for dot in dots),
            "arrayminus": shorts(dot.value - dot.low for dot in dots),
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        "marker": {
            "color": colour,
            "symbol": symbol,
            "size": 11,
            "line": {"width": 2.2, "color": colour},
        },
        "customdata": [[plain(dot.name), dot.text] for dot in dots],
        "hovertemplate": f"%{{customdata[0]}}, {what}<br>R2 %{{customdata[1]}}<extra></extra>",
    }


def target_chart(diagnostics: TrainingDiagnostics) -> Chart | None:
    """How the target is spread over the table."""
    table = diagnostics.table
    if table is None or not table.target.counts:
        return None
    edges, counts = table.target.edges, table.target.counts
    total = sum(counts) or 1
    return chart(
        "target",
        "The target's distribution",
        f"{target_name(diagnostics)}: mean {error_text(table.target_mean)}, standard deviation "
        f"{error_text(table.target_sd)}, over {table.rows:,} rows.",
        [bins("rows", edges, [count / total * 100 for count in counts], GREY)],
        {
            "showlegend": False,
            "bargap": 0.04,
            "xaxis": {"title": title("target"), "showgrid": False},
            "yaxis": {"title": title("% of rows"), "rangemode": "tozero"},
        },
        height=260,
    )


def bins(name: str, edges: tuple[float, ...], shares: list[float], colour: str) -> Trace:
    """Bars of a histogram. shares: percent, one a bin."""
    pairs = list(pairwise(edges))
    return {
        "type": "bar",
        "name": name,
        "x": shorts((low + high) / 2 for low, high in pairs),
        "y": shorts(shares),
        "width": shorts((high - low) * 0.96 for low, high in pairs),
        "marker": {"color": colour, "line": {"width": 0}},
        "customdata": [[f"{error_text(low)} to {error_text(high)}"] for low, high in pairs],
        "hovertemplate": "%{customdata[0]}<br>%{y:.3g} %<extra></extra>",
    }
