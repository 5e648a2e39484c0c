"""The search: scores trial by trial, and which parameters they depended on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agents.reports.training.words import ordered, shared_score, trials_by_state
from agents.views.report_page.charts.figure import (
    Chart,
    Trace,
    chart,
    percent,
    plain,
    shorts,
    thinned,
    title,
)
from agents.views.report_page.charts.training import shares_chart
from agents.views.report_page.palette import family_colour
from steps.contract.diagnostics import FamilyDiagnostics, TrainingDiagnostics

# Dots of one family: more can be told apart by nobody.
_DOTS = 800


def history_chart(diagnostics: TrainingDiagnostics) -> Chart | None:
    """Score by trial, a colour a family, with the best so far as a line."""
    families = [(name, f) for name, f in ordered(diagnostics) if f.trials]
    scores = [s for _, f in families for s in map(shared_score, f.trials) if s is not None]
    if not scores:
        return None
    floor, top = _floor(scores), max(scores)
    traces: list[Trace] = []
    for place, (name, family) in enumerate(families):
        traces += _history(name, family, family_colour(name, place), floor)
    best, family = families[0]
    shown = sum(len(f.trials) for _, f in families)
    trials = sum(sum(trials_by_state(f).values()) for _, f in families)
    summary = f"{trials} trials." if trials <= shown else f"{trials} trials, {shown} of them here."
    found = [t for t in family.trials if t.score is not None]
    if found:
        champion = max(found, key=lambda t: t.score if t.score is not None else -math.inf)
        summary += f" The best of {best}: trial {champion.position}, R2 {champion.score:.4g}."
    low = min(scores)
    if low < floor:
        summary += f" Scores under {floor:.3g} are drawn as triangles at the bottom."
    return chart(
        "history",
        "Every trial, and the best so far",
        summary,
        traces,
        {
            "xaxis": {"title": title("trial"), "showgrid": False, **_whole(families)},
            "yaxis": {
                "title": title("mean R2 over the folds of all trials"),
                "range": [floor - 0.05 * (top - floor or 1), top + 0.06 * (top - floor or 1)],
            },
        },
        height=380,
    )


def parameter_importance_chart(key: str, family: FamilyDiagnostics) -> Chart | None:
    """How much of the differences between trials each parameter accounts for."""
    found = sorted(family.parameter_importance.items(), key=lambda item: -item[1])
    if not found:
        return None
    name, share = found[0]
    return shares_chart(
        f"{key}-parameter-importance",
        "What the score depended on",
        f"{name} accounts for {percent(share)} of the differences between trials.",
        "% of the differences between trials",
        [(each, part * 100) for each, part in found],
    )


def _whole(families: Sequence[tuple[str, FamilyDiagnostics]]) -> dict[str, int]:
    """There is no trial 0.5: few trials have a tick each."""
    last = max(t.position for _, family in families for t in family.trials)
    return {"dtick": 1} if last <= 12 else {}


def _history(name: str, family: FamilyDiagnostics, colour: str, floor: float) -> list[Trace]:
    scored = [(t.position, shared_score(t)) for t in family.trials]
    found = [(position, score) for position, score in scored if score is not None]
    if not found:
        return []
    best: list[tuple[int, float]] = []
    for position, score in found:
        if not best or score > best[-1][1]:
            best.append((position, score))
    ahead = {position for position, _ in best}
    kept = {found[i][0] for i in thinned(len(found), _DOTS)} | ahead
    dots = [(position, score) for position, score in found if position in kept]
    label = plain(name, 24)
    line = [*best, (found[-1][0], best[-1][1])]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "legendgroup": label,
            "showlegend": False,
            "x": [position for position, _ in dots],
            "y": shorts(max(score, floor) for _, score in dots),
            "marker": {
                "color": colour,
                "size": 6,
                "opacity": 0.55,
                "symbol": ["circle" if s >= floor else "triangle-down-open" for _, s in dots],
            },
            "text": [f"{label}, trial {position}<br>R2 {score:.4g}" for position, score in dots],
            "hovertemplate": "%{text}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": label,
            "legendgroup": label,
            "x": [position for position, _ in line],
            "y": shorts(max(score, floor) for _, score in line),
            "line": {"color": colour, "width": 2.2, "shape": "hv"},
            "hovertemplate": "best so far %{y:.4g}<extra></extra>",
        },
    ]


def _floor(scores: Sequence[float]) -> float:
    """The lowest score worth drawing to scale: one wild trial must not press the others flat."""
    best = max(scores)
    middle = sorted(scores)[len(scores) // 2]
    return max(min(scores), best - max(4 * (best - middle), 0.02))
