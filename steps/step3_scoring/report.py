"""Step 3's own page, for people: Markdown, what the table holds and what was left out of it."""

from __future__ import annotations

from steps.forensics.documents import REPORTS_FOLDER, ScorerConfig
from steps.step3_scoring.proven import ProvenCandidate
from steps.step3_scoring.scoring import Scored

REPORT_FILE = f"{REPORTS_FOLDER}/scoring.md"
_SHOWN = 20


def headline(scored: Scored, proven: int) -> str:
    """The sentence that a person reads first."""
    apart = f"; {_some(proven, 'proven candidate')} kept apart" if proven else ""
    if scored.nothing_to_learn is not None:
        return f"Nothing for a model to learn from: {scored.nothing_to_learn}{apart}."
    return (
        f"{_some(scored.survivors, 'survivor')} and {_some(scored.controls, 'control')} scored on "
        f"{len(scored.feature_names)} features, and by {scored.trials} draws held back{apart}."
    )


def scoring_report(
    scored: Scored, proven: tuple[ProvenCandidate, ...], config: ScorerConfig
) -> str:
    """The page of one run."""
    recency = (
        "all draws count alike"
        if config.recency_draws is None
        else f"a draw counts half as much {config.recency_draws} draws later"
    )
    lines = [
        "# Scoring",
        "",
        f"**{headline(scored, len(proven))}**",
        "",
        f"Evidence is weighed with a share of {config.corruption:.3g} wrong draws; {recency}; "
        f"lane weight {config.lane_weight:g}.",
        "",
        "| rows | |",
        "|---|--:|",
        f"| survivors in the table | {scored.survivors} |",
        f"| controls, drawn at random | {scored.controls} |",
        f"| left out: the same as a better candidate | {scored.copies} |",
        f"| left out: no draw of their stream was held back | {scored.unjudged} |",
        f"| kept apart: proven | {len(proven)} |",
        "",
        "## Features",
        "",
        f"In the table: {', '.join(scored.feature_names) or 'none'}.",
        "",
    ]
    lines += [f"- left out: {name}, {reason}" for name, reason in scored.dropped.items()]
    if proven:
        lines += [
            "",
            "## Proven candidates",
            "",
            "| generator | mapping | gap | stream | explains draws | matches | held back | p |",
            "|---|---|--:|---|---|--:|--:|--:|",
            *(_row(held) for held in proven[:_SHOWN]),
        ]
        if len(proven) > _SHOWN:
            lines += ["", f"{len(proven) - _SHOWN} more are in proven.json."]
    return "\n".join(lines) + "\n"


def _row(held: ProvenCandidate) -> str:
    found = held.candidate
    return (
        f"| {found.generator} | {found.mapping} | {found.gap} | {found.stream} "
        f"| {found.first} to {found.stop - 1} | {found.matches} of {found.compared} "
        f"| {held.holdout_hits} of {held.holdout_trials} | {held.p_value:.2g} |"
    )


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
