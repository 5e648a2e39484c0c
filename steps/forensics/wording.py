"""Figures as the reports of all steps write them."""

from __future__ import annotations

_LEAST_SHOWN = 1e-300


def p_text(p_value: float) -> str:
    """A p-value, "under 1e-300" where it is too small to be told: no p-value is 0."""
    return "under 1e-300" if p_value < _LEAST_SHOWN else f"{p_value:.2g}"
