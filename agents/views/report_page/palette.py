"""The colours of pages and charts: Okabe and Ito's palette, in a light and a dark form.

Okabe and Ito 2008, Color Universal Design: told apart with every common colour blindness. Charts
are made in the light form; the page's script swaps each colour for its dark form and back.
"""

from __future__ import annotations

from collections.abc import Mapping

INK = "#1b1f24"
MUTED = "#5a6570"
LINE = "#d5dae0"
GRID = "#eceff2"
PAPER = "#ffffff"
CARD = "#f6f7f9"

BLUE = "#0072b2"
ORANGE = "#e69f00"
GREEN = "#009e73"
VERMILLION = "#d55e00"
PURPLE = "#cc79a7"
SKY = "#56b4e9"
GREY = "#8b95a0"

# From low to high, by lightness alone.
SEQUENCE = ("#cfe3f1", "#9cc7e3", "#5fa5d0", "#2a7db5", "#084c7d")

DARK = {
    INK: "#e7eaee",
    MUTED: "#a5b0bb",
    LINE: "#38424c",
    GRID: "#262e36",
    PAPER: "#13171c",
    CARD: "#1b2128",
    BLUE: "#4aa8e0",
    ORANGE: "#f2b134",
    GREEN: "#34c79b",
    VERMILLION: "#f47f42",
    PURPLE: "#e0a0c4",
    SKY: "#8fd0f7",
    GREY: "#7d8894",
    "#cfe3f1": "#25394a",
    "#9cc7e3": "#2f5874",
    "#5fa5d0": "#4285b0",
    "#2a7db5": "#6bb8e6",
    "#084c7d": "#cdeaff",
}

# For lines of which nobody knows the number beforehand: layers, families of other people.
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, GREY)
_FAMILIES = {"neural_net": PURPLE, "xgboost": BLUE, "lightgbm": GREEN, "catboost": VERMILLION}
_VARIABLES = {
    "ink": INK,
    "muted": MUTED,
    "line": LINE,
    "grid": GRID,
    "paper": PAPER,
    "card": CARD,
    "blue": BLUE,
    "orange": ORANGE,
    "green": GREEN,
    "vermillion": VERMILLION,
}


def family_colour(name: str, place: int) -> str:
    """A family's own colour in every chart. place: among the families, for one without its own."""
    return _FAMILIES.get(name, CYCLE[place % len(CYCLE)])


def css_variables() -> str:
    """The colours as CSS variables, light and dark."""
    light = "".join(f"--{name}:{colour};" for name, colour in _VARIABLES.items())
    dark = "".join(f"--{name}:{DARK[colour]};" for name, colour in _VARIABLES.items())
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


def family_rules(names: Mapping[str, str]) -> str:
    """A CSS rule for each family's section. names: the family of each section's id."""
    own = {key: family_colour(name, place) for place, (key, name) in enumerate(names.items())}
    light = "".join(f"#{key}{{--own:{colour}}}" for key, colour in own.items())
    dark = "".join(f"#{key}{{--own:{DARK[colour]}}}" for key, colour in own.items())
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"
