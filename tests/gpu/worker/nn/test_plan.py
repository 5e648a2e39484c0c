from __future__ import annotations

import torch

from gpu.params import complete_params
from gpu.worker.nn.batches import batches_of
from gpu.worker.nn.plan import FoldShape, plan_stacks

FOLDS = [FoldShape(fold, n, 10, True) for fold, n in enumerate((801, 801, 800))]


def params(**options):
    return complete_params("neural_net", {"hidden_layers": (32,), "batch_size": 100, **options})


def test_trials_of_an_architecture_share_a_stack_in_each_fold():
    networks = [(fold, params(learning_rate=rate)) for fold in FOLDS for rate in (1e-3, 1e-2)]
    assert plan_stacks(networks, one_fold=True, limit=0) == [[0, 1], [2, 3], [4, 5]]


def test_folds_share_a_stack_where_that_is_asked_for_and_their_batches_are_equal():
    networks = [(fold, params()) for fold in FOLDS]
    assert plan_stacks(networks, one_fold=False, limit=0) == [[0, 1, 2]]
    full = [(fold, params(batch_mode="full")) for fold in FOLDS]
    assert plan_stacks(full, one_fold=False, limit=0) == [[0, 1], [2]]


def test_what_differs_in_shape_is_apart():
    kinds = [
        params(),
        params(hidden_layers=(32, 16)),
        params(use_leaky_relu=False),
        params(optimizer="adamw"),
        params(precision="bfloat16"),
        params(batch_size=200),
        params(dropout=0.2, weight_decay=1e-3, clip_norm=0.5, patience=3, epochs=7),
    ]
    stacks = plan_stacks([(FOLDS[0], kind) for kind in kinds], one_fold=True, limit=0)
    assert stacks == [[0, 6], [1], [2], [3], [4], [5]]


def test_a_limit_divides_a_stack_evenly():
    networks = [(FOLDS[0], params())] * 7
    sizes = [len(stack) for stack in plan_stacks(networks, one_fold=True, limit=3)]
    assert sizes == [2, 2, 3]


def test_networks_that_fill_the_cache_train_one_by_one():
    networks = [(FOLDS[0], params(hidden_layers=(65536,)))] * 2
    assert plan_stacks(networks, one_fold=True, limit=0) == [[0], [1]]


def test_every_batch_of_an_epoch_has_equally_many_rows_and_no_row_comes_twice():
    batches = batches_of(1003, params())
    dealt = batches.deal(1003, torch.Generator().manual_seed(0))
    assert (batches.count, batches.rows) == (10, 100)
    assert len(dealt.unique()) == 1000


def test_rows_left_out_of_one_epoch_come_up_in_another():
    batches, order = batches_of(1003, params()), torch.Generator().manual_seed(0)
    seen = torch.cat([batches.deal(1003, order).flatten() for _ in range(3)])
    assert len(seen.unique()) == 1003


def test_no_batch_is_a_single_row():
    assert batches_of(3, params(batch_size=2)).rows >= 2


def test_a_stack_of_many_networks_stays_within_the_grid_of_a_gpu():
    networks = [(FOLDS[0], params(hidden_layers=(256, 128)))] * 600
    stacks = plan_stacks(networks, one_fold=False, limit=0)
    assert sorted(i for stack in stacks for i in stack) == list(range(600))
    assert max(len(stack) for stack in stacks) * 256 <= 65535
    assert len(stacks) == 3
