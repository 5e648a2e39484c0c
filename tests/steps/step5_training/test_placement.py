"""The number of networks in one computation follows memory, wishes and what went wrong."""

from __future__ import annotations

import dataclasses

import pytest

from gpu.host.devices import Device, cpu_slots
from gpu.host.vram import DataSize
from gpu.params import FAMILIES, SHELL_DEFAULTS
from gpu.protocol import TrainFailed, TrialDone
from steps.step5_training.placement import NetworkBudget, place
from steps.step5_training.settings import Settings

SIZE = DataSize(
    table_rows=20_000, train_rows=12_800, val_rows=3_200, n_features=62, input_width=62, n_folds=5
)
RECORDS = [SHELL_DEFAULTS["neural_net"]] * 4
OOM = TrainFailed(kind="oom", message="memory ran out")


def gpu(free_mib):
    return Device("cuda", "GPU-1", 0, "a GPU", 80_000, free_mib)


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


def test_stacks_of_a_gpu_are_not_taken_for_a_want_of_memory():
    assert NetworkBudget([gpu(800)], SIZE).expected(RECORDS[0], RECORDS, 4) is None
    assert NetworkBudget(cpu_slots(1), SIZE).expected(RECORDS[0], RECORDS, 0) == 4


def test_no_family_at_all_is_placed_too():
    plan, _ = place(Settings(slots=1), (), SIZE, use_gpus=False)
    assert len(plan.devices) == 1


def test_what_pruning_made_smaller_teaches_nothing():
    budget = NetworkBudget([gpu(800)], SIZE)
    before = budget.most(RECORDS, 0)
    budget.learn(done(1), None, "a")
    assert budget.most(RECORDS, 0) == before


@pytest.mark.parametrize("families", [FAMILIES, ("lightgbm",)])
def test_the_plan_counts_the_largest_record_of_the_families_that_train(families):
    plan, _ = place(Settings(slots=2), families, SIZE, use_gpus=False)
    assert 1 <= len(plan.devices) <= 2
    assert plan.threads == 1
    huge = dataclasses.replace(SIZE, table_rows=10**9, train_rows=6 * 10**8, val_rows=10**8)
    plan, _ = place(Settings(slots=2), families, huge, use_gpus=False)
    assert len(plan.devices) == 1
    assert "memory allows no more" in plan.reason


def test_on_a_cpu_memory_is_shared_by_the_slots():
    assert NetworkBudget(cpu_slots(2), SIZE).most(RECORDS, 0) >= 1
