"""What every chart is made of: plotly's JSON, with short numbers and harmless names.

The JSON is written as it is: plotly's own classes would check each property of each chart again on
every run, for seconds and megabytes. A test holds every chart against them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.views.report_page.palette import GRID, INK, LINE, MUTED

Trace = dict[str, Any]
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. key: its name on the page; title: a heading; summary: a sentence with the number
    that counts, read aloud to those who do not see it; height: pixels; figure: plotly's JSON.
    """

    key: str
    title: str
    summary: str
    height: int
    figure: dict[str, Any]


def chart(
    key: str,
    title: str,
    summary: str,
    traces: Sequence[Trace],
    layout: dict[str, Any],
    height: int = 300,
) -> Chart:
    """Make a chart of traces."""
    merged = {**_LAYOUT, **layout}
    for axis in ("xaxis", "yaxis"):
        merged[axis] = {**_AXIS, **layout.get(axis, {})}
    return Chart(key, title, summary, height, {"data": list(traces), "layout": merged})


def short(value: float) -> float | None:
    """Five significant digits, which is more than a chart can show; None if it is not finite."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def shorts(values: Iterable[float]) -> list[float | None]:
    """short() of each."""
    return [short(value) for value in values]


def plain(text: object, width: int = 200) -> str:
    """A text that plotly shows as it is: it would take <b>, <a> and &amp; for markup."""
    line = " ".join(str(text).split())
    return html.escape(line if len(line) <= width else line[: width - 1] + "…", quote=False)


def tick(name: object) -> str:
    """A name short enough to stand beside a bar on a phone."""
    return plain(name, 22)


def title(text: str) -> dict[str, Any]:
    """An axis title; of our own words only."""
    return {"text": text, "font": {"size": 12, "color": MUTED}, "standoff": 8}


def percent(share: float) -> str:
    """44 %"""
    return f"{share * 100:.0f} %"


def is_wide(values: Iterable[float]) -> bool:
    """Whether positive values need a logarithmic axis: they span more than a factor of 30."""
    found = [value for value in values if math.isfinite(value)]
    return bool(found) and min(found) > 0 and max(found) / min(found) > 30


def scale(values: Iterable[float]) -> dict[str, Any]:
    """What makes an axis logarithmic where its values need it."""
    found = [value for value in values if math.isfinite(value)]
    if not is_wide(found):
        return {"type": "linear"}
    decades = math.log10(max(found) / min(found))
    # Labels at 1, 2, 5: plotly alone writes one at every digit.
    return {"type": "log", "dtick": "D2" if decades < 2.5 else math.ceil(decades / 8)}


def thinned(count: int, most: int) -> list[int]:
    """Places 0..count-1, at most `most` of them, evenly spread, the first and the last included."""
    if count <= most:
        return list(range(count))
    step = (count - 1) / (most - 1)
    return sorted({round(i * step) for i in range(most)})


_AXIS = {
    "gridcolor": GRID,
    "linecolor": LINE,
    "zerolinecolor": LINE,
    "tickcolor": LINE,
    "tickfont": {"color": MUTED, "size": 11.5},
    "automargin": True,
    "fixedrange": True,
}
_LAYOUT: dict[str, Any] = {
    "font": {"family": _FONT, "size": 12.5, "color": INK},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 8, "r": 12, "t": 30, "b": 8},
    "hovermode": "closest",
    "dragmode": False,
    "showlegend": True,
    "legend": {
        "orientation": "h",
        "x": 0,
        "y": 1.02,
        "yanchor": "bottom",
        "font": {"size": 12, "color": MUTED},
        "bgcolor": "rgba(0,0,0,0)",
    },
}
