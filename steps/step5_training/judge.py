"""Score every family that has a model, choose the best, and say what the scores are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optuna.trial import TrialState

from steps.contract import Note, Signal
from steps.step5_training.comparison import Comparison
from steps.step5_training.diagnosis.observed import read_observed
from steps.step5_training.ensemble import compare_blend
from steps.step5_training.evaluate import Evaluation, Vector, evaluate
from steps.step5_training.folds import Splits
from steps.step5_training.judged import Judged
from steps.step5_training.judged_rows import JudgedRows, dependent_rows, rows_to_judge
from steps.step5_training.leaks import LeakFinding
from steps.step5_training.leaks.reconstruction import leaks_of_model
from steps.step5_training.paired import compare_families, comparison_note
from steps.step5_training.permutation import holdout_test, out_of_fold_test
from steps.step5_training.preflight import leak_note
from steps.step5_training.settings import Settings
from steps.step5_training.signal import Evidence, judge_signal
from steps.step5_training.studies import Studies
from steps.tables import Table


def judge(
    studies: Studies,
    comparison: Comparison,
    table: Table,
    splits: Splits,
    leaks: Sequence[LeakFinding],
    notes: Sequence[Note],
    settings: Settings,
) -> Judged:
    """Scores, verdicts and the comparison of families.

    The best is chosen by cross-validation alone. leaks, notes: what was found before training.
    """
    out_of_fold, holdout = studies.predictions(comparison, table.n_rows, splits.holdout_rows)
    if not out_of_fold:
        return Judged(comparison, tuple(notes))
    y, seed = table.y, settings.seed
    units = dependent_rows(table, settings.split)
    cv = evaluate(y, out_of_fold, [fold.val_rows for fold in splits.folds], seed, units)
    held = evaluate(y, holdout, [splits.holdout_rows], seed, units)
    with_model = [family for family in studies.by_family if family in out_of_fold]
    best = max(with_model, key=lambda family: cv.scores[family].r2.value)
    rows = rows_to_judge(table, splits)
    judged_cv, judged_held = cv, held
    if rows.left_out and not rows.too_few:
        judged_cv = evaluate(y, out_of_fold, rows.folds, seed, units)
        judged_held = evaluate(y, holdout, [rows.holdout], seed, units)
    job, _ = comparison.fits[best]
    importances = read_observed(None, (), job, table.n_features).fit.importances
    told = {leak.features for leak in leaks}
    known = {name for leak in leaks for name in leak.features}
    # What a model knows by heart is no score to be suspicious of.
    reached = -math.inf if rows.too_few else judged_held.scores[best].r2.value
    by_model = [
        leak
        for leak in leaks_of_model(table, importances, reached, known)
        if leak.features not in told
    ]
    signals = judge_families(
        table,
        rows,
        out_of_fold,
        holdout,
        judged_cv,
        judged_held,
        [*leaks, *by_model],
        hypotheses=count_hypotheses(studies, settings.k_folds),
        settings=settings,
    )
    said = [*notes, *(leak_note(table, leak) for leak in by_model)]
    # Copies of trained rows tell which family learns by heart, not which is better.
    comparisons = (
        ()
        if rows.too_few
        else compare_families(best, y, holdout, rows.holdout, judged_cv, judged_held, seed, units)
    )
    if comparisons and signals[best].verdict != "none":
        said.append(comparison_note(comparisons))
        said.append(compare_blend(best, y, out_of_fold, holdout, rows.holdout))
    return Judged(comparison, tuple(said), cv, held, best, signals, comparisons)


def judge_families(
    table: Table,
    rows: JudgedRows,
    out_of_fold: Mapping[str, Vector],
    holdout: Mapping[str, Vector],
    cv: Evaluation,
    held: Evaluation,
    leaks: Sequence[LeakFinding],
    *,
    hypotheses: int,
    settings: Settings,
) -> dict[str, Signal]:
    """The verdict on each family. rows: no model was trained on them under another number; cv and
    held are the scores on them."""
    y, seed = table.y, settings.seed
    units = dependent_rows(table, settings.split)
    holdout_p = holdout_test(y, holdout, rows.holdout, seed, units)
    # With split time, a fold's rows train later folds only.
    mutual = settings.split != "time"
    cv_p = out_of_fold_test(y, out_of_fold, rows.folds, hypotheses, units, mutual=mutual)
    return {
        family: judge_signal(
            Evidence(
                cv=cv.scores[family],
                holdout=held.scores[family],
                holdout_p=holdout_p[family],
                cv_p=cv_p[family],
                families=len(out_of_fold),
                hypotheses=hypotheses,
                left_out=rows.left_out,
                too_few=rows.too_few,
            ),
            leaks,
            settings.exclude_features,
        )
        for family in out_of_fold
    }


def count_hypotheses(studies: Studies, n_folds: int) -> int:
    """Folds times the trials of all families that trained: of these the best was taken.

    Each fold of a trial counts, for it chose its round on the rows that it is scored on.
    """
    trials = 0
    for study in studies.by_family.values():
        trials += sum(trial.state is not TrialState.FAIL for trial in study.finished)
        trials += study.tried_full is not None
    return max(1, trials) * n_folds
