"""Where a study stands, for whoever looks while it runs."""

from __future__ import annotations

from steps.contract import FamilyProgress, TrialNow
from steps.step5_training.study import FamilyStudy


def family_progress(study: FamilyStudy, running: tuple[TrialNow, ...]) -> FamilyProgress:
    """Where one study stands."""
    # What may still go on to all folds is in no final state.
    in_question = study.in_question
    states = [t.state.name for t in study.finished if t.position not in in_question]
    return FamilyProgress(
        trials=study.trials,
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        best=study.leading.mean_r2 if study.leading else None,
        running=running,
    )
