"""One Optuna study a family; the parent is its only writer.

A study has positions 0 .. trials-1. Each position ends in one final state, however often it was
interrupted on the way: an interrupted trial is marked failed and its parameters are tried again
under the same position. The search fits the first folds of each; when all are done, the finalists
go on to all folds (see finalists.py), and the best one is run once more at full resolution where
the search used a coarser one, and the better record counts. The study's identity (table, folds,
search space, seed) is part of its name; results of another identity are never mixed in.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

from gpu.params import Family
from gpu.protocol import PruneRule, TrainFailed, TrialDone
from steps.files import sha256_text
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.finalists import finalist_count, ranking_folds, search_folds
from steps.step5_training.outcomes import Outcomes
from steps.step5_training.predictions import PredictionFiles
from steps.step5_training.pruning import full_rule, prune_rule
from steps.step5_training.records import TrialRecords
from steps.step5_training.sampler import propose
from steps.step5_training.settings import Settings
from steps.step5_training.trials import Finished, Planned, past_trial, read_trial

_FAILURES = 8  # so many without one success: the rest would fail as well


class FamilyStudy:
    """Asks for trials in batches and records what became of them."""

    def __init__(
        self,
        study: optuna.Study,
        spec: FamilySpec,
        space: SearchSpace,
        settings: Settings,
        folder: Path,
        val_rows: int,
    ) -> None:
        self.family: Family = spec.family
        # Whether trials train as one computation: those that have these values in common.
        self.fused, self.shared = bool(spec.shared), spec.shared
        self.name = study.study_name
        self.trials, self._per_ask = settings.trials, settings.trials_per_ask
        self.n_folds = settings.k_folds
        self.ranking_folds = ranking_folds(settings, val_rows)
        self._search_folds = search_folds(settings, val_rows)
        # Why nothing more is asked; why the search asks no more, but its finalists go on.
        self.stopped: str | None = None
        self.search_ended: str | None = None
        self._study = study
        self._spec = spec
        self.space = space
        self._settings = settings
        self.files = PredictionFiles(folder)
        self._outcomes = Outcomes()
        self._seed = int(sha256_text(f"{settings.seed}/{spec.family}")[:8], 16)
        self._again: list[tuple[int, dict[str, Any]]] = []
        self._pending: set[int] = set()
        self._records = TrialRecords(study, space, settings.k_folds)
        # Trials that are due again because their predictions are lost, as they were found.
        self._lost: dict[int, Finished] = {}

    @property
    def finished(self) -> tuple[Finished, ...]:
        """Positions of the budget that are in a final state, in order."""
        return self._outcomes.finished(self.trials)

    @property
    def complete(self) -> tuple[Finished, ...]:
        """Finished trials that fitted every fold."""
        return tuple(t for t in self.finished if t.state is TrialState.COMPLETE)

    @property
    def leading(self) -> Finished | None:
        """The best trial so far: while none is complete, of those that are ranked."""
        return self.best or next(iter(self._finalists()), None)

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
        found = self.tried_full
        return found if found is not None and found.state is TrialState.COMPLETE else None

    @property
    def tried_full(self) -> Finished | None:
        """The searched best at full resolution, perhaps stopped because it was behind."""
        found, coarse = self._outcomes.confirmation, self.searched_best
        if found is None or coarse is None or found.position != coarse.position:
            return None
        return None if found.state is TrialState.FAIL else found

    @property
    def full_to_come(self) -> bool:
        """Whether the best trial will be run at full resolution, as far as is known."""
        coarse = self._settings.coarse_bins and bool(self._spec.full_resolution)
        return coarse and self.tried_full is None and self.stopped is None

    @property
    def remaining(self) -> int:
        """Positions that the search has still to fit; 0 once it was ended."""
        if self.stopped is not None or self.search_ended is not None:
            return 0
        return self.trials - sum(i < self.trials for i in self._outcomes.searched)

    @property
    def ended(self) -> bool:
        """Whether it will not ask for a trial again and waits for none; a confirmation aside."""
        if self._pending or self.remaining:
            return False
        return self.stopped is not None or not self._due_finalists()

    @property
    def finalists_due(self) -> tuple[int, int]:
        """How many trials would go on to all folds if the search ended now, and on how many."""
        due = [] if self.stopped is not None else self._due_finalists()
        return len(due), self.n_folds - self.ranking_folds

    @property
    def in_question(self) -> set[int]:
        """Positions that have their first folds and may still go on to the others."""
        in_question = {t.position for t in self._finalists(of=self.trials)}
        return in_question - {t.position for t in self.complete}

    @property
    def cut_off(self) -> set[int]:
        """Positions that should have gone on to all folds, were it not for a stop or the clock."""
        due = {t.position for t in self._due_finalists()}
        return due if self.search_ended is not None else self.in_question

    @property
    def folds_due(self) -> int:
        """Fold fits that are still to be done, running ones included; a confirmation aside."""
        finalists, folds = self.finalists_due
        if self.remaining and self._search_folds < self.n_folds:
            finalists = finalist_count(self.trials)
        return self.remaining * self._search_folds + finalists * folds

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
            return self._ask_finalists() or self._ask_confirmation()
        if not self._again:
            start = len(self._outcomes.searched)
            past = [past_trial(trial, self.ranking_folds) for trial in self._whole_batches()]
            first, shared = len(past), self._spec.shared
            batch = propose(past, self.space, seed=self._seed, count=self._per_ask, shared=shared)
            stop = min(first + self._per_ask, self.trials)
            self._again = [(i, batch[i - first]) for i in range(start, stop)]
        rule = self._prune_rule()
        due = [again for again in self._again if again[0] < self.trials]
        # The rule comes from later trials now; what is done again must not be stopped by it.
        planned = [self._plan(*again, None if again[0] in self._lost else rule) for again in due]
        self._again = [again for again in self._again if again[0] >= self.trials]
        return planned

    def tell(self, planned: Planned, outcome: TrialDone | TrainFailed, wall_s: float) -> None:
        """Record an outcome at once; nothing is kept back until the batch is full."""
        written = self._records.write(planned.number, outcome, wall_s)
        self._pending.discard(planned.position)
        self._outcomes.settle(read_trial(written), planned.kind)
        best, keep = self.searched_best, {*self._pending, *self.in_question}
        self.files.forget_others(keep, best.position if best else None)
        # Looked at when a batch has ended: it must not matter which trial of it ends first.
        if self.best is None and not self._pending:
            self.stopped = self.stopped or self._outcomes.all_failed(_FAILURES)

    def started(self, planned: Planned) -> None:
        """A worker has begun the trial; if the run dies now, the trial may be why."""
        self._records.started(planned.number)

    def postpone(self, planned: Planned) -> None:
        """Mark a trial failed that people or the clock cut off; its parameters are due again."""
        self._pending.discard(planned.position)
        self._records.postpone(planned.number)

    def again(self, planned: Planned) -> Planned:
        """The same trial once more, under the same position: its device was taken from it."""
        self.postpone(planned)
        return self._create(planned)

    def adopt(self) -> None:
        """Read an existing study: finished positions count, interrupted ones are due again."""
        stored = self._study.get_trials(deepcopy=False)
        self._again += self._outcomes.adopt(stored, self._records.cut_off)
        # Without its out-of-fold predictions the best trial cannot be judged: once more.
        confirmed = self.confirmation
        if confirmed and not self.files.usable(confirmed.position, full=True):
            self._outcomes.confirmation = None
        best = self.searched_best
        # That one only: the others' files are gone because they were not the best.
        if best is not None and not self.files.usable(best.position):
            self._outcomes.forget(best.position)
            self._lost[best.position] = best
            if best.position not in self._outcomes.searched:
                self._again.append((best.position, best.values))
        self._again.sort(key=lambda again: again[0])

    def _plan(self, position: int, values: dict[str, Any], rule: PruneRule | None) -> Planned:
        record = self._spec.complete(values, self._settings).model_dump(mode="json")
        folds = self.n_folds if position in self._lost else self._search_folds
        return self._create(Planned(-1, position, values, record, rule, folds))

    def _create(self, plan: Planned) -> Planned:
        number = self._records.create(plan)
        self._pending.add(plan.position)
        return replace(plan, number=number, suspect=self._outcomes.suspect(plan))

    def _finalists(self, of: int | None = None) -> list[Finished]:
        return self._outcomes.finalists(self.trials, self.ranking_folds, of=of)

    def _due_finalists(self) -> list[Finished]:
        """As if the search ended now."""
        known = {t.position for t in self.complete} | self._outcomes.finals.keys()
        lost = [t for i, t in self._outcomes.searched.items() if i in self._lost.keys() - known]
        due = {t.position: t for t in [*lost, *self._finalists()] if t.position not in known}
        return list(due.values())

    def _ask_finalists(self) -> list[Planned]:
        """The finalists that are not complete, each with the folds that it has."""
        planned = []
        while due := self._due_finalists():
            fatal = [t.position for t in due if self._outcomes.fatal("completes", t.position)]
            if not fatal:
                break
            for position in fatal:
                self._outcomes.give_up(position)
        # Networks of a batch end together, so what is cut off is no more than one batch.
        for trial in due[: self._per_ask] if self.fused else due:
            # Of the predictions of its folds no copy is anywhere else: gone, they are made again.
            kept = self.files.usable(trial.position)
            begun = trial.scores[: self.ranking_folds] if kept else ()
            plan = Planned(-1, trial.position, trial.values, trial.record, None, self.n_folds)
            planned.append(self._create(replace(plan, begun=begun, finalist=True)))
        return planned

    def _ask_confirmation(self) -> list[Planned]:
        """The best trial at full resolution; empty if that is known, failed, or no other record."""
        best = self.searched_best
        known = self._outcomes.confirmation
        if best is None or (known is not None and known.position == best.position):
            return []
        record = {**best.record, **self._spec.full_resolution}
        if record == best.record or self._outcomes.fatal("confirms"):
            return []
        rule = full_rule([s.r2 for s in best.scores]) if self._settings.pruning else None
        plan = Planned(-1, best.position, best.values, record, rule, self.n_folds, full=True)
        return [self._create(plan)]

    def _whole_batches(self) -> list[Finished]:
        """The search's trials but those of a batch that is open: of them nothing may depend."""
        # A lost trial counts as it was found: what is asked next depends on it.
        searched = {**self._lost, **self._outcomes.searched}
        whole = len(searched) // self._per_ask * self._per_ask
        return [searched[i] for i in range(whole) if i in searched]

    def _prune_rule(self) -> PruneRule | None:
        folds = self.ranking_folds
        ranked = [t.scores[:folds] for t in self._whole_batches() if len(t.scores) >= folds]
        scores = [[score.r2 for score in trial] for trial in ranked]
        return prune_rule(scores) if self._settings.pruning else None
