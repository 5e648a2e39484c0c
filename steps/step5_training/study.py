"""One Optuna study a family; the parent is its only writer.

A study has positions 0 .. trials-1. Each position ends in one final state, however often it was
interrupted on the way: an interrupted trial is marked failed and its parameters are tried again
under the same position. When all are final, the best one is run once more at full resolution where
the search used a coarser one, and the better record counts. The study's identity (table, folds,
search space, seed) is part of its name; results of another identity are never mixed in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState, create_trial

from gpu.params import Family
from gpu.protocol import PruneRule, TrainFailed, TrialDone
from steps.files import sha256_text
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.identity import BATCH
from steps.step5_training.predictions import PredictionFiles
from steps.step5_training.pruning import prune_rule
from steps.step5_training.sampler import propose
from steps.step5_training.settings import Settings
from steps.step5_training.trials import Finished, Planned, fold_means, past_trial, read_trial

INTERRUPTIONS_ALLOWED = 3


class FamilyStudy:
    """Asks for trials in batches and records what became of them."""

    def __init__(
        self,
        study: optuna.Study,
        spec: FamilySpec,
        space: SearchSpace,
        settings: Settings,
        folder: Path,
    ) -> None:
        self.family: Family = spec.family
        # Whether the trials of a batch train as one computation.
        self.fused = bool(spec.shared)
        self.name = study.study_name
        self.trials = settings.trials
        self.stopped: str | None = None
        self._study = study
        self._spec = spec
        self.space = space
        self._settings = settings
        self.files = PredictionFiles(folder)
        self._finished: dict[int, Finished] = {}
        self._again: list[tuple[int, dict[str, Any]]] = []
        self._pending: set[int] = set()
        self._trial_ids: dict[int, int] = {}
        self._confirmation: Finished | None = None
        self._confirmations_died = 0
        self._lost: set[int] = set()

    @property
    def finished(self) -> tuple[Finished, ...]:
        """Positions of the budget that are in a final state, in order."""
        return tuple(self._finished[i] for i in sorted(self._finished) if i < self.trials)

    @property
    def complete(self) -> tuple[Finished, ...]:
        """Finished trials that fitted every fold."""
        return tuple(t for t in self.finished if t.state is TrialState.COMPLETE)

    @property
    def searched_best(self) -> Finished | None:
        """The complete trial with the highest mean R2; the earlier one of equals."""
        return max(self.complete, key=lambda t: (t.mean_r2, -t.position), default=None)

    @property
    def best(self) -> Finished | None:
        """The searched best, or the same at full resolution where that has the higher mean R2."""
        coarse, full = self.searched_best, self.confirmation
        if coarse is None or full is None or full.mean_r2 < coarse.mean_r2:
            return coarse
        return full

    @property
    def confirmation(self) -> Finished | None:
        """The searched best at full resolution, complete; None while it is not known."""
        found, coarse = self._confirmation, self.searched_best
        if found is None or coarse is None or found.position != coarse.position:
            return None
        return found if found.state is TrialState.COMPLETE else None

    @property
    def pending(self) -> int:
        """Planned trials whose outcome is open."""
        return len(self._pending)

    @property
    def remaining(self) -> int:
        """Positions that are not in a final state; 0 once the study was stopped."""
        return 0 if self.stopped is not None else self.trials - len(self.finished)

    def predictions_path(self, position: int, *, full: bool = False) -> Path:
        """Where a trial's out-of-fold predictions lie; only the best trial's are kept."""
        return self.files.path(position, full=full)

    def best_predictions(self) -> NDArray[np.float64] | None:
        """Out-of-fold predictions of the best trial, (n_rows,), NaN outside the folds."""
        if (best := self.best) is None:
            return None
        return self.files.read(best.position, full=best is self.confirmation)

    def ask(self) -> list[Planned]:
        """The next batch; empty while one is open, or when everything is done.

        The last batch is cut short at the asked number of trials, so a study that is continued
        later to a larger number asks for the rest of it first.
        """
        if self._pending or self.stopped is not None:
            return []
        if self.remaining == 0:
            return self._ask_confirmation()
        if not self._again:
            start = len(self._finished)
            first = start - start % BATCH
            history = [past_trial(self._finished[i]) for i in range(first)]
            batch = propose(
                history, self.space, seed=self._seed(), count=BATCH, shared=self._spec.shared
            )
            stop = min(first + BATCH, self.trials)
            self._again = [(i, batch[i - first]) for i in range(start, stop)]
        rule = self._prune_rule()
        due = [again for again in self._again if again[0] < self.trials]
        # The rule comes from later trials now; what is done again must not be stopped by it.
        planned = [self._plan(*again, None if again[0] in self._lost else rule) for again in due]
        self._again = [again for again in self._again if again[0] >= self.trials]
        return planned

    def tell(self, planned: Planned, outcome: TrialDone | TrainFailed, wall_s: float) -> None:
        """Record an outcome at once; nothing is kept back until the batch is full."""
        storage, number = self._study._storage, planned.number
        trial_id = self._trial_ids[number]
        storage.set_trial_user_attr(trial_id, "wall_s", round(wall_s, 3))
        match outcome:
            case TrialDone():
                dumped = [score.model_dump(mode="json") for score in outcome.scores]
                storage.set_trial_user_attr(trial_id, "scores", dumped)
                storage.set_trial_user_attr(trial_id, "device", outcome.device)
                for step, mean in enumerate(fold_means(outcome.scores), start=1):
                    storage.set_trial_intermediate_value(trial_id, step, mean)
                state = TrialState.PRUNED if outcome.pruned else TrialState.COMPLETE
                value = None if outcome.pruned else fold_means(outcome.scores)[-1]
                self._study.tell(number, value, state=state)
            case TrainFailed():
                failure = f"{outcome.kind}: {outcome.message}"
                storage.set_trial_user_attr(trial_id, "failure", failure)
                self._study.tell(number, state=TrialState.FAIL)
        self._pending.discard(planned.position)
        finished = read_trial(storage.get_trial(trial_id))
        if planned.full:
            self._confirmation = finished
        else:
            self._finished[planned.position] = finished
        best = self.searched_best
        self.files.forget_others(self._pending, best.position if best else None)
        self._stop_if_nothing_works()

    def started(self, planned: Planned) -> None:
        """A worker has begun the trial; if the run dies now, the trial may be why."""
        storage, trial_id = self._study._storage, self._trial_ids[planned.number]
        storage.set_trial_user_attr(trial_id, "started", True)

    def postpone(self, planned: Planned) -> None:
        """Mark a trial failed that people or the clock cut off; its parameters are due again."""
        self._pending.discard(planned.position)
        trial_id = self._trial_ids[planned.number]
        self._cut_off(self._study._storage.get_trial(trial_id), "postponed")

    def again(self, planned: Planned) -> Planned:
        """The same trial once more, under the same position: its device was taken from it."""
        self.postpone(planned)
        mark = {"confirms" if planned.full else "position": planned.position}
        return self._create(planned.position, planned.values, planned.record, mark, planned.prune)

    def adopt(self) -> None:
        """Read an existing study: finished positions count, interrupted ones are due again."""
        latest: dict[int, FrozenTrial] = {}
        interruptions: dict[int, int] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if "confirms" in trial.user_attrs:
                self._adopt_confirmation(trial)
                continue
            position = trial.user_attrs.get("position")
            if position is None:
                continue  # a person added it by hand, with a dashboard perhaps
            latest[position] = trial
            if trial.state is TrialState.RUNNING:
                died = bool(trial.user_attrs.get("started"))
                self._cut_off(trial, "interrupted" if died else "postponed")
                interruptions[position] = interruptions.get(position, 0) + died
            elif trial.user_attrs.get("interrupted"):
                interruptions[position] = interruptions.get(position, 0) + 1
            elif not trial.user_attrs.get("postponed"):
                self._finished[position] = read_trial(trial)
        for position, trial in sorted(latest.items()):
            if position in self._finished:
                continue
            times = interruptions.get(position, 0)
            if times > INTERRUPTIONS_ALLOWED:
                self._finished[position] = read_trial(trial, f"interrupted {times} times")
            else:
                self._again.append((position, dict(trial.params)))
        # Without its out-of-fold predictions the best trial cannot be judged: once more.
        confirmed = self.confirmation
        if confirmed and not self.predictions_path(confirmed.position, full=True).exists():
            self._confirmation = None
        best = self.searched_best
        # That one only: the others' files are gone because they were not the best.
        if best is not None and not self.predictions_path(best.position).exists():
            self._finished.pop(best.position)
            self._again.append((best.position, best.values))
            self._lost.add(best.position)
        self._again.sort(key=lambda again: again[0])

    def _plan(self, position: int, values: dict[str, Any], rule: PruneRule | None) -> Planned:
        record = self._spec.complete(values, self._settings).model_dump(mode="json")
        return self._create(position, values, record, {"position": position}, rule)

    def _create(
        self,
        position: int,
        values: dict[str, Any],
        record: dict[str, Any],
        mark: dict[str, int],
        rule: PruneRule | None = None,
    ) -> Planned:
        """Create the trial whole, in one step: a kill leaves it entire or not at all."""
        storage = self._study._storage
        trial_id = storage.create_new_trial(
            self._study._study_id,
            template_trial=create_trial(
                state=TrialState.RUNNING,
                params=values,
                distributions=self.space,
                user_attrs={**mark, "record": record},
            ),
        )
        number = storage.get_trial(trial_id).number
        self._trial_ids[number] = trial_id
        self._pending.add(position)
        return Planned(number, position, values, record, rule, full="confirms" in mark)

    def _ask_confirmation(self) -> list[Planned]:
        """The best trial at full resolution; empty if that is known, failed, or no other record."""
        best = self.searched_best
        known = self._confirmation
        if best is None or (known is not None and known.position == best.position):
            return []
        record = {**best.record, **self._spec.full_resolution}
        if record == best.record or self._confirmations_died > INTERRUPTIONS_ALLOWED:
            return []
        return [self._create(best.position, best.values, record, {"confirms": best.position})]

    def _adopt_confirmation(self, trial: FrozenTrial) -> None:
        if trial.state is TrialState.RUNNING:
            died = bool(trial.user_attrs.get("started"))
            self._cut_off(trial, "interrupted" if died else "postponed")
            self._confirmations_died += died
        elif trial.state is TrialState.COMPLETE:
            self._confirmation = read_trial(trial)
        else:
            self._confirmations_died += bool(trial.user_attrs.get("interrupted"))

    def _prune_rule(self) -> PruneRule | None:
        """From whole batches only, so that it does not depend on what finished first."""
        first = len(self._finished) - len(self._finished) % BATCH
        known = [t for t in self.complete if t.position < first]
        scores = [[score.r2 for score in t.scores] for t in known]
        return prune_rule(scores) if self._settings.pruning else None

    def _seed(self) -> int:
        return int(sha256_text(f"{self._settings.seed}/{self.family}")[:8], 16)

    def _cut_off(self, trial: FrozenTrial, how: str) -> None:
        self._study._storage.set_trial_user_attr(trial._trial_id, how, True)
        self._study.tell(trial.number, state=TrialState.FAIL)

    def _stop_if_nothing_works(self) -> None:
        """Two whole batches without one success: the rest of the budget would fail as well."""
        failures = [t.failure for t in self.finished if t.state is TrialState.FAIL]
        if len(failures) == len(self._finished) >= 2 * BATCH:
            self.stopped = f"the first {len(failures)} trials all failed; {failures[-1]}"
