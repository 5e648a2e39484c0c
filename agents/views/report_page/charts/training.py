"""How a family learnt: loss by round on every fold, and what its model makes of the features."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from agents.views.family_scores import error_text
from agents.views.report_page.charts.figure import (
    Chart,
    Trace,
    chart,
    percent,
    plain,
    scale,
    short,
    shorts,
    tick,
    title,
)
from agents.views.report_page.palette import BLUE, GREEN, GREY, INK, ORANGE, PAPER, VERMILLION
from steps.contract.diagnostics import FamilyDiagnostics

TOP = 20
_TOP_ATTRIBUTED = 12
_KIND_WORDS = {
    "gain": "gain",
    "split": "number of splits",
    "weight": "number of splits",
    "PredictionValuesChange": "change of the prediction",
    "input_gradient": "gradient at the input",
}


def curves_chart(key: str, name: str, family: FamilyDiagnostics) -> Chart | None:
    """Training and validation loss by round or epoch, each fold a line, its best round marked."""
    if not family.curves and family.final_curve is None:
        return None
    unit = "epoch" if name == "neural_net" else "round"
    traces: list[Trace] = []
    losses: list[float] = []
    best: list[tuple[int, float, str]] = []
    for place, curve in enumerate(family.curves):
        fold = place if curve.fold is None else curve.fold
        traces.append(
            _line("train", curve.rounds, curve.train, BLUE, "dot", f"fold {fold}", first=not place)
        )
        losses += curve.train
        if curve.validation is None:
            continue
        losses += curve.validation
        traces.append(
            _line(
                "validation", curve.rounds, curve.validation, ORANGE, "solid", f"fold {fold}",
                first=not place,
            )
        )  # fmt: skip
        if curve.best_round in curve.rounds:
            at = curve.rounds.index(curve.best_round)
            best.append((curve.best_round, curve.validation[at], f"fold {fold}"))
    if family.final_curve is not None:
        curve = family.final_curve
        losses += curve.train
        traces.append(
            _line(
                "train, final fit", curve.rounds, curve.train, GREY, "solid", "all rows", first=True
            )
        )  # fmt: skip
    if best:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"best {unit}",
                "x": [at for at, _, _ in best],
                "y": shorts(loss for _, loss, _ in best),
                "marker": {
                    "symbol": "diamond",
                    "size": 10,
                    "color": VERMILLION,
                    "line": {"color": PAPER, "width": 1.5},
                },
                "text": [fold for _, _, fold in best],
                "hovertemplate": f"%{{text}}: best {unit} %{{x}}, MSE %{{y:.4g}}<extra></extra>",
            }
        )
    return chart(
        f"{key}-curves",
        f"Loss by {unit}",
        _curves_summary(family, unit),
        traces,
        {
            "xaxis": {"title": title(unit), "showgrid": False},
            "yaxis": {
                "title": title("mean squared error"),
                "exponentformat": "power",
                **scale(losses),
            },
        },
        height=340,
    )


def importances_chart(key: str, family: FamilyDiagnostics, features: Sequence[str]) -> Chart | None:
    """The top features by the library's first measure; a second one as dots on the same bars."""
    kinds = [kind for kind in family.importances if len(kind.values) == len(features)]
    if not kinds:
        return None
    first, *others = kinds
    total = sum(first.values) or 1.0
    top = sorted(range(len(features)), key=lambda i: -first.values[i])[:TOP]
    places = list(range(len(top)))[::-1]
    measure = _KIND_WORDS[first.kind]
    traces = [
        _bars(measure, [first.values[i] / total * 100 for i in top], [features[i] for i in top])
    ]
    for other in others[:1]:
        whole = sum(other.values) or 1.0
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": _KIND_WORDS[other.kind],
                "x": shorts(other.values[i] / whole * 100 for i in top),
                "y": places,
                "marker": {"color": ORANGE, "size": 8, "symbol": "diamond"},
                "text": [plain(features[i]) for i in top],
                "hovertemplate": "%{text}<br>%{x:.3g} % of all<extra></extra>",
            }
        )
    unused = sum(value == 0 for value in first.values)
    summary = f"{features[top[0]]} has {percent(first.values[top[0]] / total)} of the {measure}"
    summary += f"; {unused} of {len(features)} features have none." if unused else "."
    if len(features) > TOP:
        summary += f" The top {TOP} of {len(features)} features."
    return chart(
        f"{key}-importances",
        "Importance of the features",
        summary,
        traces,
        _bars_layout("% of all features", [features[i] for i in top], legend=bool(others)),
        height=76 + 21 * max(4, len(top)),
    )


