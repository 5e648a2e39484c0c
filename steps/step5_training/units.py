"""Turn a batch of asks into units of work: what one worker does under one lease."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gpu.params import Family
from gpu.protocol import FinalFit, TrainBatch, TrainTrial
from steps.step5_training.final_fit import Places
from steps.step5_training.placement import NetworkBudget
from steps.step5_training.sampler import TOGETHER
from steps.step5_training.study import FamilyStudy
from steps.step5_training.trials import Planned


@dataclass(slots=True)
class Live:
    """A trial (with its plan) or a final fit (without), waiting for a device or running."""

    family: Family
    job: TrainTrial | FinalFit
    planned: Planned | None
    device: str = ""
    folds_done: int = 0
    # Networks that train together with this trial's; None where nothing can be learnt from it.
    networks: int | None = None
    unit: str = ""

    @property
    def searches(self) -> bool:
        """Whether it is a trial of the search: neither a finalist, nor at full resolution."""
        return self.planned is not None and self.planned.kind == "position"


@dataclass(frozen=True, slots=True)
class Unit:
    """Work for one worker under one lease: a trial, a final fit, or a batch of fused trials."""

    family: Family
    work: TrainTrial | FinalFit | TrainBatch
    lives: tuple[Live, ...]


@dataclass(frozen=True, slots=True)
class TrialShape:
    """What all trials of a run have in common."""

    places: Places
    seed: int


def trial_units(
    study: FamilyStudy,
    planned: Sequence[Planned],
    shape: TrialShape,
    *,
    limit_s: float,
    parts: int,
    networks: int,
    observed: bool,
    budget: NetworkBudget,
) -> list[Unit]:
    """One unit a trial; for a family whose trials train fused, one for up to TOGETHER of a shape.

    parts: how many units there should be at least, as far as there are trials. limit_s: deadline of
    one trial. networks: most networks in one computation as people set it, 0 for as many as memory
    allows. observed: whether the trials leave loss curves.
    """
    family = study.family
    if not study.fused:
        jobs = [_job(study, plan, shape, limit_s, observed=observed) for plan in planned]
        lives = [Live(family, job, plan) for job, plan in zip(jobs, planned, strict=True)]
        return [Unit(family, live.job, (live,)) for live in lives]
    if any(plan.suspect for plan in planned):
        parts = len(planned) * TOGETHER  # if a run dies again, not all of them shall be why
    units = []
    for part in _split(planned, parts, study.shared):
        trials = tuple(_job(study, plan, shape, None, observed=observed) for plan in part)
        lives = [Live(family, job, plan) for job, plan in zip(trials, part, strict=True)]
        records = [plan.record for plan in part]
        most = budget.most(records, networks)
        for live, plan in zip(lives, part, strict=True):
            live.networks = None if plan.prune else budget.expected(plan.record, records, most)
            live.unit = f"{family}-batch-{part[0].number}"
        batch = TrainBatch(
            jobs=trials,
            n_concurrent=most,
            id=f"{family}-batch-{part[0].number}",
            deadline_s=limit_s * len(part),
        )
        units.append(Unit(family, batch, tuple(lives)))
    return units


def _job(
    study: FamilyStudy,
    planned: Planned,
    shape: TrialShape,
    limit_s: float | None,
    *,
    observed: bool,
) -> TrainTrial:
    curves = study.files.curves_path(planned.position, full=planned.full)
    return TrainTrial(
        id=f"{study.family}-{planned.number}",
        family=study.family,
        trial_number=planned.number,
        params=planned.record,
        table=str(shape.places.table),
        folds=tuple(range(planned.folds)),
        begun=planned.begun,
        seed=shape.seed,
        predictions_path=str(study.predictions_path(planned.position, full=planned.full)),
        curves_path=str(curves) if observed else None,
        prune=planned.prune,
        deadline_s=limit_s,
    )


def _split(
    planned: Sequence[Planned], parts: int, shared: Sequence[str]
) -> list[Sequence[Planned]]:
    """Neighbours with equal shared values together; finalists with whatever they stand beside."""

    def shape(plan: Planned) -> object:
        return plan.finalist or [plan.values.get(name) for name in shared]

    together = itertools.groupby(planned, key=shape)
    alike = [plan for _, group in together for plan in _cut(list(group), TOGETHER)]
    each = max(1, -(-parts // max(1, len(alike))))
    return [part for plans in alike for part in _cut(plans, -(-len(plans) // each))]


def _cut(planned: Sequence[Planned], most: int) -> list[Sequence[Planned]]:
    """In parts of about equal size, none of them larger."""
    parts = -(-len(planned) // most)
    bounds = [round(i * len(planned) / parts) for i in range(parts + 1)]
    return [planned[a:b] for a, b in itertools.pairwise(bounds)]
