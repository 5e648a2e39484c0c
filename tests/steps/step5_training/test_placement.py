"""The number of networks in one computation follows memory, wishes and what went wrong."""

from __future__ import annotations

import dataclasses

import pytest

from gpu.host import devices
from gpu.host.devices import Device, cpu_slots
from gpu.host.holders import HeldLease
from gpu.host.vram import DataSize, worker_mib
from gpu.params import FAMILIES, SHELL_DEFAULTS
from gpu.protocol import TrainFailed, TrialDone
from steps.step5_training import placement as module
from steps.step5_training.comparison import Gpus
from steps.step5_training.placement import NetworkBudget, Placement
from steps.step5_training.settings import Settings

SIZE = DataSize(
    table_rows=20_000, train_rows=12_800, val_rows=3_200, n_features=62, input_width=62, n_folds=5
)
RECORDS = [SHELL_DEFAULTS["neural_net"]] * 4
ALL = Gpus()
OOM = TrainFailed(kind="oom", message="memory ran out")


def gpu(free_mib):
    return Device("cuda", "GPU-1", 0, "a GPU", 80_000, free_mib)


def planned(settings, families, size):
    return Placement(settings, families, size, Gpus(use=False)).plan


def done(networks):
    return TrialDone(
        id="a", scores=(), pruned=False, duration_s=1.0, device="cuda", peak_rss_mib=1.0,
        networks=networks,
    )  # fmt: skip


def test_a_wish_is_a_limit_and_not_a_demand():
    budget = NetworkBudget([gpu(70_000)], SIZE)
    assert budget.most(RECORDS, 0) == 20
    assert budget.most(RECORDS, 3) == 3
    small = NetworkBudget([gpu(640)], SIZE)
    assert small.most(RECORDS, 0) < 20
    assert small.most(RECORDS, 20) == small.most(RECORDS, 0)


def test_a_failure_for_want_of_memory_makes_the_next_batch_smaller():
    budget = NetworkBudget([gpu(800)], SIZE)
    before = budget.most(RECORDS, 0)
    for _ in range(6):
        budget.learn(OOM, None, f"unit {_}")
    assert 1 <= budget.most(RECORDS, 0) < before


def test_a_batch_that_the_worker_halved_is_learnt_from():
    budget = NetworkBudget([gpu(800)], SIZE)
    before = budget.most(RECORDS, 0)
    budget.learn(done(8), 8, "a")
    assert budget.most(RECORDS, 0) == before
    budget.learn(done(1), 20, "b")
    halved = budget.most(RECORDS, 0)
    assert halved < before
    # Every trial of the batch tells the same story; it is told once.
    budget.learn(done(1), 20, "b")
    assert budget.most(RECORDS, 0) == halved


def test_folds_that_train_apart_on_a_gpu_are_not_taken_for_a_want_of_memory():
    budget = NetworkBudget([gpu(660)], SIZE)
    other = dict(RECORDS[0], hidden_layers=(8,))
    # All folds may be one computation, or each may be one of its own.
    for limit, expected in ((0, 4), (20, 4), (4, 4), (3, None), (1, None)):
        assert budget.expected(RECORDS[0], RECORDS, limit) == expected
    assert budget.expected(other, [*RECORDS, other], 0) == 1
    before = budget.most(RECORDS, 0)
    budget.learn(done(4), 4, "a")
    assert budget.most(RECORDS, 0) == before
    budget.learn(done(2), 4, "b")
    assert budget.most(RECORDS, 0) < before
    assert NetworkBudget(cpu_slots(1), SIZE).expected(RECORDS[0], RECORDS, 0) == 4


def test_no_family_at_all_is_placed_too():
    assert len(planned(Settings(slots=1), (), SIZE).devices) == 1


def test_what_pruning_made_smaller_teaches_nothing():
    budget = NetworkBudget([gpu(800)], SIZE)
    before = budget.most(RECORDS, 0)
    budget.learn(done(1), None, "a")
    assert budget.most(RECORDS, 0) == before


