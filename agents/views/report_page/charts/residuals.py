"""Where predictions go wrong: residuals by prediction, the spread of errors, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from agents.views.family_scores import error_text
from agents.views.report_page.charts.figure import (
    Chart,
    Trace,
    chart,
    percent,
    short,
    shorts,
    thinned,
    title,
)
from agents.views.report_page.charts.scores import bins
from agents.views.report_page.palette import BLUE, GREY, INK, ORANGE
from steps.contract.diagnostics import FamilyDiagnostics, Residuals

# Dots of one part; more hide each other, and cost kilobytes.
_DOTS = 600
_WORDS = {"holdout": "holdout", "out_of_fold": "cross-validation"}
_COLOURS = {"holdout": BLUE, "out_of_fold": ORANGE}


def residuals_chart(key: str, family: FamilyDiagnostics) -> Chart | None:
    """Target minus prediction, by prediction; a sample of rows."""
    parts = [part for part in _parts(family) if part.rows]
    if not parts:
        return None
    traces: list[Trace] = []
    for part in parts[::-1]:  # the holdout on top
        kept = thinned(len(part.rows), _DOTS)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": _WORDS[part.part],
                "x": shorts(part.predictions[i] for i in kept),
                "y": shorts(part.targets[i] - part.predictions[i] for i in kept),
                "marker": {
                    "color": _COLOURS[part.part],
                    "size": 5,
                    "symbol": "circle" if part.part == "holdout" else "circle-open",
                },
                "opacity": 0.55,
                "customdata": [[part.rows[i], short(part.targets[i])] for i in kept],
                "hovertemplate": "row %{customdata[0]}<br>target %{customdata[1]:,.4~r}, "
                "prediction %{x:,.4~r}<br>residual %{y:+,.4~r}<extra></extra>",
            }
        )
    part = parts[0]
    pairs = list(zip(part.targets, part.predictions, strict=True))
    over = sum(prediction > target for target, prediction in pairs) / len(pairs)
    return chart(
        f"{key}-residuals",
        "Residuals",
        f"Target minus prediction; {percent(over)} of the {_WORDS[part.part]} rows shown are "
        "predicted too high. A pattern here is something that the model has not learnt.",
        traces,
        {
            "xaxis": {"title": title("prediction"), "showgrid": False},
            "yaxis": {"title": title("residual"), "zerolinewidth": 2},
        },
        height=320,
    )


def errors_chart(key: str, family: FamilyDiagnostics) -> Chart | None:
    """A histogram of the errors of all rows of a part."""
    parts = [part for part in _parts(family) if part.errors.counts]
    if not parts:
        return None
    first, *others = parts
    traces = [bins(_WORDS[first.part], first.errors.edges, _shares(first), _COLOURS[first.part])]
    for part in others:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _WORDS[part.part],
                "x": shorts(part.errors.edges),
                "y": shorts([*_shares(part), 0.0]),
                "line": {"color": _COLOURS[part.part], "width": 2, "shape": "hv"},
                "hovertemplate": "from %{x:,.4~r}<br>%{y:.3g} %<extra></extra>",
            }
        )
    shares = _shares(first)
    peak = max(range(len(shares)), key=shares.__getitem__)
    low, high = first.errors.edges[peak], first.errors.edges[peak + 1]
    return chart(
        f"{key}-errors",
        "Spread of the errors",
        f"{shares[peak]:.3g} % of the {_WORDS[first.part]} rows have an error from "
        f"{error_text(low)} to {error_text(high)}, more than any other bin.",
        traces,
        {
            "bargap": 0.04,
            "xaxis": {"title": title("residual"), "showgrid": False},
            "yaxis": {"title": title("% of rows"), "rangemode": "tozero"},
        },
        height=280,
    )


def calibration_chart(key: str, family: FamilyDiagnostics) -> Chart | None:
    """Mean target by mean prediction, for each tenth of the rows."""
    parts = [part for part in _parts(family) if part.calibration]
    if not parts:
        return None
    ends = [value for part in parts for point in part.calibration for value in point]
    low, high = min(ends), max(ends)
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "as it should be",
            "x": shorts([low, high]),
            "y": shorts([low, high]),
            "line": {"color": GREY, "width": 1.5, "dash": "dash"},
            "hoverinfo": "skip",
        }
    ]
    for part in parts:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": _WORDS[part.part],
                "x": shorts(predicted for predicted, _ in part.calibration),
                "y": shorts(target for _, target in part.calibration),
                "line": {"color": _COLOURS[part.part], "width": 2},
                "marker": {
                    "size": 7,
                    "symbol": "diamond" if part.part == "holdout" else "circle-open",
                },
                "hovertemplate": "mean prediction %{x:,.4~r}<br>mean target %{y:,.4~r}"
                "<extra></extra>",
            }
        )
    worst_prediction, worst_target = max(parts[0].calibration, key=lambda p: abs(p[0] - p[1]))
    return chart(
        f"{key}-calibration",
        "Calibration",
        f"In the tenth of the rows that is off most, {error_text(worst_prediction)} is "
        f"predicted on average and {error_text(worst_target)} is true.",
        traces,
        {
            "xaxis": {"title": title("mean prediction"), "showgrid": False},
            "yaxis": {"title": title("mean target"), "tickfont": {"color": INK, "size": 11.5}},
        },
        height=320,
    )


def _parts(family: FamilyDiagnostics) -> Sequence[Residuals]:
    """The holdout first: it counts more."""
    return sorted(family.residuals, key=lambda part: part.part)


def _shares(part: Residuals) -> list[float]:
    total = sum(part.errors.counts) or 1
    return [count / total * 100 for count in part.errors.counts]
