"""Run the trials of all families, and their final fits, over one lease queue.

Each study asks for a batch and waits for all of it; while one waits, the others keep the devices
busy. The family with the most work left goes first, so that no study is left alone at the end. A
unit of work (a trial, a fused batch of trials, a final fit) holds one lease from start to end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gpu.host.devices import Device, devices_of
from gpu.host.pool import Event, FoldFitted, JobEnded, JobStarted, Pool
from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed, TrialDone
from steps.contract import FamilyProgress
from steps.step5_training.comparison import TIME_IS_UP, Comparison, Gpus, Orders
from steps.step5_training.final_fit import Places, final_fit_job
from steps.step5_training.placement import Placement
from steps.step5_training.progress import progress_of
from steps.step5_training.study import FamilyStudy
from steps.step5_training.timing import Timing
from steps.step5_training.trials import Finished, Planned
from steps.step5_training.units import Live, TrialShape, Unit, trial_units

POLL_S = 0.25


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
        placement: Placement,
        first_limit_s: float,
        orders: Callable[[], Orders],
        report: Callable[[dict[str, FamilyProgress], float | None, str], None],
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._studies = dict(studies)
        self._pool = pool
        self._shape = TrialShape(places, seed)
        self._placement = placement
        self._orders = orders
        self._report = report
        self._clock = clock
        self._wanted = Orders()
        self._queues: dict[Family, deque[Unit]] = {family: deque() for family in studies}
        self._live: dict[str, Live] = {}
        self._fits: dict[Family, tuple[FinalFit, FitDone | TrainFailed]] = {}
        self._fit_queued: set[Family] = set()
        self._off: dict[Family, str] = {}
        self._cut_off: list[Live] = []
        self._timing = Timing(
            self._studies,
            n_folds=n_folds,
            devices_of=self._devices_of,
            first_limit_s=first_limit_s,
            deadline=deadline,
            clock=clock,
        )
        self._search_over = self._only_fits = False  # the time budget is used up
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
            if orders.last is not None and not self._live:
                stopped = orders.last
                self._cancel(lambda _: True, orders.last)
                break
            self._obey(orders)
            self._keep_time()
            if orders.last is None:
                self._fill()
            self._tell()  # before the wait, while what runs is running
            for event in self._pool.wait(POLL_S):
                self._take(event)
        self._tell()
        spent = self._timing.training_s
        return Comparison(self._fits, self._off, spent, stopped, self._search_over)

    def _tell(self) -> None:
        progress = progress_of(self._studies, self._live.values())
        self._report(progress, self._timing.left_s(self._settled()), self._message())

    def _finished(self) -> bool:
        settled = self._settled()
        return all(s.ended and (f in settled or s.best is None) for f, s in self._studies.items())

    def _settled(self) -> set[Family]:
        return self._fits.keys() | self._off.keys()

    def _obey(self, orders: Orders) -> None:
        self._wanted = orders
        self._pool.persistent = orders.persistent
        for family, reason in orders.families_off.items():
            self._switch_off(family, reason)
        self._move(orders.gpus)

    def _fill(self) -> None:
        """Give free devices to the families with the most work left, until none is free."""
        while self._start_one():
            self._waited_since = None

    def _start_one(self) -> bool:
        """Start the most urgent unit that has a free device; whether there was one."""
        for family, study in self._studies.items():
            if not self._queues[family]:
                self._enqueue(family, study)
        waiting = [family for family in self._queues if self._may_start(family)]
        waiting.sort(key=lambda f: -self._timing.urgency(f, self._running(f)))
        busy: list[Sequence[Device]] = []
        for family in waiting:
            if (devices := self._devices_of(family)) in busy:
                continue
            unit = self._queues[family][0]
            best = self._studies[family].best
            if isinstance(unit.work, FinalFit) and best is not None:
                unit = self._fit_unit(family, best)  # what time is left is known only now
            if self._pool.try_start(unit.work):
                self._queues[family].popleft()
                self._live.update({live.job.id: live for live in unit.lives})
                return True
            self._note_wait()
            # While the devices are busy, the next worker can load its library.
            self._pool.prepare(family)
            busy.append(devices)
        return False

    def _devices_of(self, family: Family) -> tuple[Device, ...]:
        return devices_of(family, self._placement.plan.devices)

    def _may_start(self, family: Family) -> bool:
        if not self._queues[family]:
            return False
        most = self._wanted.tree_workers
        if family == "neural_net" or most == 0:
            return True
        return sum(live.family != "neural_net" for live in self._live.values()) < most

    def _enqueue(self, family: Family, study: FamilyStudy) -> None:
        self._queues[family].extend(self._units(study, study.ask()))
        if study.ended and study.best is not None and family not in self._fit_queued:
            self._fit_queued.add(family)
            self._queues[family].append(self._fit_unit(family, study.best))

    def _fit_unit(self, family: Family, best: Finished) -> Unit:
        limit = self._timing.fit_limit_s(family)
        observed = self._wanted.diagnostics
        fit = final_fit_job(
            best, family, self._shape.places, self._shape.seed, limit, observed=observed
        )
        return Unit(family, fit, (Live(family, fit, None),))

    def _units(self, study: FamilyStudy, planned: Sequence[Planned]) -> list[Unit]:
        devices = self._devices_of(study.family)
        rivals = [f for f, s in self._studies.items() if not s.ended]
        sharing = sum(self._devices_of(family) == devices for family in rivals)
        return trial_units(
            study,
            planned,
            self._shape,
            limit_s=self._timing.trial_limit_s(study),
            # A fused batch fills one device; with devices to spare it is worth dividing.
            parts=len(devices) // max(1, sharing),
            networks=self._wanted.networks,
            observed=self._wanted.diagnostics,
            budget=self._placement.budget,
        )

    def _running(self, family: Family) -> int:
        return sum(live.family == family for live in self._live.values())

    def _keep_time(self) -> None:
        """End the search while its finalists still fit into the time budget, and these in turn."""
        settled = self._settled()
        if not self._search_over and self._timing.only_left(settled, finalists=True):
            self._search_over = True
            for study in self._studies.values():
                study.search_ended = TIME_IS_UP
            self._cancel(lambda live: live.searches, TIME_IS_UP)
        if not self._only_fits and self._timing.only_left(settled, finalists=False):
            self._only_fits = True
            for study in self._studies.values():
                # Also those that would still confirm their best trial.
                study.stopped = study.stopped or TIME_IS_UP
            self._cancel(lambda live: live.planned is not None, TIME_IS_UP)

    def _switch_off(self, family: Family, reason: str) -> None:
        study = self._studies.get(family)
        if study is None or family in self._settled():
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
        for live in self._take_cut_off():
            if live.planned is not None:
                self._studies[live.family].postpone(live.planned)

    def _move(self, gpus: Gpus) -> None:
        """Use the GPUs that are allowed now; what is cut off by that begins again elsewhere."""
        reason = "its GPU is switched off by policy"
        moved = self._placement.follow(
            gpus,
            lambda plan: self._pool.use(plan.devices, threads=plan.threads, reason=reason),
        )
        if not moved:
            return
        cut_off = self._take_cut_off()
        for family, study in self._studies.items():
            own = [live for live in cut_off if live.family == family]
            waiting = [live for unit in self._queues[family] for live in unit.lives]
            due = [study.again(live.planned) for live in own if live.planned is not None]
            # What waited is divided anew: it was meant for devices of another number and size.
            due += [live.planned for live in waiting if live.planned is not None]
            self._queues[family] = deque(self._units(study, due))
            if study.best is not None and any(live.planned is None for live in [*own, *waiting]):
                self._queues[family].append(self._fit_unit(family, study.best))
        if cut_off:
            names = ", ".join(live.job.id for live in cut_off)
            self._placement.say(f"begun again because their GPU was switched off: {names}")

    def _take_cut_off(self) -> list[Live]:
        """Take what has happened; returns jobs that were cut off, whose fate is to be decided."""
        for event in self._pool.wait(0):
            self._take(event)
        cut_off, self._cut_off = self._cut_off, []
        return cut_off

    def _take(self, event: Event) -> None:
        match event:
            case JobStarted():
                live = self._live[event.job.id]
                live.device = event.device
                live.folds_done = len(live.planned.begun) if live.planned else 0
                if live.planned is not None and event.attempt == 1:
                    self._studies[live.family].started(live.planned)
            case FoldFitted():
                live = self._live[event.job.id]
                live.folds_done += 1
                self._timing.fold_fitted(live.family, event.reply.score.duration_s)
            case JobEnded():
                self._end(self._live.pop(event.job.id), event)

    def _end(self, live: Live, event: JobEnded) -> None:
        study = self._studies[live.family]
        self._timing.training_s[live.family] += event.wall_s
        match live.planned, event.outcome:
            case _, TrainFailed(kind="cancelled"):
                self._cut_off.append(live)
            case Planned() as planned, (TrialDone() | TrainFailed()) as outcome:
                if study.fused:
                    self._placement.budget.learn(outcome, live.networks, live.unit)
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
        return f"waiting for a device that another run or process holds ({waited:.0f} s)"
