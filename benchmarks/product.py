"""Way (a): this product's own command, in a workspace made for the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.measure import Measured, run_measured
from benchmarks.tables import ROOT, BenchError
from benchmarks.work import FamilyOutcome, Outcome, Work
from gpu.params import FAMILIES, Family

POLICIES = "watcher_policies.json"


def run_product(
    work: Work, *, same_fits: bool, folder: Path, environment: dict[str, str]
) -> tuple[Measured, Outcome]:
    """Run Step 5 once in the empty folder; raises BenchError when it fails or leaves a gap.

    same_fits: every fold of every trial at full resolution, as the plain loops do.
    """
    policy = json.loads((ROOT / POLICIES).read_text(encoding="utf-8"))
    policy["training"]["families"] = {family: family in work.families for family in FAMILIES}
    policy["training"]["use_gpus"] = False
    (folder / POLICIES).write_text(json.dumps(policy), encoding="utf-8")
    shortcuts = {"pruning": False, "coarse_bins": False} if same_fits else {}
    params = work.params(compare_models=True, **shortcuts)
    argv = [sys.executable, "-m", "agents", "--run-pipeline", "--start-step", "5"]
    argv += ["--end-step", "5", "--params", json.dumps(params)]
    measured = run_measured(argv, folder, environment)
    return measured, _read_outcome(folder, work)


def _read_outcome(folder: Path, work: Work) -> Outcome:
    diagnostics = json.loads(
        (folder / "diagnostics_outputs" / "training_diagnostics.json").read_text(encoding="utf-8")
    )
    storage = f"sqlite:///{folder / 'optuna_studies' / 'step5.db'}"
    names = optuna.get_all_study_names(storage)
    outcomes: dict[Family, FamilyOutcome] = {}
    for family in work.families:
        found = [name for name in names if f"-{family}-" in name]
        if len(found) != 1:
            raise BenchError(f"{storage}: {len(found)} studies of {family}, expected one")
        trials = optuna.load_study(study_name=found[0], storage=storage).get_trials()
        complete = [trial.value for trial in trials if trial.state is TrialState.COMPLETE]
        if not complete:
            raise BenchError(f"{found[0]}: no trial is complete, so there is nothing to compare")
        outcomes[family] = FamilyOutcome(
            best_cv_r2=max(value for value in complete if value is not None),
            holdout_r2=diagnostics["families"][family]["holdout"]["r2"]["value"],
            trials_done=sum(
                t.state in (TrialState.COMPLETE, TrialState.PRUNED) and "position" in t.user_attrs
                for t in trials
            ),
            # A finalist's scores begin with those that the search gave it.
            fold_fits=sum(
                len(t.user_attrs["scores"]) - t.user_attrs.get("begun", 0)
                for t in trials
                if "scores" in t.user_attrs
            ),
            draws=tuple(
                trial.params
                for trial in sorted(trials, key=_position)
                if "position" in trial.user_attrs
            ),
        )
    return Outcome(families=outcomes)


def _position(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("position", -1))
