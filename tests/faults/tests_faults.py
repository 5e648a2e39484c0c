"""The search that fault tests disturb, and what must be true of it at the end."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from tests_integration import Workspace

from steps.step5_training.finalists import finalist_count

# Seconds of search, so that a fault finds it at work.
TREES = {
    "compare_models": False,
    "model_type": "lightgbm",
    "trials": 8,
    "n_estimators": 200,
    "target": "price",
}


def states(workspace: Workspace) -> dict[str, list[str]]:
    """Optuna's state of every trial of each study."""
    storage = f"sqlite:///{workspace.root}/optuna_studies/step5.db"
    return {
        name: [t.state.name for t in optuna.load_study(study_name=name, storage=storage).trials]
        for name in optuna.get_all_study_names(storage)
    }


def check_trials(found: Sequence[str], count: int) -> None:
    """Every trial once, in a final state; its finalists and the best at full resolution as well."""
    assert not {"RUNNING", "WAITING"} & set(found)
    counted = found.count("COMPLETE") + found.count("PRUNED")
    assert counted == count + finalist_count(count) + 1


def check_same_end(workspace: Workspace, undisturbed: Workspace) -> None:
    """The model in force is the one that the same search comes to undisturbed."""
    one, other = workspace.sidecar(), undisturbed.sidecar()
    assert one["params"] == other["params"]
    assert one["metrics"]["cv"] == other["metrics"]["cv"]
    assert one["metrics"]["holdout"] == other["metrics"]["holdout"]