@pytest.mark.parametrize("families", [FAMILIES, ("lightgbm",)])
def test_the_plan_counts_the_largest_record_of_the_families_that_train(families):
    plan = planned(Settings(slots=2), families, SIZE)
    assert 1 <= len(plan.devices) <= 2
    assert plan.threads == 1
    huge = dataclasses.replace(SIZE, table_rows=10**9, train_rows=6 * 10**8, val_rows=10**8)
    plan = planned(Settings(slots=2), families, huge)
    assert len(plan.devices) == 1
    assert "memory allows no more" in plan.reason


def test_on_a_cpu_memory_is_shared_by_the_slots():
    assert NetworkBudget(cpu_slots(2), SIZE).most(RECORDS, 0) >= 1


# --- where trials run ------------------------------------------------------------------------


A, B = (Device("cuda", f"GPU-{x}", i, f"GPU {i}", 80_000, 70_000) for i, x in enumerate("ab"))


class Uses(list):
    """Remembers the plans that a pool would be told."""

    def __call__(self, plan):
        self.append([device.uuid for device in plan.devices])


def placed(gpus=ALL, families=("xgboost", "neural_net"), clock=lambda: 0.0, **settings):
    return Placement(Settings(**settings), families, SIZE, gpus, clock)


def uuids(placement):
    return [device.uuid for device in placement.plan.devices]


def test_every_gpu_is_used_and_the_reason_names_it(machine):
    machine[:] = [A, B]
    placement = placed()
    assert uuids(placement) == ["GPU-a", "GPU-b"]
    (note,) = placement.notes
    assert note.startswith("xgboost and neural_net on 2 GPUs, one trial a GPU")
    assert note.endswith("GPU 0 (GPU-a), GPU 1 (GPU-b)")


def test_beside_gpus_cpu_slots_serve_what_trains_on_the_cpu(machine):
    machine[:] = [A, B]
    placement = placed(families=("lightgbm", "neural_net"), slots=3)
    slots = ["cpu-slot-0", "cpu-slot-1", "cpu-slot-2"]
    assert uuids(placement) == ["GPU-a", "GPU-b", *slots]
    (note,) = placement.notes
    assert note.startswith("neural_net on 2 GPUs, one trial a GPU")
    assert "; lightgbm on 3 CPU slots of one thread" in note


def test_the_memory_of_the_networks_is_that_of_their_own_devices(machine, monkeypatch):
    machine[:] = [dataclasses.replace(A, free_mib=70_000), dataclasses.replace(B, free_mib=650)]
    families = ("lightgbm", "neural_net")
    least = NetworkBudget([machine[1]], SIZE).most(RECORDS, 0)
    assert placed(families=families, slots=3).budget.most(RECORDS, 0) == least
    # Without a torch for GPUs it is that of the machine, by slots.
    machine[:] = [dataclasses.replace(gpu, torch=False) for gpu in (A, B)]
    placement = placed(families=("xgboost", "neural_net"), slots=3)
    free = []
    monkeypatch.setattr(module, "available_memory_mib", lambda: free.append(1) or 6000.0)
    expected = NetworkBudget(cpu_slots(3), SIZE).most(RECORDS, 0)
    assert placement.budget.most(RECORDS, 0) == expected
    assert len(free) == 2
    assert any("built for the CPU only" in note for note in placement.notes)


def test_gpus_are_left_alone_by_families_that_train_on_the_cpu(machine, monkeypatch):
    machine[:] = [A, B]
    monkeypatch.setattr(module, "crowded", None)  # nobody looks at them
    placement, uses = placed(families=("lightgbm",), slots=2), Uses()
    assert uuids(placement) == ["cpu-slot-0", "cpu-slot-1"]
    assert "no family that trains here can use a GPU" in placement.notes
    assert not placement.follow(Gpus(off=("0",)), uses)
    assert uses == []


def test_slots_stay_in_use_while_the_gpus_beside_them_are_emptied(machine):
    machine[:] = [A]
    placement, uses = placed(families=("lightgbm", "neural_net"), slots=2), Uses()
    assert placement.follow(Gpus(use=False), uses)
    slots = ["cpu-slot-0", "cpu-slot-1"]
    assert uses == [slots, slots]


