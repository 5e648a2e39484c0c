"""Render the index of runs: one row a run, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.views.report_page.inlined import security, style, template
from agents.views.report_page.palette import css_variables


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One run. link: to its page from the index, "" where it has none; problem: why nothing else
    is known of it, "" where it is.
    """

    run_id: str
    link: str
    when: str = ""
    verdict: str = ""
    winner: str = ""
    r2: str = ""
    table: str = ""
    rows: int = 0
    target: str = ""
    problem: str = ""


def render_index(name: str, rows: Sequence[IndexRow]) -> str:
    """The page. name: of the workspace."""
    return template("index.html.j2").render(
        name=name, rows=rows, css=style(css_variables()), security=security()
    )
