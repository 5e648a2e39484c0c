"""What became of the positions of a study: in the search, as finalists, at full resolution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from steps.step5_training.finalists import finalist_count, ranking
from steps.step5_training.trials import KINDS, Finished, Planned, read_trial

INTERRUPTIONS_ALLOWED = 3
# So often a run may die with a batch of networks under way before each is trained alone: a death
# counts against all that were under way, and only one of them may be why.
INTERRUPTIONS_TOGETHER = 2


@dataclass(slots=True)
class Outcomes:
    """searched: how each position ended in the search; finals: those that went on to all folds.

    confirmation: a best trial at full resolution. died: how often a run ended with a trial of this
    kind and position under way.
    """

    searched: dict[int, Finished] = field(default_factory=dict)
    finals: dict[int, Finished] = field(default_factory=dict)
    confirmation: Finished | None = None
    died: Counter[tuple[str, int]] = field(default_factory=Counter)
    # By number of trials and folds, until another trial is ranked.
    _ranking: tuple[tuple[int, int], list[Finished]] | None = None

    def settle(self, finished: Finished, kind: str) -> None:
        """Take in what became of a trial of that kind (see KINDS)."""
        position = finished.position
        match kind:
            case "confirms":
                self.confirmation = finished
            case "completes":
                earlier = self.searched[position].wall_s if position in self.searched else 0.0
                self.finals[position] = replace(finished, wall_s=earlier + finished.wall_s)
            case _:
                self.searched[position] = finished
                self._ranking = None

    def forget(self, position: int) -> None:
        """The trial at this position is to be fitted once more."""
        if self.finals.pop(position, None) is None:
            self.searched.pop(position)
            self._ranking = None

    def finished(self, trials: int) -> tuple[Finished, ...]:
        """The first so many positions, as far as they are in a final state, in order."""
        merged = {**self.searched, **self.finals}
        return tuple(merged[i] for i in sorted(merged) if i < trials)

    def finalists(self, trials: int, folds: int, *, of: int | None = None) -> list[Finished]:
        """Of the first so many positions, those worth all folds, best first; as ranked so far.

        of: how many trials are searched in the end; None if the search ended now.
        """
        searched = [t for t in self.searched.values() if t.position < trials]
        if self._ranking is None or self._ranking[0] != (trials, folds):
            self._ranking = (trials, folds), ranking(searched, folds)
        failed = {i for i, t in self.finals.items() if t.state is TrialState.FAIL}
        count = finalist_count(len(searched) if of is None else of)
        # The next best take the places of those that failed.
        return [t for t in self._ranking[1] if t.position not in failed][:count]

    def fatal(self, kind: str, position: int | None = None) -> bool:
        """Whether runs died too often with trials of this kind (at this position) under way."""
        return self._deaths(kind, position) > INTERRUPTIONS_ALLOWED

    def all_failed(self, fewest: int) -> str | None:
        """In words, where all that has ended has failed, and so many trials at least."""
        for what, ended in (("trials", self.searched), ("finalists", self.finals)):
            failures = [t.failure for t in ended.values() if t.state is TrialState.FAIL]
            if len(failures) == len(ended) >= fewest:
                return f"the first {len(failures)} {what} all failed; {failures[-1]}"
        return None

    def suspect(self, planned: Planned) -> bool:
        """Whether runs died with this trial under way so often that it should run alone."""
        return self._deaths(planned.kind, planned.position) >= INTERRUPTIONS_TOGETHER

    def give_up(self, position: int) -> None:
        """Count a finalist as failed."""
        lost = replace(self.searched[position], state=TrialState.FAIL, scores=())
        times = self._deaths("completes", position)
        self.finals[position] = replace(lost, failure=f"interrupted {times} times")

    def _deaths(self, kind: str, position: int | None) -> int:
        return sum(n for (k, at), n in self.died.items() if k == kind and position in (None, at))

    def adopt(
        self, stored: Iterable[FrozenTrial], cut_off: Callable[[FrozenTrial, str], None]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Take in an existing study; returns positions of the search that are due again.

        cut_off: ends a trial that its run left open, and says how.
        """
        latest: dict[int, FrozenTrial] = {}
        for trial in stored:
            kind = next((kind for kind in KINDS if kind in trial.user_attrs), None)
            if kind is None:
                continue  # a person added it by hand, with a dashboard perhaps
            position = trial.user_attrs[kind]
            if kind == "position":
                latest[position] = trial
            if trial.state is TrialState.RUNNING:
                died = bool(trial.user_attrs.get("started"))
                cut_off(trial, "interrupted" if died else "postponed")
                self.died[kind, position] += died
            elif trial.user_attrs.get("interrupted"):
                self.died[kind, position] += 1
            elif kind == "confirms" and trial.state is TrialState.FAIL:
                continue  # a resumed study tries once more
            elif not trial.user_attrs.get("postponed"):
                self.settle(read_trial(trial), kind)
        again = []
        for position, trial in sorted(latest.items()):
            if position in self.searched:
                continue
            times = self.died["position", position]
            if times > INTERRUPTIONS_ALLOWED:
                self.settle(read_trial(trial, f"interrupted {times} times"), "position")
            else:
                again.append((position, dict(trial.params)))
        return again
