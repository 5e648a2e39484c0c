"""Decide how many trials run at once, and how many networks train in one computation."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gpu.host.allowed import allowed_of
from gpu.host.crowding import crowded, filled_by_others
from gpu.host.devices import Device, SlotPlan, cpu_slots, detect, devices_of, plan_slots
from gpu.host.holders import held_leases
from gpu.host.lessons import MemoryLessons
from gpu.host.lock_files import machine_lock_dir, sharing_note
from gpu.host.machine import available_memory_mib, usable_cores
from gpu.host.vram import (
    GPU_BASE_MIB,
    DataSize,
    data_size,
    gpu_batch_mib,
    network_mib,
    networks_expected,
    shared_rows_mib,
    worker_mib,
)
from gpu.params import Family, NeuralNetParams, Params
from gpu.protocol import TrainFailed, TrialDone
from steps.step5_training.comparison import Gpus
from steps.step5_training.families import SPECS
from steps.step5_training.folds import Splits
from steps.step5_training.sampler import TOGETHER
from steps.step5_training.settings import Settings
from steps.tables import Table

log = logging.getLogger(__name__)

# A GPU that waits for work is looked at so often, in seconds: the driver takes its time to answer.
LOOK_S = 10.0
_TOO_FEW_ASKED = "at most {} trials run at once on {} {}: a larger trials_per_ask uses more"


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


class Placement:
    """Where trials run. The devices are planned anew when people allow other GPUs.

    plan, budget: those in force. notes: why the work lies where it does, in the order of events.
    clock: seconds that only grow.
    """

    def __init__(
        self,
        settings: Settings,
        families: Sequence[Family],
        size: DataSize,
        gpus: Gpus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots, self._per_ask = settings.slots, settings.trials_per_ask
        # Whether a larger ask would keep more devices busy.
        limited = settings.tree_parallel_workers > 0
        self._more_to_ask = settings.trials > settings.trials_per_ask and not limited
        self._size = size
        self._largest = {family: _largest(family, settings, size) for family in families}
        self._gpus = gpus
        self._clock = clock
        self._looks: dict[str, tuple[float, str | None]] = {}
        self.notes: list[str] = []
        self.plan = SlotPlan((), 1, "")
        self._begin(*self._usable(gpus))

    def follow(self, gpus: Gpus, use: Callable[[SlotPlan], None]) -> bool:
        """Plan with the GPUs that are allowed now; returns whether that makes any difference.

        use: told the devices to use from now on, each time they change.
        """
        if gpus == self._gpus:
            return False
        self._gpus = gpus
        usable, notes = self._usable(gpus)
        on_gpus = [device.uuid for device in self.plan.devices if device.kind != "cpu"]
        if [device.uuid for device in usable] == on_gpus:
            return False
        if not usable:
            # What is cut off gives its memory back before it is counted for CPU slots.
            slots = tuple(device for device in self.plan.devices if device.kind == "cpu")
            use(SlotPlan(slots, self.plan.threads, "no GPU is allowed any more"))
        self._begin(usable, notes, "other GPUs were allowed while the search was on: ")
        use(self.plan)
        return True

    def has_room(self, device: Device) -> bool:
        """Whether a free device has room for a job; a GPU that others have filled is waited for."""
        if device.kind == "cpu":
            return True
        now = self._clock()
        looked_at, full = self._looks.get(device.uuid, (float("-inf"), None))
        if now - looked_at >= LOOK_S:
            before, full = full, filled_by_others(device, self._least_mib(device))
            self._looks[device.uuid] = now, full
            if full is not None and before is None:
                self.say(f"{full}; it is waited for")
        return full is None

    def say(self, note: str) -> None:
        """Tell the log and the result."""
        log.info("devices: %s", note)
        self.notes.append(note)

    def _begin(self, usable: Sequence[Device], notes: Sequence[str], why: str = "") -> None:
        self.plan = self._plan(usable)
        self.budget = NetworkBudget(devices_of("neural_net", self.plan.devices), self._size)
        self.say(f"{why}{self.plan.reason}{_named(self.plan.devices)}")
        if self._more_to_ask:
            notes = [*notes, *self._idle_for_want_of_trials()]
        for note in notes:
            if note not in self.notes:
                self.say(note)

    def _idle_for_want_of_trials(self) -> list[str]:
        """Of devices that trials asked at once can never all use."""
        served: dict[tuple[Device, ...], int] = {}
        for family in self._largest:
            devices = devices_of(family, self.plan.devices)
            served[devices] = served.get(devices, 0) + self._per_ask
        return [
            _TOO_FEW_ASKED.format(
                at_once, len(devices), "CPU slots" if devices[0].kind == "cpu" else "GPUs"
            )
            for devices, at_once in served.items()
            if at_once < len(devices)
        ]

    def _plan(self, usable: Sequence[Device]) -> SlotPlan:
        return plan_slots(
            usable or cpu_slots(usable_cores()),
            slots=self._slots,
            table_mib=self._size.table_mib,
            families=tuple(self._largest),
            worker_mib={f: worker_mib(f, each, self._size) for f, each in self._largest.items()},
        )

    def _usable(self, gpus: Gpus) -> tuple[list[Device], list[str]]:
        """The GPUs that are allowed and have room for a job; those in use have proved it.

        And what is to be said of the others.
        """
        allowed, notes = allowed_gpus(os.environ, gpus)
        if allowed and not any(d.trains(family) for d in allowed for family in self._largest):
            return [], [*notes, "no family that trains here can use a GPU"]
        # As they were when they were empty of our work.
        in_use = {device.uuid: device for device in self.plan.devices}
        # Another run's work is waited for; it shares the device by turns.
        leased = {held.device for held in held_leases(machine_lock_dir())} if allowed else set()
        usable = []
        for device in allowed:
            full = None
            if device.uuid not in in_use and device.uuid.replace("/", "_") not in leased:
                full = crowded(device, self._least_mib(device))
            if full is not None:
                notes.append(f"{full}; it is not used")
            else:
                usable.append(in_use.get(device.uuid, device))
                notes += self._about_networks(device)
        if allowed and not usable:
            notes.append("no GPU has room for a job; CPU slots are used instead")
        if usable and (unshared := sharing_note()) is not None:
            notes.append(unshared)
        return usable, notes

    def _least_mib(self, device: Device) -> float:
        """GPU memory without which nothing trains: a context, and a fold's rows or one network."""
        network = self._largest.get("neural_net") if device.trains("neural_net") else None
        data = self._size.fold_mib
        if isinstance(network, NeuralNetParams):
            one = network_mib(network, self._size) + shared_rows_mib([network], self._size, 1)
            data = max(data, one)
        return GPU_BASE_MIB + data

    def _about_networks(self, device: Device) -> list[str]:
        network = self._largest.get("neural_net")
        if not isinstance(network, NeuralNetParams):
            return []
        if not device.trains("neural_net"):
            return ["the installed torch is built for the CPU only: networks train there"]
        full = crowded(device, gpu_batch_mib([network] * TOGETHER, self._size))
        return [] if full is None else [f"{full}; networks will train in smaller batches"]


def allowed_gpus(environ: Mapping[str, str], gpus: Gpus) -> tuple[list[Device], list[str]]:
    """The GPUs of this machine that people allow, and what should be said of the others."""
    if not gpus.use:
        return [], []
    return allowed_of(detect(environ), gpus.off)


class NetworkBudget:
    """How many networks may train in one computation; an estimate that learns from failures.

    devices: those on which networks train.
    """

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

        On a GPU at least so many: folds of different sizes or widths are no one computation, the
        networks of one fold are. None where the limit divides these, so that fewer say nothing.
        """
        params = [NeuralNetParams.model_validate(each) for each in records]
        own = NeuralNetParams.model_validate(record)
        if not self._gpus:
            return networks_expected(own, params, self._size, limit=limit, on_gpu=False)
        one_fold, divided = (
            networks_expected(own, params, self._size, limit=most, on_gpu=True, folds_at_once=1)
            for most in (0, limit)
        )
        return one_fold if one_fold == divided else None

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


def _named(devices: Sequence[Device]) -> str:
    names = [f"{device.name} ({device.uuid})" for device in devices if device.kind != "cpu"]
    return f"; GPUs: {', '.join(names)}" if names else ""
