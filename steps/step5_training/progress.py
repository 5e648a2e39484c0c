"""Where a study stands, for whoever looks while it runs."""

from __future__ import annotations

from steps.contract import FamilyProgress, TrialNow
from steps.step5_training.study import FamilyStudy


def family_progress(study: FamilyStudy, running: tuple[TrialNow, ...]) -> FamilyProgress:
    """Where one study stands."""
    states = [trial.state.name for trial in study.finished]
    return FamilyProgress(
        trials=study.trials,
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        best=study.leading.mean_r2 if study.leading else None,
        running=running,
    )
