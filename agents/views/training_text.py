"""The report of a run as text: for a terminal, or as Markdown for a file and a mail."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agents.reports.training.lineage import Lineage
from agents.reports.training.words import (
    LEVEL_WORDS,
    VerdictWords,
    estimate_text,
    health_words,
    ordered,
    scores_of,
    tie_or_better,
    trial_counts,
    trials_by_state,
    verdict_words,
)
from agents.views.family_scores import error_text, families_result
from agents.views.screen import bullets, heading, mark, pairs
from steps.contract import FamilyResult, StepResult
from steps.contract.diagnostics import FamilyDiagnostics, Finding, TrainingDiagnostics

_TONE_STYLE = {
    "strong": "bold green",
    "weak": "bold yellow",
    "none": "bold red",
    "leaked": "bold red",
    "failed": "bold red",
}
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$&])")


def show_text(
    console: Console, diagnostics: TrainingDiagnostics, lineage: Lineage, source: str
) -> None:
    """The whole of --report --text; Markdown where the answer does not go to a terminal."""
    if console.is_terminal:
        _show(console, diagnostics, verdict_words(diagnostics, lineage), source)
    else:
        console.print(Text(markdown(diagnostics, lineage, source)), soft_wrap=True, end="")


def markdown(diagnostics: TrainingDiagnostics, lineage: Lineage, source: str) -> str:
    """The report as Markdown (CommonMark with tables)."""
    verdict = verdict_words(diagnostics, lineage)
    lines = [f"# {_md(verdict.title)}", ""]
    compared = [f"- {_md(said)}" for said in tie_or_better(diagnostics)]
    lines += compared if verdict.has_winner else []
    lines += [*(f"- {_md(said)}" for said in verdict.sentences), ""]
    if verdict.command:
        fence = "`" * (3 + max((len(run) for run in re.findall("`+", verdict.command)), default=0))
        lines += [f"Run again without what leaks. {_md(verdict.remark)}".strip(), ""]
        lines += [f"{fence}sh", verdict.command, fence, ""]
    if alarm := _not_known(diagnostics):
        lines += [f"**Not known:** {_md(said)}" for said in alarm] + [""]
    lines += ["## Families", ""]
    lines += _md_table(
        ("family", "CV R2", "holdout R2", "RMSE", "MAE", "trials", "health"),
        [_cells(name, family, diagnostics) for name, family in ordered(diagnostics)],
    )
    lines += [] if verdict.has_winner else ["", *compared]
    for name, family in ordered(diagnostics):
        if family.findings:
            lines += ["", f"### {_md(name)}", ""]
            lines += [f"- **{LEVEL_WORDS[f.level]}**: {_md(_said(f))}" for f in family.findings]
    lines += ["", "## Data and run", "", *(f"- {_md(k)}: {_md(v)}" for k, v in _facts(diagnostics))]
    lines += [
        "",
        *(f"- {LEVEL_WORDS[note.level]}: {_md(note.message)}" for note in diagnostics.notes),
    ]
    lines += ["", f"From {_md(source)}; `watcher --report {diagnostics.run_id}` makes the page."]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _show(
    console: Console, diagnostics: TrainingDiagnostics, verdict: VerdictWords, source: str
) -> None:
    heading(console, verdict.title, _TONE_STYLE[verdict.tone])
    compared: list[Text | str] = [*tie_or_better(diagnostics)]
    bullets(console, [*(compared if verdict.has_winner else ()), *verdict.sentences])
    if verdict.command:
        console.print()
        heading(console, f"Run again without what leaks. {verdict.remark}".strip())
        console.print(Text(f"  {verdict.command}"), soft_wrap=True)
    for said in _not_known(diagnostics):
        console.print()
        console.print(mark("warning", said))
    console.print()
    families_result(console, _as_result(diagnostics), source)
    if not verdict.has_winner and compared:
        bullets(console, compared)
    console.print()
    heading(console, "Health")
    pairs(
        console,
        [
            (name, health_words(family, collected=diagnostics.collected))
            for name, family in ordered(diagnostics)
        ],
    )
    found: list[Text | str] = [
        mark(f.level, f"{name}: {_said(f)}")
        for name, family in ordered(diagnostics)
        for f in family.findings
    ]
    if found:
        console.print()
        heading(console, "Findings")
        bullets(console, found)
    console.print()
    heading(console, "Data and run")
    pairs(console, _facts(diagnostics))
    notes: list[Text | str] = [mark(note.level, note.message) for note in diagnostics.notes]
    if notes:
        bullets(console, notes)
    console.print()
    line = f"With charts: watcher --report {diagnostics.run_id} --open"
    console.print(Text(line, style="dim"), soft_wrap=True)


def _as_result(diagnostics: TrainingDiagnostics) -> StepResult:
    """The scores in the form in which a run's end shows them."""
    counts = {name: trials_by_state(family) for name, family in ordered(diagnostics)}
    families = {
        name: FamilyResult(
            status=family.status,
            severity=family.severity,
            cv=family.cv,
            holdout=family.holdout,
            trials_complete=counts[name]["complete"],
            trials_pruned=counts[name]["pruned"],
            trials_failed=counts[name]["failed"],
            training_s=family.seconds.get("search", sum(t.duration_s for t in family.trials)),
            error=family.error,
        )
        for name, family in ordered(diagnostics)
    }
    run = diagnostics.run
    return StepResult(
        run_id=diagnostics.run_id,
        step=run.step if run is not None else 5,
        attempt=run.attempt if run is not None else 1,
        status="complete",
        headline=diagnostics.headline,
        families=families,
        winner=diagnostics.winner,
    )


def _not_known(diagnostics: TrainingDiagnostics) -> list[str]:
    if not diagnostics.collected:
        return ["diagnostics are switched off in the policy, so the models' health is not known"]
    return [
        f"{name}: {' '.join(family.absent)}"
        for name, family in diagnostics.families.items()
        if family.absent
    ]


def _said(finding: Finding) -> str:
    parts = [finding.message, finding.meaning]
    parts += [f"Remedy: {finding.remedy}"] if finding.remedy else []
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _facts(diagnostics: TrainingDiagnostics) -> list[tuple[str, str]]:
    table, run = diagnostics.table, diagnostics.run
    facts = [("run", f"{diagnostics.run_id}, {diagnostics.created_at:%Y-%m-%d %H:%M}")]
    if table is not None:
        facts.append(
            (
                "table",
                f"{table.path}: {table.rows:,} rows, {len(table.feature_names)} features, target "
                f"{table.target_name}",
            )
        )
        facts.append(
            (
                "split",
                f"{table.split}: {table.search_rows:,} rows in {table.folds} folds, "
                f"{table.holdout_rows:,} held out",
            )
        )
    if run is not None:
        facts.append(("devices", ", ".join(run.devices) or "not known"))
    return facts


def _cells(
    name: str, family: FamilyDiagnostics, diagnostics: TrainingDiagnostics
) -> tuple[str, ...]:
    scores = scores_of(family)
    return (
        f"{name} (winner)" if name == diagnostics.winner else name,
        estimate_text(family.cv.r2, least=3) if family.cv is not None else "-",
        estimate_text(family.holdout.r2, least=3) if family.holdout is not None else "-",
        error_text(scores.rmse.value) if scores is not None else "-",
        error_text(scores.mae.value) if scores is not None else "-",
        trial_counts(family) or "-",
        f"{family.severity}: {health_words(family, collected=diagnostics.collected)}",
    )


def _md_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    return lines + [f"| {' | '.join(_md(cell) for cell in row)} |" for row in rows]


def _md(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
