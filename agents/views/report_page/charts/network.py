"""A network's health by layer and epoch: dead units, gradients, activations, weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from agents.views.report_page.charts.figure import (
    Chart,
    Trace,
    chart,
    plain,
    scale,
    shorts,
    title,
)
from agents.views.report_page.charts.training import TOP, shares_chart
from agents.views.report_page.palette import CYCLE
from steps.contract.diagnostics import FamilyDiagnostics

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def network_charts(
    key: str, family: FamilyDiagnostics, features: Sequence[str]
) -> tuple[Chart, ...]:
    """Every chart that the network's observations allow; none where there are no observations."""
    network = family.network
    if network is None or not network.layers or not network.epochs:
        return ()
    layers, epochs = network.layers, network.epochs
    hidden = [(layer.name, layer.units, layer.dead_pct) for layer in layers if layer.dead_pct]
    norms = [(layer.name, layer.gradient_norm) for layer in layers]
    made = [
        _by_epoch(
            f"{key}-dead",
            "Dead units",
            _dead_words([(units, dead[-1]) for _, units, dead in hidden]),
            epochs,
            [(name, dead) for name, _, dead in hidden],
            "% of the layer's units",
            bottom=True,
        )
        if hidden
        else None,
        _by_epoch(
            f"{key}-gradients",
            "Gradient norms",
            f"At the end {norms[0][1][-1]:.3g} in the first layer, {norms[-1][1][-1]:.3g} in the "
            "last.",
            epochs,
            norms,
            "norm",
        ),
        _by_epoch(
            f"{key}-weight-norms",
            "Weight norms",
            f"At the end {_each((layer.name, layer.weight_norm[-1]) for layer in layers)}.",
            epochs,
            [(layer.name, layer.weight_norm) for layer in layers],
            "norm",
        ),
        _by_epoch(
            f"{key}-activations",
            "Activations",
            "Standard deviation over the probe rows. Means at the end: "
            f"{_each((layer.name, layer.activation_mean[-1]) for layer in layers)}.",
            epochs,
            [(layer.name, layer.activation_std) for layer in layers],
            "standard deviation",
        ),
        _weights(key, [(x.name, x.weight_edges, x.weight_counts) for x in layers]),
        _feature_gradients(key, features, network.feature_gradients),
    ]
    return tuple(each for each in made if each is not None)


def _dead_words(ends: Sequence[tuple[int, float]]) -> str:
    """ends: units of each hidden layer, and the percentage that is dead at the end."""
    dead = sum(units * share / 100 for units, share in ends)
    everything = sum(units for units, _ in ends)
    return f"{round(dead)} of {everything} hidden units say the same on every probe row at the end."


def _each(values: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values)


def _weights(
    key: str, layers: Sequence[tuple[str, tuple[float, ...], tuple[int, ...]]]
) -> Chart | None:
    """layers: name, edges and counts of each layer's histogram."""
    layers = [layer for layer in layers if layer[2]]
    if not layers:
        return None
    traces: list[Trace] = []
    for place, (name, edges, counts) in enumerate(layers):
        total = sum(counts) or 1
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": plain(name, 24),
                "x": shorts(edges),
                "y": shorts([*(count / total * 100 for count in counts), 0.0]),
                "line": {**_style(place), "shape": "hv"},
                "hovertemplate": "from %{x:.3g}<br>%{y:.3g} % of the weights<extra></extra>",
            }
        )
    low = min(edges[0] for _, edges, _ in layers)
    high = max(edges[-1] for _, edges, _ in layers)
    return chart(
        f"{key}-weights",
        "Weights at the end",
        f"All lie between {low:.3g} and {high:.3g}.",
        traces,
        {
            "xaxis": {"title": title("weight"), "showgrid": False},
            "yaxis": {"title": title("% of the layer's weights"), "rangemode": "tozero"},
        },
        height=280,
    )


def _feature_gradients(
    key: str, features: Sequence[str], gradients: Sequence[float]
) -> Chart | None:
    if len(gradients) != len(features) or not features:
        return None
    found = sorted(zip(features, gradients, strict=True), key=lambda pair: -pair[1])
    middle = median(gradients)
    spread = f", {found[0][1] / middle:.3g} times the median" if middle > 0 else ""
    return shares_chart(
        f"{key}-feature-gradients",
        "Gradient by feature",
        f"{found[0][0]} has the largest mean gradient of its first-layer weights{spread}.",
        "mean gradient norm",
        found[:TOP],
    )


def _by_epoch(
    key: str,
    heading: str,
    summary: str,
    epochs: Sequence[int],
    series: Sequence[tuple[str, Sequence[float]]],
    axis: str,
    *,
    bottom: bool = False,
) -> Chart:
    """A line a layer. bottom: the axis begins at zero, and is never logarithmic."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(epochs) <= 25 else "lines",
            "name": plain(name, 24),
            "x": list(epochs),
            "y": shorts(values),
            "line": _style(place),
            "marker": {"size": 5},
            "hovertemplate": f"{plain(name, 24).replace('%', ' %')}, epoch %{{x}}: %{{y:.4g}}"
            "<extra></extra>",
        }
        for place, (name, values) in enumerate(series)
    ]
    everything = [value for _, values in series for value in values]
    kind = {"rangemode": "tozero"} if bottom else scale(everything)
    return chart(
        key,
        heading,
        summary,
        traces,
        {
            "xaxis": {"title": title("epoch"), "showgrid": False},
            "yaxis": {"title": title(axis), "exponentformat": "power", **kind},
        },
        height=280,
    )


def _style(place: int) -> dict[str, object]:
    """A colour and a dash a layer: told apart without colours too."""
    return {"color": CYCLE[place % len(CYCLE)], "width": 2, "dash": _DASHES[place % len(_DASHES)]}