def test_a_gpu_has_the_memory_that_it_had_before_our_own_work_came(machine):
    machine[:] = [A, B]
    placement, uses = placed(), Uses()
    machine[:] = [dataclasses.replace(each, free_mib=700) for each in (A, B)]
    assert placement.follow(Gpus(off=("0",)), uses)
    assert [device.free_mib for device in placement.plan.devices] == [70_000]


def test_a_gpu_that_others_fill_meanwhile_is_waited_for_and_looked_at_now_and_then(
    machine, monkeypatch
):
    machine[:] = [A]
    now, asked, full = [0.0], [], [None]

    def filled(device, need_mib):
        asked.append(device.uuid)
        return full[0]

    monkeypatch.setattr(module, "filled_by_others", filled)
    placement = placed(clock=lambda: now[0])
    assert placement.has_room(cpu_slots(1)[0])
    assert placement.has_room(A)
    full[0] = words = "GPU 0 has 12 MiB free, 900 MiB are needed; held by pid 7 train"
    now[0] = 9.9
    assert placement.has_room(A)
    assert len(asked) == 1
    for now[0] in (10.0, 15.0, 20.0):
        assert not placement.has_room(A)
    full[0] = None
    now[0] = 30.0
    assert placement.has_room(A)
    assert len(asked) == 4
    said = [note for note in placement.notes if note.endswith("; it is waited for")]
    assert said == [f"{words}; it is waited for"]


def test_leases_that_other_users_do_not_see_are_said(machine, monkeypatch):
    machine[:] = [A]
    monkeypatch.setattr(module, "sharing_note", lambda: "among this user's runs only")
    assert "among this user's runs only" in placed().notes
    machine.clear()
    assert len(placed().notes) == 1


def full(*names):
    """A look at devices of which the named ones are filled by somebody else."""

    def crowded(device, need_mib):
        if device.uuid not in names or need_mib < 600:
            return None
        return f"{device.name} has 12 MiB free, {need_mib:.0f} MiB are needed; held by pid 7 train"

    return crowded


def test_a_gpu_that_somebody_else_fills_is_skipped_and_said(machine, monkeypatch):
    machine[:] = [A, B]
    monkeypatch.setattr(module, "crowded", full("GPU-a"))
    placement = placed()
    assert uuids(placement) == ["GPU-b"]
    assert "held by pid 7 train; it is not used" in placement.notes[1]


def test_where_every_gpu_is_filled_cpu_slots_are_used(machine, monkeypatch):
    machine[:] = [A, B]
    monkeypatch.setattr(module, "crowded", full("GPU-a", "GPU-b"))
    placement = placed(slots=2)
    assert uuids(placement) == ["cpu-slot-0", "cpu-slot-1"]
    assert "no GPU has room for a job; CPU slots are used instead" in placement.notes


def test_a_gpu_whose_lease_another_run_holds_is_waited_for_and_not_skipped(machine, monkeypatch):
    machine[:] = [A, B]
    monkeypatch.setattr(module, "crowded", full("GPU-a"))
    held = HeldLease("GPU-a", 7, None, None)
    monkeypatch.setattr(module, "held_leases", lambda folder: (held,))
    assert uuids(placed()) == ["GPU-a", "GPU-b"]


def test_a_gpu_with_room_for_some_networks_is_used_in_smaller_batches(machine, monkeypatch):
    machine[:] = [A]
    monkeypatch.setattr(
        module, "crowded", lambda device, need_mib: "too small" if need_mib > 700 else None
    )
    placement = placed()
    assert uuids(placement) == ["GPU-a"]
    assert "too small; networks will train in smaller batches" in placement.notes


