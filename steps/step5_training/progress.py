"""Where a study stands, for whoever looks while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpu.params import Family
from steps.contract import FamilyProgress, TrialNow
from steps.step5_training.study import FamilyStudy
from steps.step5_training.units import Live


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


def progress_of(
    studies: Mapping[Family, FamilyStudy], lives: Iterable[Live]
) -> dict[str, FamilyProgress]:
    """What every study tells people now. lives: the jobs that run."""
    running: dict[Family, list[TrialNow]] = {family: [] for family in studies}
    for live in lives:
        planned = live.planned
        now = TrialNow(
            trial=planned.position + 1 if planned else studies[live.family].trials,
            fold=live.folds_done,
            folds=planned.folds if planned else 0,
            device=live.device,
        )
        running[live.family].append(now)
    return {family: family_progress(studies[family], tuple(now)) for family, now in running.items()}