def attributions_chart(
    key: str, family: FamilyDiagnostics, features: Sequence[str]
) -> Chart | None:
    """Best and worst predicted rows taken apart: features down, rows across."""
    rows = [row for row in family.attributions if len(row.contributions) == len(features)]
    if not rows:
        return None
    size = [max(abs(row.contributions[i]) for row in rows) for i in range(len(features))]
    top = sorted(range(len(features)), key=lambda i: -size[i])[:_TOP_ATTRIBUTED]
    most = max((size[i] for i in top), default=0.0) or 1.0
    rows = sorted(rows, key=lambda row: row.which)
    places = list(range(len(top)))[::-1]
    heat: Trace = {
        "type": "heatmap",
        "z": [shorts(row.contributions[i] for row in rows) for i in top],
        "y": places,
        "x": list(range(len(rows))),
        "zmin": -(short(most) or 1.0),
        "zmax": short(most) or 1.0,
        "colorscale": [[0, BLUE], [0.5, PAPER], [1, VERMILLION]],
        "xgap": 2,
        "ygap": 2,
        "customdata": [
            [
                [
                    plain(features[i]),
                    f"row {row.row} ({row.which}): target {error_text(row.target)}, "
                    f"prediction {error_text(row.prediction)}",
                ]
                for row in rows
            ]
            for i in top
        ],
        "hovertemplate": "%{customdata[1]}<br>%{customdata[0]}: %{z:+,.4~r}<extra></extra>",
        "colorbar": {"thickness": 10, "outlinewidth": 0, "len": 0.9, "tickfont": {"size": 11}},
    }
    how = "SHAP values" if rows[0].method == "shap" else "gradient times input, first order only"
    best = sum(row.which == "best" for row in rows)
    return chart(
        f"{key}-attributions",
        "What made the best and the worst predictions",
        f"{how}, in units of the target. {features[top[0]]} moves these predictions most, by up "
        f"to {error_text(most)}. The {best} best predicted rows on the left, the "
        f"{len(rows) - best} worst on the right.",
        [heat],
        {
            "showlegend": False,
            "margin": {"l": 8, "r": 8, "t": 10, "b": 8},
            "xaxis": {
                "tickvals": list(range(len(rows))),
                "ticktext": [f"{row.which} {row.row}" for row in rows],
                "tickangle": -60,
                "showgrid": False,
                "zeroline": False,
            },
            "yaxis": {
                "tickvals": places,
                "ticktext": [tick(features[i]) for i in top],
                "tickfont": {"color": INK, "size": 11.5},
                "showgrid": False,
                "zeroline": False,
            },
        },
        height=130 + 24 * max(3, len(top)),
    )


def shares_chart(
    key: str, heading: str, summary: str, axis: str, shares: Sequence[tuple[str, float]]
) -> Chart:
    """Bars of named shares in percent, the largest on top."""
    names = [name for name, _ in shares]
    bars = _bars(axis, [share for _, share in shares], names, GREEN)
    return chart(
        key, heading, summary, [bars], _bars_layout(axis, names, legend=False),
        height=76 + 21 * max(3, len(names)),
    )  # fmt: skip


def _bars(name: str, values: list[float], names: Sequence[str], colour: str = BLUE) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": shorts(values),
        "y": list(range(len(values)))[::-1],
        "marker": {"color": colour, "line": {"width": 0}},
        "text": [plain(each) for each in names],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{x:.3g}<extra></extra>",
    }


def _bars_layout(axis: str, names: Sequence[str], *, legend: bool) -> dict[str, object]:
    return {
        "showlegend": legend,
        "bargap": 0.35,
        "margin": {"l": 8, "r": 12, "t": 30 if legend else 8, "b": 8},
        "xaxis": {"title": title(axis), "rangemode": "tozero"},
        # Places, not names: two names may be alike once they are cut short.
        "yaxis": {
            "tickvals": list(range(len(names)))[::-1],
            "ticktext": [tick(name) for name in names],
            "tickfont": {"color": INK, "size": 11.5},
            "showgrid": False,
            "zeroline": False,
        },
    }


def _line(
    name: str,
    rounds: Sequence[int],
    losses: Sequence[float],
    colour: str,
    dash: str,
    what: str,
    *,
    first: bool,
) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": first,
        "x": list(rounds),
        "y": shorts(losses),
        "line": {"color": colour, "width": 1.6, "dash": dash},
        "opacity": 0.85,
        "hovertemplate": f"{what}, %{{x}}<br>{name} MSE %{{y:.4g}}<extra></extra>",
    }


def _curves_summary(family: FamilyDiagnostics, unit: str) -> str:
    if not family.folds:
        return f"Mean squared error by {unit}."
    ratios = [fold.val_mse / fold.train_mse for fold in family.folds if fold.train_mse > 0]
    best = median(fold.best_round for fold in family.folds)
    run = median(fold.rounds_run for fold in family.folds)
    said = f"Half of the folds were best by {unit} {best:g} of {run:g}."
    if ratios:
        mean = sum(ratios) / len(ratios)
        said = f"Validation loss is {mean:.3g} times training loss, mean of the folds. {said}"
    return said
