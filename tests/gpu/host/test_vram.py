"""Estimates of memory: against the peaks of real workers, and their own arithmetic."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.memory import estimate_mib, measure, write_table
from gpu.host import vram
from gpu.host.vram import (
    DataSize,
    data_size,
    gpu_batch_mib,
    input_width,
    job_mib,
    network_mib,
    networks_expected,
    networks_that_fit,
    rough_worker_mib,
    stack_size,
    tree_mib,
    worker_mib,
)
from gpu.params import FAMILIES, complete_params
from gpu.worker.trainers import kept

SIZE = DataSize(10_000, 6_000, 2_000, 30, 40, 4)


def network(**parameters):
    return complete_params("neural_net", {"hidden_layers": (64, 32), **parameters})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("memory") / "table", 24_000, 40, n_folds=3)


@pytest.mark.parametrize(
    ("family", "record", "trials"),
    [
        ("lightgbm", {"max_bin": 255, "num_leaves": 95}, 1),
        ("xgboost", {"max_bin": 128, "max_depth": 7}, 1),
        ("catboost", {"border_count": 128, "depth": 7}, 1),
        ("neural_net", {"hidden_layers": (256, 128), "batch_mode": "full"}, 1),
        ("neural_net", {"hidden_layers": (64,), "batch_size": 2048, "dropout": 0.1}, 8),
    ],
)
def test_an_estimate_is_within_30_percent_of_the_peak_of_a_real_worker(
    table, family, record, trials
):
    peak = measure(table, family, record, trials).above_mib
    expected = estimate_mib(table.size, family, record, trials)
    assert expected == pytest.approx(peak, rel=0.3)


def test_the_constants_are_those_of_the_worker():
    # They import torch, which the other tests here do without.
    from gpu.worker.nn import inputs, plan

    assert inputs.MAX_ONE_HOT == vram.MAX_ONE_HOT
    assert plan.CPU_STACK_BYTES == vram.CPU_STACK_BYTES
    assert plan.GPU_STACK_UNITS == vram.GPU_STACK_UNITS
    assert vram.KEPT_MIB * vram.MIB == kept.MOST_BYTES


def test_the_width_counts_gaps_and_levels():
    kinds = ["numeric", "numeric", "boolean", "categorical", "categorical", "categorical"]
    gaps = [False, True, False, False, True, False]
    assert input_width(kinds, [0, 0, 0, 5, 32, 33], gaps) == 1 + 2 + 1 + 5 + 1 + 1


def test_the_sizes_of_a_table_follow_from_its_folds():
    size = data_size(
        table_rows=100, search_rows=80, n_folds=3, kinds=["numeric"], levels=[0], gaps=[True]
    )
    assert (size.train_rows, size.val_rows, size.input_width) == (54, 27, 2)


def test_a_larger_network_or_batch_takes_more():
    plain = network_mib(network(batch_size=512), SIZE)
    assert network_mib(network(batch_size=1024), SIZE) > plain
    assert network_mib(network(batch_size=512, dropout=0.1), SIZE) > plain
    assert network_mib(network(batch_size=512, hidden_layers=(128, 32)), SIZE) > plain
    assert network_mib(network(batch_size=512, precision="bfloat16"), SIZE) > plain
    assert network_mib(network(batch_mode="full"), SIZE) > 5 * plain


def test_a_stack_on_the_cpu_stays_in_the_cache():
    assert stack_size(network(batch_size=64), SIZE) == 173
    assert stack_size(network(batch_mode="full"), SIZE) == 1


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("limit", [0, 3, 100])
def test_the_networks_expected_are_those_that_the_worker_plans(on_gpu, limit):
    from gpu.worker.nn.plan import FoldShape, plan_stacks

    wide = network(batch_size=256, hidden_layers=(9_000,))
    records = [network(batch_size=64)] * 50 + [wide] * 9
    networks = [
        (FoldShape(fold, SIZE.train_rows, SIZE.input_width, validated=True), record)
        for fold in range(SIZE.n_folds)
        for record in records
    ]
    stacks = plan_stacks(networks, one_fold=not on_gpu, limit=limit)
    for at in (0, 50):
        alike = [stack for stack in stacks if records[stack[0] % len(records)] == records[at]]
        expected = networks_expected(records[at], records, SIZE, limit=limit, on_gpu=on_gpu)
        # Of stacks that are not all equally large, the smaller ones: they are no want of memory.
        assert expected == min(map(len, alike))


@pytest.mark.parametrize("on_gpu", [True, False])
def test_as_many_networks_as_memory_holds_and_one_at_least(on_gpu):
    records = [network(batch_mode="full"), network(batch_mode="full", hidden_layers=(256,))]
    assert networks_that_fit(1.0, records, SIZE, on_gpu=on_gpu) == 1
    assert networks_that_fit(1e6, records, SIZE, on_gpu=on_gpu) == 2 * SIZE.n_folds
    counts = [networks_that_fit(mib, records, SIZE, on_gpu=on_gpu) for mib in range(0, 2000, 50)]
    assert counts == sorted(counts)
    assert 1 < sorted(set(counts))[1] < 2 * SIZE.n_folds


def test_the_networks_that_fit_do_fit():
    records = [network(batch_mode="full", hidden_layers=(256, 256))] * 20
    free_mib = gpu_batch_mib(records, SIZE) / 2
    count = networks_that_fit(free_mib, records, SIZE, on_gpu=True)
    whole = gpu_batch_mib(records, SIZE)
    each = network_mib(records[0], SIZE)
    assert whole - (80 - count) * each <= free_mib < whole - (80 - count - 1) * each


@pytest.mark.parametrize("family", FAMILIES)
def test_more_rows_take_more_memory(family):
    params = complete_params(family, {})
    double = dataclasses.replace(SIZE, table_rows=20_000, train_rows=12_000, val_rows=4_000)
    assert job_mib(params, double) > job_mib(params, SIZE)
    assert worker_mib(family, params, SIZE) > job_mib(params, SIZE)


def test_a_guess_from_the_table_covers_every_family():
    for rows in (1_000, 20_000, 200_000):
        size = DataSize(rows, rows * 16 // 25, rows * 4 // 25, 62, 62, 5)
        guess = rough_worker_mib(size.table_mib)
        for family in FAMILIES:
            need = worker_mib(family, complete_params(family, {}), size)
            assert 0.7 * need < guess, family


def test_a_network_is_no_tree():
    with pytest.raises(TypeError, match="no tree"):
        tree_mib(network(), SIZE)
