"""Run the trials of all families, and their final fits, over one lease queue.

Each study asks for a batch and waits for all of it; while one waits, the others keep the devices
busy. The family with the most work left goes first, so that no study is left alone at the end. A
unit of work (a trial, a fused batch of trials, a final fit) holds one lease from start to end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from gpu.host.pool import Event, FoldFitted, JobEnded, JobStarted, Pool
from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed, TrialDone
from steps.contract import FamilyProgress, TrialNow
from steps.step5_training.comparison import TIME_IS_UP, Comparison, Orders
from steps.step5_training.final_fit import Places, final_fit_job
from steps.step5_training.limits import fit_limit_s, trial_limit_s
from steps.step5_training.placement import NetworkBudget
from steps.step5_training.progress import family_progress
from steps.step5_training.study import FamilyStudy
from steps.step5_training.trials import Planned
from steps.step5_training.units import Live, TrialShape, Unit, trial_units

POLL_S = 0.25
# Final fits are expected to take this many times their estimate when a time budget is kept.
RESERVE_FACTOR = 1.3


class Scheduler:
    """Drives studies and pool until every study is finished, time is up, or people say stop."""

    def __init__(
        self,
        studies: Mapping[Family, FamilyStudy],
        pool: Pool,
        places: Places,
        *,
        n_folds: int,
        seed: int,
        slots: int,
        budget: NetworkBudget,
        first_limit_s: float,
        orders: Callable[[], Orders],
        report: Callable[[dict[str, FamilyProgress], float | None, str], None],
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._studies = dict(studies)
        self._pool = pool
        self._shape = TrialShape(places, n_folds, seed)
        self._slots = slots
        self._budget = budget
        self._first_limit_s = first_limit_s
        self._orders = orders
        self._report = report
        self._deadline = deadline
        self._clock = clock
        self._wanted = Orders()
        self._queues: dict[Family, deque[Unit]] = {family: deque() for family in studies}
        self._live: dict[str, Live] = {}
        self._fits: dict[Family, tuple[FinalFit, FitDone | TrainFailed]] = {}
        self._fit_queued: set[Family] = set()
        self._off: dict[Family, str] = {}
        self._training_s = dict.fromkeys(studies, 0.0)
        self._fold_s: dict[Family, list[float]] = {family: [] for family in studies}
        self._out_of_time = False
        self._waited_since: float | None = None

    def run(self) -> Comparison:
        """Search, then refit the best trial of each family as soon as its study has ended."""
        stopped = None
        while not self._finished():
            orders = self._orders()
            if orders.stop is not None:
                stopped = orders.stop
                self._cancel(lambda _: True, orders.stop)
                break
            self._obey(orders)
            self._keep_time()
            self._fill()
            for event in self._pool.wait(POLL_S):
                self._take(event)
            self._report(self._progress(), self.time_left_s(), self._message())
        return Comparison(self._fits, self._off, self._training_s, stopped, self._out_of_time)

    def time_left_s(self) -> float | None:
        """Estimate of the time to the end; None until every family has fitted a fold."""
        work = [self._work_left_s(family) for family in self._studies]
        if any(seconds is None for seconds in work):
            left = None
        else:
            left = sum(seconds or 0.0 for seconds in work) / self._slots
        if self._deadline is None:
            return left
        to_deadline = max(0.0, self._deadline - self._clock())
        return to_deadline if left is None else min(left, to_deadline)

    def _finished(self) -> bool:
        return all(
            study.remaining == 0 and not study.pending and self._fit_settled(family)
            for family, study in self._studies.items()
        )

    def _fit_settled(self, family: Family) -> bool:
        settled = family in self._fits or family in self._off
        return settled or self._studies[family].best is None

    def _obey(self, orders: Orders) -> None:
        self._wanted = orders
        self._pool.persistent = orders.persistent
        for family, reason in orders.families_off.items():
            self._switch_off(family, reason)

    def _fill(self) -> None:
        """Give free devices to the family with the most work left, until none is free."""
        while True:
            for family, study in self._studies.items():
                if not self._queues[family]:
                    self._enqueue(family, study)
            waiting = [family for family in self._queues if self._may_start(family)]
            if not waiting:
                return
            family = max(waiting, key=self._urgency)
            unit = self._queues[family][0]
            if not self._pool.try_start(unit.work):
                self._note_wait()
                # While the devices are busy, the next worker can load its library.
                self._pool.prepare(family)
                return
            self._waited_since = None
            self._queues[family].popleft()
            self._live.update({live.job.id: live for live in unit.lives})

    def _may_start(self, family: Family) -> bool:
        if not self._queues[family]:
            return False
        most = self._wanted.tree_workers
        if family == "neural_net" or most == 0:
            return True
        return sum(live.family != "neural_net" for live in self._live.values()) < most

    def _enqueue(self, family: Family, study: FamilyStudy) -> None:
        units = trial_units(
            study,
            study.ask(),
            self._shape,
            limit_s=self._limit_s(family, study),
            # A fused batch fills one device; with devices to spare it is worth dividing.
            parts=self._slots // len(self._studies),
            networks=self._wanted.networks,
            budget=self._budget,
        )
        self._queues[family].extend(units)
        ended = study.remaining == 0 and not study.pending
        if ended and study.best is not None and family not in self._fit_queued:
            self._fit_queued.add(family)
            left = None if self._deadline is None else self._deadline - self._clock()
            limit = fit_limit_s(self._fit_estimate_s(family), left)
            fit = final_fit_job(study.best, family, self._shape.places, self._shape.seed, limit)
            self._queues[family].append(Unit(family, fit, (Live(family, fit, None),)))

    def _limit_s(self, family: Family, study: FamilyStudy) -> float:
        limit = trial_limit_s(self._fold_s[family], self._shape.n_folds, self._first_limit_s)
        # The next network may be many times larger than any before.
        return max(limit, self._first_limit_s) if study.fused else limit

    def _urgency(self, family: Family) -> float:
        """Most work left first; under a time budget nobody finishes, so the least served first."""
        if self._deadline is None:
            left = self._work_left_s(family)
            return float("inf") if left is None else left
        folds = self._fold_s[family]
        trial_s = self._shape.n_folds * sum(folds) / len(folds) if folds else 1.0
        running = sum(live.family == family for live in self._live.values())
        return -(self._training_s[family] + running * trial_s)

    def _work_left_s(self, family: Family) -> float | None:
        study = self._studies[family]
        if family in self._fits or family in self._off:
            return 0.0
        if not self._fold_s[family]:
            return None if study.remaining else 0.0
        # A resumed study knows its durations from the trials before.
        walls = [trial.wall_s for trial in study.finished]
        trial_s = sum(walls) / len(walls) if walls else 0.0
        return study.remaining * (trial_s or self._fit_estimate_s(family)) + self._fit_estimate_s(
            family
        )

    def _fit_estimate_s(self, family: Family) -> float:
        """A final fit sees more rows than a fold; its rounds are those of the best trial."""
        best = self._studies[family].best
        seconds = [s.duration_s for s in best.scores] if best else self._fold_s[family]
        if not seconds:
            return 0.0
        return sum(seconds) / len(seconds) * self._shape.n_folds / max(1, self._shape.n_folds - 1)

    def _keep_time(self) -> None:
        """When only the final fits still fit into the time budget, end the search."""
        if self._deadline is None or self._out_of_time:
            return
        due = [f for f in self._studies if f not in self._fits and f not in self._off]
        fits = [self._fit_estimate_s(family) for family in due]
        rounds = -(-len(fits) // self._slots)
        reserve = RESERVE_FACTOR * max([sum(fits) / self._slots, *fits, 0.0]) + 1.5 * rounds
        if self._clock() + reserve < self._deadline:
            return
        self._out_of_time = True
        for study in self._studies.values():
            # Also those that would still confirm their best trial.
            study.stopped = study.stopped or TIME_IS_UP
        self._cancel(lambda live: live.planned is not None, TIME_IS_UP)

    def _switch_off(self, family: Family, reason: str) -> None:
        study = self._studies.get(family)
        if study is None or family in self._fits or family in self._off:
            return
        study.stopped = reason
        self._off[family] = reason
        self._fit_queued.add(family)
        self._cancel(lambda live: live.family == family, reason)

    def _cancel(self, which: Callable[[Live], bool], reason: str) -> None:
        """End running and waiting jobs; their trials are due again when the study is resumed."""
        for queue in self._queues.values():
            for unit in [unit for unit in queue if any(map(which, unit.lives))]:
                queue.remove(unit)
                for live in unit.lives:
                    if live.planned is not None:
                        self._studies[live.family].postpone(live.planned)
        for job_id in [job_id for job_id, live in self._live.items() if which(live)]:
            # The end of one trial of a fused batch is the end of all of it.
            if any(job.id == job_id for job in self._pool.running):
                self._pool.cancel(job_id, reason)
        for event in self._pool.wait(0):
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case JobStarted():
                live = self._live[event.job.id]
                live.device, live.folds_done = event.device, 0
                if live.planned is not None and event.attempt == 1:
                    self._studies[live.family].started(live.planned)
            case FoldFitted():
                live = self._live[event.job.id]
                live.folds_done += 1
                self._fold_s[live.family].append(event.reply.score.duration_s)
            case JobEnded():
                self._end(self._live.pop(event.job.id), event)

    def _end(self, live: Live, event: JobEnded) -> None:
        study = self._studies[live.family]
        self._training_s[live.family] += event.wall_s
        match live.planned, event.outcome:
            case Planned() as planned, TrainFailed(kind="cancelled"):
                study.postpone(planned)
            case Planned() as planned, (TrialDone() | TrainFailed()) as outcome:
                self._budget.learn(outcome, live.networks, live.unit)
                study.tell(planned, outcome, event.wall_s)
            case None, (FitDone() | TrainFailed()) as outcome:
                assert isinstance(live.job, FinalFit)  # noqa: S101  # only fits have no plan
                self._fits.setdefault(live.family, (live.job, outcome))
                self._pool.retire(live.family)
            case _:
                raise TypeError(f"{live.job.id} was answered by {type(event.outcome).__name__}")

    def _note_wait(self) -> None:
        if not self._live and self._waited_since is None:
            self._waited_since = self._clock()

    def _message(self) -> str:
        if self._waited_since is None or self._live:
            return ""
        waited = self._clock() - self._waited_since
        return f"waiting for a device that another run holds ({waited:.0f} s)"

    def _progress(self) -> dict[str, FamilyProgress]:
        return {
            family: family_progress(
                study,
                tuple(
                    TrialNow(
                        trial=live.planned.position + 1 if live.planned else study.trials,
                        fold=live.folds_done,
                        folds=self._shape.n_folds if live.planned else 0,
                        device=live.device,
                    )
                    for live in self._live.values()
                    if live.family == family
                ),
            )
            for family, study in self._studies.items()
        }
