"""Foresee how long work takes, from what was measured so far; all times in seconds.

What it cannot know yet is None, and never a guess that looks like a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from gpu.host.devices import Device
from gpu.params import Family
from steps.step5_training.limits import fit_limit_s, trial_limit_s
from steps.step5_training.study import FamilyStudy

# Final fits are expected to take this many times their estimate when a time budget is kept.
RESERVE_FACTOR = 1.3
# And so long until a fit has begun and its end is noticed.
ROUND_S = 1.5
# What full resolution takes of a coarse fit's time, roughly (benchmarks/bins.py): for the order of
# work only, until it has been seen.
FULL_FACTOR = 2.0


class Timing:
    """The durations of a run. deadline: of the monotonic clock, None without a time budget.

    devices_of: the devices that serve a family now; families either share all of theirs or none.
    training_s: device time by family.
    """

    def __init__(
        self,
        studies: Mapping[Family, FamilyStudy],
        *,
        n_folds: int,
        devices_of: Callable[[Family], Sequence[Device]],
        first_limit_s: float,
        deadline: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._devices_of = devices_of
        self.training_s = dict.fromkeys(studies, 0.0)
        self._studies = studies
        self._n_folds = n_folds
        self._first_limit_s = first_limit_s
        self._deadline = deadline
        self._clock = clock
        self._fold_s: dict[Family, list[float]] = {family: [] for family in studies}

    def fold_fitted(self, family: Family, duration_s: float) -> None:
        """A fold of a trial has taken so long."""
        self._fold_s[family].append(duration_s)

    def left_s(self, settled: Collection[Family]) -> float | None:
        """Estimate of the time to the end; None until every family has fitted a fold.

        settled: families that have their final fit, or will have none.
        """
        left: float | None = 0.0
        for slots, families in self._groups():
            work = [self._work_left_s(family, settled) for family in families]
            if left is None or any(seconds is None for seconds in work):
                left = None
            else:
                left = max(left, sum(seconds or 0.0 for seconds in work) / slots)
        if self._deadline is None:
            return left
        to_deadline = max(0.0, self._deadline - self._clock())
        return to_deadline if left is None else min(left, to_deadline)

    def trial_limit_s(self, study: FamilyStudy) -> float:
        """When a trial is taken to hang."""
        limit = trial_limit_s(self._fold_s[study.family], self._n_folds, self._first_limit_s)
        # The next network may be many times larger than any before.
        return max(limit, self._first_limit_s) if study.fused else limit

    def fit_limit_s(self, family: Family) -> float:
        """When a final fit is taken to hang, or to be too late for the time budget."""
        left = None if self._deadline is None else self._deadline - self._clock()
        limit = fit_limit_s(self._fit_s(family), left)
        # A network takes longer alone than as a part of a stack, by how much is not known.
        alone = left is None and self._studies[family].fused
        return max(limit, self._first_limit_s) if alone else limit

    def urgency(self, family: Family, running: int) -> float:
        """Who would take longest with all devices first, so that no last fit is waited for alone.

        Under a time budget nobody finishes, so the least served first. running: jobs of the family
        that have a device now.
        """
        if self._deadline is None:
            left = self._work_left_s(family, ())
            if left is None:
                return float("inf")
            last = self._last_s(family)
            return (left - last) / max(1, len(self._devices_of(family))) + last
        folds = self._fold_s[family]
        ranked = self._studies[family].ranking_folds
        trial_s = ranked * sum(folds) / len(folds) if folds else 1.0
        return -(self.training_s[family] + running * trial_s)

    def only_left(self, settled: Collection[Family], *, finalists: bool) -> bool:
        """Whether no more than the final fits that are due still fits into the time budget.

        finalists: those and the finalists, as if the search ended now.
        """
        if self._deadline is None:
            return False
        reserves = [
            self._reserve_s([f for f in families if f not in settled], slots, finalists=finalists)
            for slots, families in self._groups()
        ]
        return self._clock() + max(reserves) >= self._deadline

    def _reserve_s(self, families: Sequence[Family], slots: int, *, finalists: bool) -> float:
        """What the last work of families that share their devices takes."""
        work, longest, rounds = 0.0, 0.0, 0
        for family in families:
            study = self._studies[family]
            fit_s = self._fit_s(family)
            trials, folds = study.finalists_due if finalists else (0, 0)
            finals_s = trials * folds * self._mean_fold_s(family)
            # Finalists that are trained as one computation take one device all the time.
            alone = finals_s if study.fused or not trials else finals_s / trials
            work, longest = work + fit_s + finals_s, max(longest, fit_s + alone)
            rounds += 1 + (trials > 0)
        return RESERVE_FACTOR * max(work / slots, longest) + ROUND_S * -(-rounds // slots)

    def _groups(self) -> list[tuple[int, list[Family]]]:
        """Families that share their devices, with the number of these."""
        groups: dict[tuple[Device, ...], list[Family]] = {}
        for family in self._studies:
            groups.setdefault(tuple(self._devices_of(family)), []).append(family)
        return [(max(1, len(devices)), families) for devices, families in groups.items()]

    def _work_left_s(self, family: Family, settled: Collection[Family]) -> float | None:
        study = self._studies[family]
        if family in settled:
            return 0.0
        if not self._fold_s[family]:
            return None if study.folds_due else 0.0
        return study.folds_due * self._mean_fold_s(family) + self._last_s(family)

    def _last_s(self, family: Family) -> float:
        """What is done one after the other at the end: the best trial once more, the final fit."""
        fit_s, study = self._fit_s(family), self._studies[family]
        if not study.full_to_come:
            return fit_s
        return FULL_FACTOR * (self._n_folds * self._mean_fold_s(family) + fit_s)

    def _mean_fold_s(self, family: Family) -> float:
        # A resumed study knows its durations from the trials before.
        finished = [trial for trial in self._studies[family].finished if trial.scores]
        walls = sum(trial.wall_s for trial in finished)
        folds = sum(len(trial.scores) for trial in finished)
        if folds and walls:
            return walls / folds
        seconds = self._fold_s[family]
        return sum(seconds) / len(seconds) if seconds else 0.0

    def _fit_s(self, family: Family) -> float:
        """A final fit sees more rows than a fold; its rounds are those of the best trial."""
        best = self._studies[family].leading
        seconds = [s.duration_s for s in best.scores] if best else self._fold_s[family]
        if not seconds:
            return 0.0
        return sum(seconds) / len(seconds) * self._n_folds / max(1, self._n_folds - 1)
