"""Which values of the parameters went together: every trial a line through them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.reports.training.words import shared_score
from agents.views.report_page.charts.figure import (
    Chart,
    Trace,
    chart,
    is_wide,
    plain,
    short,
    thinned,
)
from agents.views.report_page.palette import INK, LINE, MUTED, SEQUENCE, VERMILLION
from steps.contract.diagnostics import FamilyDiagnostics, TrialRow

# More lines, and more uprights on a phone, can be told apart by nobody.
_LINES = 150
_AXES = 6


def parallel_chart(key: str, family: FamilyDiagnostics) -> Chart | None:
    """Every trial a line through its parameters, the darker the better.

    Lines of an ordinary chart and no plotly parcoords: those need WebGL, which neither printers
    nor every phone have, and take no theme.
    """
    trials = sorted(
        (t for t in family.trials if shared_score(t) is not None),
        key=lambda t: shared_score(t) or 0.0,
    )
    axes = _axes(trials, family.parameter_importance)
    if len(trials) < 3 or not axes:
        return None
    kept = [trials[i] for i in thinned(len(trials), _LINES)]
    axes = [*axes, _axis("R2", [shared_score(t) for t in trials], key=None)]
    traces = [_uprights(axes)]
    for place, colour in enumerate(SEQUENCE):
        low, high = (round(len(kept) * end / len(SEQUENCE)) for end in (place, place + 1))
        band = kept[low:high]
        if band:
            traces.append(_lines(axes, band, colour, 1.2, "trials, stronger is better", place == 3))
    whole = [t for t in trials if t.score is not None]
    best = max(whole, key=lambda t: t.score or 0.0) if whole else kept[-1]
    traces.append(_lines(axes, [best], VERMILLION, 3.0, f"best: trial {best.position}", True))
    few = f" {len(kept)} of {len(trials)} trials are drawn." if len(kept) < len(trials) else ""
    said = ", ".join(f"{a.name} {_value(best, a)}" for a in axes if a.key is not None)
    places = list(range(len(axes)))
    ends = (
        [(axis.low, -0.03, "top") for axis in axes],
        [(axis.high, 1.03, "bottom") for axis in axes],
    )
    return chart(
        f"{key}-parallel",
        "Which values went together",
        f"The best trial had {said}.{few}",
        traces,
        {
            "margin": {"l": 30, "r": 30, "t": 56, "b": 8},
            "legend": {**_LEGEND},
            "xaxis": {
                "tickvals": places,
                "ticktext": [plain(axis.name.replace("_", " "), 18) for axis in axes],
                "tickfont": {"color": INK, "size": 11.5},
                "range": [-0.25, len(axes) - 0.75],
                "showgrid": False,
                "zeroline": False,
                "showline": False,
                "ticks": "",
            },
            "yaxis": {
                "range": [-0.1, 1.1],
                "showgrid": False,
                "zeroline": False,
                "showticklabels": False,
                "showline": False,
                "ticks": "",
            },
            "annotations": [
                {
                    "x": place,
                    "y": at,
                    "text": plain(text, 10),
                    "showarrow": False,
                    "yanchor": anchor,
                    "font": {"size": 10.5, "color": MUTED},
                }
                for row in ends
                for place, (text, at, anchor) in enumerate(row)
            ],
        },
        height=360,
    )


_LEGEND = {
    "orientation": "h",
    "x": 0,
    "y": 1.12,
    "yanchor": "bottom",
    "font": {"size": 12, "color": MUTED},
    "bgcolor": "rgba(0,0,0,0)",
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """One upright. key: of the parameter, None for the score; places: 0..1 by JSON of a value."""

    name: str
    key: str | None
    places: dict[str, float]
    low: str
    high: str


def _axes(trials: Sequence[TrialRow], importance: dict[str, float]) -> list[_Axis]:
    """The parameters that differ between trials, those that matter most first."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    by_importance = sorted(names, key=lambda name: -importance.get(name, 0.0))
    axes = []
    for name in by_importance:
        values = [trial.params.get(name) for trial in trials]
        if len({_text(value) for value in values}) > 1:
            axes.append(_axis(name, values, key=name))
    return axes[:_AXES]


def _axis(name: str, values: Sequence[Any], *, key: str | None) -> _Axis:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):  # names, lists, a switch: in order, evenly spaced
        texts = sorted({_text(value) for value in values})
        step = 1 / max(1, len(texts) - 1)
        places = {text: i * step for i, text in enumerate(texts)}
        return _Axis(name, key, places, texts[0].strip('"'), texts[-1].strip('"'))
    scale = math.log if key is not None and is_wide(numbers) else float
    low, high = min(numbers), max(numbers)
    bottom = scale(low)
    span = scale(high) - bottom or 1.0
    places = {_text(v): (scale(v) - bottom) / span for v in numbers}
    return _Axis(name, key, places, f"{low:.3g}", f"{high:.3g}")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _value(trial: TrialRow, axis: _Axis) -> str:
    value = shared_score(trial) if axis.key is None else trial.params.get(axis.key)
    return f"{value:.4g}" if isinstance(value, float) else _text(value).strip('"')


def _uprights(axes: Sequence[_Axis]) -> Trace:
    ends = [(place, y) for place in range(len(axes)) for y in (0, 1, None)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in ends],
        "y": [y for _, y in ends],
        "line": {"color": LINE, "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _lines(
    axes: Sequence[_Axis],
    trials: Sequence[TrialRow],
    colour: str,
    width: float,
    name: str,
    in_legend: bool,
) -> Trace:
    """Many trials as one line with gaps: one trace draws faster than a hundred."""
    x: list[int | None] = []
    y: list[float | None] = []
    said: list[str] = []
    for trial in trials:
        for place, axis in enumerate(axes):
            value = shared_score(trial) if axis.key is None else trial.params.get(axis.key)
            x.append(place)
            y.append(short(axis.places[_text(value)]))
            said.append(
                f"trial {trial.position}: {plain(axis.name, 40)} = {plain(_value(trial, axis), 60)}"
                f"<br>R2 {shared_score(trial):.4g}"
            )
        x.append(None)
        y.append(None)
        said.append("")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain(name, 40),
        "showlegend": in_legend,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": width},
        "text": said,
        "hovertemplate": "%{text}<extra></extra>",
    }
