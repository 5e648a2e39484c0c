"""training_diagnostics.json: what is known of every family's health after a run of Step 5.

Step 5 writes it; reports, trackers and people read it. What is not known is None or empty, and
named in `absent`: an empty place never means healthy.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from gpu.protocol.observations import Attribution, Curve, Importance, NetworkHealth
from steps.contract import Estimate, Frozen, Note, Scores, Signal

SCHEMA_VERSION = 2
FOLDER = "diagnostics_outputs"
FILE = "training_diagnostics.json"
HISTORY = "history"
# Of one family, beside its checkpoint.
FAMILY_FILE = "diagnostics.json"
_EARLIER = re.compile(r".+-attempt\d+")


class Finding(Frozen):
    """One thing that a metric says. level "info": over the bound, and harmless here.

    code: what the retry loop's rules match. metric, value, bound: what was measured, and the bound
    of the policy that it passed; None where the finding is no number. meaning: one sentence.
    remedy: what to change, in words; change: the parameter and value that the retry loop would
    give it, where there is a rule and room inside the bounds.
    """

    level: Literal["info", "warning", "critical"]
    code: str
    message: str
    metric: str | None = None
    value: float | None = None
    bound: float | None = None
    meaning: str = ""
    remedy: str = ""
    change: dict[str, Any] | None = None


class FoldHealth(Frozen):
    """One fold of the best trial; losses are mean squared errors in squared target units."""

    fold: int
    r2: float
    train_mse: float
    val_mse: float
    best_round: int
    rounds_run: int
    duration_s: float


class Histogram(Frozen):
    """counts[i] values lie in [edges[i], edges[i + 1]), the last bin closed."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Residuals(Frozen):
    """Predictions against targets: a sample of rows, and all of them in bins.

    rows: numbers in the table, from 0. part: whether holdout or out-of-fold predictions. The
    calibration has a point for each tenth of the rows by prediction: their mean prediction and
    their mean target.
    """

    part: Literal["holdout", "out_of_fold"]
    rows: tuple[int, ...]
    targets: tuple[float, ...]
    predictions: tuple[float, ...]
    errors: Histogram
    calibration: tuple[tuple[float, float], ...]


class TrialRow(Frozen):
    """One trial of the search. score: mean R2 over all folds, None unless complete.

    ranked: mean R2 over the first folds, which all trials are ranked by; None for one that failed
    or was stopped before it had them.
    """

    position: int
    state: Literal["complete", "pruned", "failed"]
    score: float | None
    ranked: float | None = None
    folds: int
    duration_s: float
    params: dict[str, Any]
    failure: str = ""


class FamilyDiagnostics(Frozen):
    """What is known of one family.

    metrics: by the names of the policy's metric_bounds, and others. seconds: wall time by phase
    (search, load, fit, predict, observe). trials: thinned in a long search; trials_complete,
    trials_pruned, trials_failed count all of them. parameter_importance: shares that sum to 1.
    absent: sentences that say what is not known, and why.
    """

    severity: Literal["ok", "warning", "critical"]
    findings: tuple[Finding, ...]
    status: Literal["complete", "failed", "skipped", "stopped"]
    error: str | None = None
    cv: Scores | None = None
    holdout: Scores | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    folds: tuple[FoldHealth, ...] = ()
    curves: tuple[Curve, ...] = ()
    final_curve: Curve | None = None
    importances: tuple[Importance, ...] = ()
    attributions: tuple[Attribution, ...] = ()
    network: NetworkHealth | None = None
    residuals: tuple[Residuals, ...] = ()
    trials: tuple[TrialRow, ...] = ()
    trials_complete: int = 0
    trials_pruned: int = 0
    trials_failed: int = 0
    parameter_importance: dict[str, float] = Field(default_factory=dict)
    params: dict[str, Any] | None = None
    rounds: int | None = None
    folds_pruned: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_rss_mib: float | None = None
    peak_vram_mib: float | None = None
    devices: tuple[str, ...] = ()
    checkpoint: str | None = None
    absent: tuple[str, ...] = ()


class PairComparison(Frozen):
    """The best family against another: is it really better?

    Differences are best minus other, with paired bootstrap intervals. p_value: of a sign-flip
    test of the squared errors of the holdout, corrected for the number of comparisons.
    """

    best: str
    other: str
    cv_r2: Estimate
    holdout_r2: Estimate
    p_value: float
    verdict: Literal["better", "tie"]


class TableFacts(Frozen):
    """The table that was learnt from. target: its distribution. kinds: one a feature."""

    path: str
    rows: int
    feature_names: tuple[str, ...]
    kinds: tuple[str, ...]
    target_name: str
    target: Histogram
    target_mean: float
    target_sd: float
    search_rows: int
    holdout_rows: int
    folds: int
    split: str
    fingerprint: str


class RunFacts(Frozen):
    """Where the models come from. params: every parameter of the step. seconds: by phase."""

    step: int
    attempt: int
    params: dict[str, Any]
    versions: dict[str, str]
    devices: tuple[str, ...]
    seconds: dict[str, float]
    splits_fingerprint: str


class TrainingDiagnostics(Frozen):
    """The file. signal: the verdict on the table as a whole; collected: False where people have
    switched diagnostics off."""

    schema_version: Literal[2] = 2
    run_id: str
    created_at: datetime
    headline: str
    collected: bool
    winner: str | None
    signal: Signal | None
    families: dict[str, FamilyDiagnostics]
    comparisons: tuple[PairComparison, ...] = ()
    table: TableFacts | None = None
    run: RunFacts | None = None
    notes: tuple[Note, ...] = ()


def earlier_name(run_id: str, attempt: int) -> str:
    """The name in the history, without .json, of an attempt that a later one has replaced."""
    return f"{run_id}-attempt{attempt}"


def is_earlier_attempt(name: str) -> bool:
    """Whether a name in the history, without .json, is of such an attempt and not of a run."""
    return _EARLIER.fullmatch(name) is not None


class FamilyPart(Frozen):
    """The part of one family, as it lies beside its checkpoint."""

    schema_version: Literal[2] = 2
    run_id: str
    family: str
    feature_names: tuple[str, ...]
    diagnostics: FamilyDiagnostics
