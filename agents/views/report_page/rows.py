"""The rows of the report's tables, every cell a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agents.durations import words
from agents.reports.training.lineage import Lineage
from agents.reports.training.words import (
    estimate_text,
    memory_words,
    scores_of,
    time_words,
    trial_counts,
    trials_by_state,
)
from agents.views.family_scores import error_text, r2_text
from agents.views.report_page.inlined import compact
from steps.contract.diagnostics import FamilyDiagnostics, TrainingDiagnostics

_NONE = "–"
_BEST_TRIALS = 10
_SHA = 12
_MOVERS = 3
Row = tuple[str, ...]


def score_row(name: str, family: FamilyDiagnostics) -> Row:
    """A family beside the others."""
    scores = scores_of(family)
    spearman = scores.spearman if scores is not None else None
    return (
        name,
        family.severity,
        _two_lines(estimate_text(family.cv.r2, least=3)) if family.cv is not None else _NONE,
        _two_lines(estimate_text(family.holdout.r2, least=3))
        if family.holdout is not None
        else _NONE,
        error_text(scores.rmse.value) if scores is not None else _NONE,
        error_text(scores.mae.value) if scores is not None else _NONE,
        f"{spearman.value:.3f}" if spearman is not None else _NONE,
        _two_lines(trial_counts(family)) or _NONE,
        time_words(family) or _NONE,
        memory_words(family) or _NONE,
    )


def _two_lines(text: str) -> str:
    """A value with what is in parentheses below it."""
    return text.replace(" (", "\n(", 1)


def fold_rows(family: FamilyDiagnostics) -> tuple[Row, ...]:
    """The folds of the best trial."""
    return tuple(
        (
            str(fold.fold),
            r2_text(fold.r2),
            error_text(fold.train_mse),
            error_text(fold.val_mse),
            f"{fold.val_mse / fold.train_mse:.3g}" if fold.train_mse > 0 else _NONE,
            f"{fold.best_round:,}",
            f"{fold.rounds_run:,}",
            words(fold.duration_s),
        )
        for fold in family.folds
    )


def attribution_rows(family: FamilyDiagnostics, features: Sequence[str]) -> tuple[Row, ...]:
    """The rows that were taken apart, with what moved each most."""
    rows = []
    for row in family.attributions:
        if len(row.contributions) != len(features):
            continue
        error = row.target - row.prediction
        moved = sorted(range(len(features)), key=lambda i: -abs(row.contributions[i]))[:_MOVERS]
        said = ", ".join(f"{features[i]} {_signed(row.contributions[i])}" for i in moved)
        rows.append(
            (
                str(row.row),
                row.which,
                error_text(row.target),
                error_text(row.prediction),
                _signed(error),
                said,
            )
        )
    return tuple(rows)


def _signed(value: float) -> str:
    return f"+{error_text(value)}" if value > 0 else error_text(value)


def cost_rows(family: FamilyDiagnostics) -> tuple[Row, ...]:
    """What a family took, and where."""
    rows = [(phase, words(took_s)) for phase, took_s in family.seconds.items()]
    rows += [("peak memory", memory_words(family))] if memory_words(family) else []
    rows += [("devices", ", ".join(family.devices))] if family.devices else []
    rows += [("checkpoint", family.checkpoint)] if family.checkpoint is not None else []
    return tuple(rows)


def best_rows(family: FamilyDiagnostics) -> tuple[Row, ...]:
    """The best trials of a family."""
    scored = [(trial, trial.score) for trial in family.trials if trial.score is not None]
    best = sorted(scored, key=lambda pair: -pair[1])[:_BEST_TRIALS]
    return tuple(
        (str(t.position), r2_text(score), words(t.duration_s), _listed(t.params))
        for t, score in best
    )


def param_rows(params: Mapping[str, Any]) -> tuple[Row, ...]:
    """Parameters by name; their last digits are in the diagnostics."""
    return tuple((name, _value(value)) for name, value in params.items())


def _listed(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in params.items())


def _value(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else compact(value)


def failure_rows(family: FamilyDiagnostics) -> tuple[Row, ...]:
    """Why trials failed, and how many."""
    failed = Counter(t.failure or "no reason kept" for t in family.trials if t.state == "failed")
    others = trials_by_state(family)["failed"] - failed.total()
    rows = [(reason, str(count)) for reason, count in failed.most_common()]
    rows += [("in trials that are not shown here", str(others))] if others > 0 else []
    return tuple(rows)


def table_rows(diagnostics: TrainingDiagnostics) -> list[Row]:
    """What is known of the table."""
    table = diagnostics.table
    if table is None:
        return []
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(table.kinds).most_common())
    return [
        ("file", table.path),
        ("rows", f"{table.rows:,}"),
        ("features", f"{len(table.feature_names)} ({kinds})"),
        ("target", table.target_name),
        ("search", f"{table.search_rows:,} rows in {table.folds} folds"),
        ("holdout", f"{table.holdout_rows:,} rows that no search has seen"),
        ("split", table.split),
        ("fingerprint", table.fingerprint),
    ]


def feature_rows(diagnostics: TrainingDiagnostics) -> list[Row]:
    """Name and kind of every feature."""
    table = diagnostics.table
    return list(zip(table.feature_names, table.kinds, strict=False)) if table is not None else []


def run_param_rows(diagnostics: TrainingDiagnostics, lineage: Lineage) -> list[Row]:
    """Every parameter of the step with its origin."""
    run = diagnostics.run
    if run is None:
        return []
    unknown = "not known" if lineage.absent else "default"
    return [
        (name, compact(value), lineage.origins.get(name, unknown))
        for name, value in run.params.items()
    ]


def phase_rows(diagnostics: TrainingDiagnostics) -> list[Row]:
    """Seconds by phase."""
    run = diagnostics.run
    return [(phase, words(took_s)) for phase, took_s in run.seconds.items()] if run else []


def place_rows(diagnostics: TrainingDiagnostics, lineage: Lineage) -> list[Row]:
    """Attempt, folder, devices, fingerprint."""
    run = diagnostics.run
    if run is None:
        return []
    rows = [("step", f"{run.step}, attempt {run.attempt}")]
    rows += [("folder", lineage.folder)] if lineage.folder else []
    rows += [("devices", ", ".join(run.devices) or "not known")]
    rows += [("splits", run.splits_fingerprint)]
    return list(rows)


def version_rows(diagnostics: TrainingDiagnostics) -> list[Row]:
    """Versions by library."""
    return list(diagnostics.run.versions.items()) if diagnostics.run is not None else []


def lineage_rows(lineage: Lineage) -> list[Row]:
    """Files that the attempt has read and written."""
    rows: list[Row] = []
    for what, files in (("read", lineage.inputs), ("written", lineage.outputs)):
        for file in files:
            made = f"run {file.run_id}, step {file.step}" if file.run_id else "not by a run here"
            rows.append(
                (file.path, what, file.sha256[:_SHA], made if what == "read" else "this run")
            )
    return rows
