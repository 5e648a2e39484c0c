"""Write a study's trials into Optuna's storage; the parent is the only writer."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from gpu.protocol import TrainFailed, TrialDone
from steps.step5_training.families.base import SearchSpace
from steps.step5_training.trials import Planned, fold_means


class TrialRecords:
    """The trials of one study. n_folds: how many make a trial complete."""

    def __init__(self, study: optuna.Study, space: SearchSpace, n_folds: int) -> None:
        self._study = study
        self._storage = study._storage
        self._space = space
        self._n_folds = n_folds
        self._ids: dict[int, int] = {}

    def create(self, plan: Planned) -> int:
        """Create the trial whole, in one step, and return its number.

        A kill leaves it entire or not at all.
        """
        begun = {"begun": len(plan.begun)} if plan.begun else {}
        trial_id = self._storage.create_new_trial(
            self._study._study_id,
            template_trial=create_trial(
                state=TrialState.RUNNING,
                params=plan.values,
                distributions=self._space,
                user_attrs={plan.kind: plan.position, "record": plan.record, **begun},
            ),
        )
        number: int = self._storage.get_trial(trial_id).number
        self._ids[number] = trial_id
        return number

    def started(self, number: int) -> None:
        """A worker has begun the trial; if the run dies now, the trial may be why."""
        self._storage.set_trial_user_attr(self._ids[number], "started", True)

    def write(self, number: int, outcome: TrialDone | TrainFailed, wall_s: float) -> FrozenTrial:
        """Write what became of a trial and return it: complete, pruned or failed."""
        storage, trial_id = self._storage, self._ids[number]
        storage.set_trial_user_attr(trial_id, "wall_s", round(wall_s, 3))
        match outcome:
            case TrialDone():
                dumped = [score.model_dump(mode="json") for score in outcome.scores]
                storage.set_trial_user_attr(trial_id, "scores", dumped)
                storage.set_trial_user_attr(trial_id, "device", outcome.device)
                means = fold_means(outcome.scores)
                for step, mean in enumerate(means, start=1):
                    storage.set_trial_intermediate_value(trial_id, step, mean)
                whole = len(means) == self._n_folds
                state = TrialState.COMPLETE if whole else TrialState.PRUNED
                self._study.tell(number, means[-1] if whole else None, state=state)
            case TrainFailed():
                failure = f"{outcome.kind}: {outcome.message}"
                storage.set_trial_user_attr(trial_id, "failure", failure)
                self._study.tell(number, state=TrialState.FAIL)
        return storage.get_trial(trial_id)

    def postpone(self, number: int) -> None:
        """End a trial that people or the clock cut off."""
        self.cut_off(self._storage.get_trial(self._ids[number]), "postponed")

    def cut_off(self, trial: FrozenTrial, how: str) -> None:
        """End a trial without a result. how: the attribute that says why."""
        self._storage.set_trial_user_attr(trial._trial_id, how, True)
        self._study.tell(trial.number, state=TrialState.FAIL)