def test_gpus_that_people_switch_off_leave_and_come_back(machine):
    machine[:] = [A, B]
    placement, uses = placed(slots=2), Uses()
    assert not placement.follow(Gpus(), uses)
    assert placement.follow(Gpus(off=("0",)), uses)
    assert placement.follow(Gpus(use=False), uses)
    assert placement.follow(Gpus(), uses)
    # Before CPU slots are counted, the GPUs are emptied.
    slots = ["cpu-slot-0", "cpu-slot-1"]
    assert uses == [["GPU-b"], [], slots, ["GPU-a", "GPU-b"]]
    assert any("training.gpus_off in the policy: GPU 0" in note for note in placement.notes)


def test_a_gpu_that_runs_our_work_is_not_left_because_it_has_filled_up(machine, monkeypatch):
    machine[:] = [A, B]
    placement, uses = placed(), Uses()
    monkeypatch.setattr(module, "crowded", full("GPU-a", "GPU-b"))
    assert placement.follow(Gpus(off=("GPU-B",)), uses)
    assert uses == [["GPU-a"]]


def test_a_name_in_gpus_off_that_is_no_gpu_is_said(machine):
    machine[:] = [A]
    placement = placed(Gpus(off=("5",)))
    assert uuids(placement) == ["GPU-a"]
    assert "training.gpus_off: '5' is no GPU's UUID or number here" in placement.notes


def test_on_a_machine_without_gpus_no_switch_changes_the_slots(machine):
    placement, uses = placed(slots=2), Uses()
    assert not placement.follow(Gpus(use=False), uses)
    assert not placement.follow(Gpus(off=("0",)), uses)
    assert uses == []
    assert len(placement.notes) == 1


# --- the memory that slots are counted by ----------------------------------------------------


def test_the_plan_counts_the_full_bins_of_the_confirmation(machine, monkeypatch):
    """The search has about 64 bins, the best trial once more about 256: that one must fit."""
    asked = {}
    monkeypatch.setattr(
        module, "worker_mib", lambda family, params, size: asked.setdefault(family, params) and 1.0
    )
    placed(families=FAMILIES, slots=1, coarse_bins=True)
    assert asked["xgboost"].max_bin == 256
    assert asked["lightgbm"].max_bin == 255
    assert asked["catboost"].border_count == 254


def test_the_workers_that_wait_are_counted_beside_the_one_that_works(machine, monkeypatch):
    """100 MiB each: with four families three others wait, and their memory is not to give away."""
    monkeypatch.setattr(module, "worker_mib", lambda family, params, size: 100.0)
    # 80 % of it is 1000 MiB, less the table.
    available = 1250.0 + SIZE.table_mib / 0.8
    monkeypatch.setattr(devices, "available_memory_mib", lambda: available)
    assert len(placed(families=FAMILIES, slots=50).plan.devices) == 7
    assert len(placed(families=("lightgbm",), slots=50).plan.devices) == 10


@pytest.mark.parametrize("family", FAMILIES)
def test_no_table_however_large_makes_an_estimate_negative(family):
    sizes = [10**power for power in range(3, 11)]
    estimates = []
    for rows in sizes:
        size = DataSize(
            table_rows=rows, train_rows=rows * 2 // 3, val_rows=rows // 3, n_features=500,
            input_width=500, n_folds=5,
        )  # fmt: skip
        estimates.append(worker_mib(family, module._largest(family, Settings(), size), size))
    assert all(each > 0 for each in estimates)
    assert estimates == sorted(estimates)


@pytest.mark.parametrize(
    ("families", "options", "said"),
    [
        (("lightgbm",), {}, True),
        (("lightgbm",), {"trials_per_ask": 8}, False),
        (("lightgbm",), {"trials": 4}, False),
        (("lightgbm",), {"tree_parallel_workers": 4}, False),
        (("lightgbm", "xgboost"), {}, False),
    ],
)
def test_devices_that_too_few_asked_trials_leave_idle_are_said(families, options, said):
    settings = Settings(slots=8, **options)
    notes = Placement(settings, families, SIZE, Gpus(use=False)).notes
    told = [note for note in notes if "a larger trials_per_ask" in note]
    assert len(told) == said
    assert all(note.startswith("at most 4 trials run at once on 8 CPU slots") for note in told)
