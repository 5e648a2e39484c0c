"""Decide how many trials run at once, and how many networks train in one computation."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gpu.host.devices import Device, SlotPlan, crowded, detect, plan_slots
from gpu.host.lessons import MemoryLessons
from gpu.host.machine import available_memory_mib
from gpu.host.vram import DataSize, data_size, gpu_batch_mib, networks_expected, worker_mib
from gpu.params import Family, NeuralNetParams, Params
from gpu.protocol import TrainFailed, TrialDone
from steps.step5_training.families import SPECS
from steps.step5_training.folds import Splits
from steps.step5_training.identity import BATCH
from steps.step5_training.settings import Settings
from steps.tables import Table

log = logging.getLogger(__name__)


def size_of(table: Table, splits: Splits) -> DataSize:
    """The sizes that estimates of memory rest on."""
    return data_size(
        table_rows=table.n_rows,
        search_rows=len(splits.search_rows),
        n_folds=len(splits.folds),
        kinds=table.kinds,
        levels=table.levels,
        gaps=[bool(np.isnan(table.X[:, i]).any()) for i in range(table.n_features)],
    )


def place(
    settings: Settings, families: Sequence[Family], size: DataSize, *, use_gpus: bool
) -> tuple[SlotPlan, tuple[str, ...]]:
    """The devices to lease, and what should be said of them."""
    found = detect(os.environ, use_gpus)
    largest = {family: _largest(family, settings, size) for family in families}
    each = [worker_mib(family, params, size) for family, params in largest.items()]
    # Workers of the other families wait with what they keep while one of them is at work.
    others = sum(each) - max(each, default=0.0)
    plan = plan_slots(
        list(found.devices),
        slots=settings.slots,
        table_mib=size.table_mib + others,
        worker_mib=max(each, default=None),
    )
    log.info("placing trials on %s", plan.reason)
    return plan, (*found.notes, *_too_full(plan.devices, largest, size))


class NetworkBudget:
    """How many networks may train in one computation; an estimate that learns from failures."""

    def __init__(self, devices: Sequence[Device], size: DataSize) -> None:
        self._size = size
        self._gpus = [device for device in devices if device.kind != "cpu"]
        self._slots = len(devices)
        self._lessons = MemoryLessons()
        self._taught: set[str] = set()

    def most(self, records: Sequence[dict[str, Any]], wanted: int) -> int:
        """For a batch of these records; wanted: what people set, 0 for no wish."""
        if self._gpus:
            free = float(min(device.free_mib for device in self._gpus))
        else:
            free = available_memory_mib() / self._slots
        params = [NeuralNetParams.model_validate(record) for record in records]
        fit = self._lessons.networks(free, params, self._size, on_gpu=bool(self._gpus))
        return min(wanted, fit) if wanted else fit

    def expected(
        self, record: dict[str, Any], records: Sequence[dict[str, Any]], limit: int
    ) -> int | None:
        """Networks that train together with a trial's, if memory lasts and nothing is pruned.

        None on GPUs, where folds of different sizes make smaller stacks although memory is there.
        """
        if self._gpus:
            return None
        params = [NeuralNetParams.model_validate(each) for each in records]
        own = NeuralNetParams.model_validate(record)
        return networks_expected(own, params, self._size, limit=limit, on_gpu=False)

    def learn(self, outcome: TrialDone | TrainFailed, expected: int | None, unit: str) -> None:
        """expected: as above, None where nothing follows from it. A unit teaches once."""
        if unit in self._taught:
            return
        match outcome:
            case TrialDone(networks=int() as trained) if expected is not None:
                lessons = self._lessons.after_batch(expected, trained)
            case TrainFailed(kind="oom"):
                lessons = self._lessons.after_oom()
            case _:
                return
        if lessons != self._lessons:
            self._taught.add(unit)
            self._lessons = lessons


def _largest(family: Family, settings: Settings, size: DataSize) -> Params:
    """The record of a family's search space that needs most memory."""
    values: dict[str, Any] = {}
    for name, distribution in SPECS[family].search_space(settings, size.train_rows).items():
        match distribution:
            case CategoricalDistribution():
                values[name] = distribution.choices[-1]
            case IntDistribution() | FloatDistribution():
                values[name] = distribution.high
    # The best trial is run, and the final fit made, at full resolution.
    record = SPECS[family].complete(values, settings)
    return record.model_copy(update=dict(SPECS[family].full_resolution))


def _too_full(
    devices: Sequence[Device], largest: dict[Family, Params], size: DataSize
) -> list[str]:
    """Devices whose memory others hold so much of that a job may not fit."""
    network = largest.get("neural_net")
    said = []
    for device in devices:
        if device.kind != "cpu" and isinstance(network, NeuralNetParams):
            full = crowded(device, gpu_batch_mib([network] * BATCH, size))
            said += [] if full is None else [f"{full}; networks will train in smaller batches"]
    return said
