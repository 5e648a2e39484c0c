"""Render the report of one run as one HTML file: the verdict first, then what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.reports.training.lineage import Lineage
from agents.reports.training.words import (
    health_words,
    ordered,
    tie_or_better,
    verdict_words,
)
from agents.views.report_page import rows
from agents.views.report_page.charts.figure import Chart
from agents.views.report_page.charts.network import network_charts
from agents.views.report_page.charts.parallel import parallel_chart
from agents.views.report_page.charts.residuals import (
    calibration_chart,
    errors_chart,
    residuals_chart,
)
from agents.views.report_page.charts.scores import scores_chart, target_chart
from agents.views.report_page.charts.search import (
    history_chart,
    parameter_importance_chart,
)
from agents.views.report_page.charts.training import (
    attributions_chart,
    curves_chart,
    importances_chart,
)
from agents.views.report_page.inlined import (
    data,
    plotly_script,
    script,
    security,
    style,
    template,
)
from agents.views.report_page.palette import DARK, css_variables, family_rules
from steps.contract.diagnostics import FamilyDiagnostics, Finding, TrainingDiagnostics


@dataclass(frozen=True, slots=True)
class _Section:
    """One family's part of the page. key: its id there, of our own making."""

    key: str
    name: str
    family: FamilyDiagnostics
    health: str
    is_winner: bool
    is_open: bool
    is_network: bool
    unit: str
    learning: tuple[Chart, ...]
    features: tuple[Chart, ...]
    errors: tuple[Chart, ...]
    network: tuple[Chart, ...]
    search: tuple[Chart, ...]
    fold_rows: tuple[rows.Row, ...]
    attribution_rows: tuple[rows.Row, ...]
    param_rows: tuple[rows.Row, ...]
    cost_rows: tuple[rows.Row, ...]
    best_rows: tuple[rows.Row, ...]
    failure_rows: tuple[rows.Row, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All of them."""
        return (*self.learning, *self.features, *self.errors, *self.network, *self.search)


def render_report(diagnostics: TrainingDiagnostics, lineage: Lineage, source: str) -> str:
    """The page. diagnostics: as they may be shown; source: the file they were read from."""
    sections = _sections(diagnostics)
    scores = _charts(scores_chart(diagnostics))
    history = _charts(history_chart(diagnostics))
    target = _charts(target_chart(diagnostics))
    charts = [*scores, *history, *target, *(c for s in sections for c in s.charts)]
    own, library = script("report.js"), plotly_script()
    colours = family_rules({section.key: section.name for section in sections})
    signal = diagnostics.signal
    return template("report.html.j2").render(
        d=diagnostics,
        verdict=verdict_words(diagnostics, lineage),
        excluded=(signal.exclude_features or signal.leaked_features) if signal else (),
        compared=tie_or_better(diagnostics),
        alarms=_alarms(diagnostics),
        attention=_attention(sections),
        sections=sections,
        scores=scores,
        history=history,
        target=target,
        score_rows=[rows.score_row(s.name, s.family) for s in sections],
        table_rows=rows.table_rows(diagnostics),
        feature_rows=rows.feature_rows(diagnostics),
        run_param_rows=rows.run_param_rows(diagnostics, lineage),
        phase_rows=rows.phase_rows(diagnostics),
        version_rows=rows.version_rows(diagnostics),
        place_rows=rows.place_rows(diagnostics, lineage),
        lineage_rows=rows.lineage_rows(lineage),
        lineage=lineage,
        source=source,
        css=style(css_variables(), colours),
        charts_json=data({"charts": {c.key: c.figure for c in charts}, "dark": DARK}),
        plotly=library,
        script=own,
        security=security(library, own),
    )


def _sections(diagnostics: TrainingDiagnostics) -> tuple[_Section, ...]:
    table = diagnostics.table
    features = table.feature_names if table is not None else ()
    return tuple(
        _section(f"f{place}", name, family, features, diagnostics, is_open=not place)
        for place, (name, family) in enumerate(ordered(diagnostics))
    )


def _section(
    key: str,
    name: str,
    family: FamilyDiagnostics,
    features: Sequence[str],
    diagnostics: TrainingDiagnostics,
    *,
    is_open: bool,
) -> _Section:
    # Without the table's names a feature is still told from another by its place.
    count = len(family.importances[0].values) if family.importances else 0
    named = features or tuple(f"feature {place}" for place in range(count))
    return _Section(
        key=key,
        name=name,
        family=family,
        health=health_words(family, collected=diagnostics.collected),
        is_winner=name == diagnostics.winner,
        is_open=is_open,
        unit="epoch" if name == "neural_net" else "round",
        is_network=name == "neural_net" or family.network is not None,
        learning=_charts(curves_chart(key, name, family)),
        features=_charts(
            importances_chart(key, family, named), attributions_chart(key, family, named)
        ),
        errors=_charts(
            residuals_chart(key, family), errors_chart(key, family), calibration_chart(key, family)
        ),
        network=network_charts(key, family, named),
        search=_charts(parameter_importance_chart(key, family), parallel_chart(key, family)),
        fold_rows=rows.fold_rows(family),
        attribution_rows=rows.attribution_rows(family, named),
        param_rows=rows.param_rows(family.params or {}),
        cost_rows=rows.cost_rows(family),
        best_rows=rows.best_rows(family),
        failure_rows=rows.failure_rows(family),
    )


def _charts(*charts: Chart | None) -> tuple[Chart, ...]:
    return tuple(chart for chart in charts if chart is not None)


def _alarms(diagnostics: TrainingDiagnostics) -> list[str]:
    """What is not known of the whole run, said where nobody can miss it."""
    said = []
    if not diagnostics.collected:
        said.append(
            "The health of these models is not known: training.diagnostics is false in the policy, "
            "so nothing was observed while they trained."
        )
    for name, family in diagnostics.families.items():
        if diagnostics.collected and family.absent:
            said.append(f"{name} was not observed in full: {' '.join(family.absent)}")
    return said


def _attention(sections: Sequence[_Section]) -> list[tuple[_Section, Finding]]:
    found = [
        (section, finding)
        for section in sections
        for finding in section.family.findings
        if finding.level != "info"
    ]
    return sorted(found, key=lambda pair: pair[1].level != "critical")
