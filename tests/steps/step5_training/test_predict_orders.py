"""A prediction obeys as a search does: it leaves a switched-off GPU, and stops when told."""

from __future__ import annotations

import pytest

from gpu.host.devices import Device
from gpu.host.pool import JobEnded, JobStarted
from gpu.protocol import PredictDone, PredictRows, TrainFailed
from steps.errors import StepRefused
from steps.step5_training.comparison import Gpus, Orders
from steps.step5_training.predict import _outcome

GPU = Device("cuda", "GPU-a", 0, "GPU 0", 80_000, 70_000)
JOB = PredictRows(
    id="predict",
    family="neural_net",
    checkpoint_path="m",
    checkpoint_sha256="0" * 64,
    preprocessing_path="p",
    rows_path="r",
    predictions_path="out",
)


class Pool:
    """The face of Pool; the job ends at the third look after its start."""

    def __init__(self):
        self.devices, self.started, self.events, self.left = [], [], [], 0

    def use(self, devices, *, threads, reason):
        if self.left and devices[0].uuid != self.devices[0].uuid:
            self.left = 0
            cut = TrainFailed(kind="cancelled", message=reason, id=JOB.id)
            self.events.append(JobEnded(JOB, cut, 0.1))
        self.devices = list(devices)

    def try_start(self, job):
        self.started.append(self.devices[0].kind)
        self.left = 3
        return True

    def wait(self, timeout_s):
        self.left -= 1
        if self.left == 0:
            self.events.append(JobEnded(JOB, PredictDone(id=JOB.id, n_rows=1), 1.0))
        events, self.events = [JobStarted(JOB, "x", 1), *self.events], []
        return events


class Desk:
    def __init__(self, *orders):
        self.orders = list(orders)

    def __call__(self):
        return self.orders.pop(0) if len(self.orders) > 1 else self.orders[0]


@pytest.fixture
def pool(machine):
    machine[:] = [GPU]
    return Pool()


def test_a_prediction_on_a_gpu_that_is_switched_off_begins_again_on_the_cpu(pool):
    desk = Desk(Orders(), Orders(), Orders(gpus=Gpus(use=False)))
    assert isinstance(_outcome(pool, JOB, desk, table_mib=1.0), PredictDone)
    assert pool.started == ["cuda", "cpu"]


def test_a_gpu_that_is_off_from_the_start_is_not_used(pool):
    desk = Desk(Orders(gpus=Gpus(off=("0",))))
    _outcome(pool, JOB, desk, table_mib=1.0)
    assert pool.started == ["cpu"]


def test_a_model_of_a_family_that_trains_on_the_cpu_is_scored_there(pool):
    """LightGBM has no use for a GPU, which another run may hold."""
    job = JOB.model_copy(update={"family": "lightgbm"})
    _outcome(pool, job, Desk(Orders()), table_mib=1.0)
    assert pool.started == ["cpu"]


def test_a_halt_ends_a_prediction_with_its_reason(pool):
    desk = Desk(Orders(), Orders(stop="watcher_halt.flag exists"))
    with pytest.raises(StepRefused, match="halt") as caught:
        _outcome(pool, JOB, desk, table_mib=1.0)
    assert caught.value.kind == "blocked"
