"""Estimate the memory of workers and their jobs, on a GPU or not, before they are started.

Pure arithmetic over sizes that the parent knows; all memory in MiB. The constants were fitted to
measured peaks of real workers (benchmarks/memory.py), and a test holds them within 30 %. An
estimate can still be too low: a worker that runs out halves its batch, and gpu.host.lessons keeps
what that taught.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gpu.params import (
    CatBoostParams,
    Family,
    LightGBMParams,
    NeuralNetParams,
    Params,
    XGBoostParams,
)

MIB = 1 << 20
FLOAT = 4
# gpu.worker.nn.inputs makes one column of each level up to this many; a test holds them together.
MAX_ONE_HOT = 32

# Resident memory of a worker that has imported its library and waits, the mapped code included.
LIBRARY_MIB: dict[Family, float] = {
    "neural_net": 230.0,
    "xgboost": 81.0,
    "lightgbm": 62.0,
    "catboost": 75.0,
}
# CUDA context, cuBLAS workspaces and the allocator's rounding, before any data.
GPU_BASE_MIB = 600.0
# Code that is loaded at the first training, caches, small arrays.
JOB_MIB: dict[Family, float] = {
    "neural_net": 54.0,
    "xgboost": 9.0,
    "lightgbm": 4.0,
    "catboost": 11.0,
}
# What the tree trainers keep of the folds; as gpu.worker.trainers.kept counts, in float32 rows.
KEPT_MIB = 256.0
# As gpu.worker.nn.plan has them; a test holds them together.
CPU_STACK_BYTES = 4 << 20
GPU_STACK_UNITS = 65535
# The same floats, freed and taken again in other sizes, do not fit their old places exactly.
FRAGMENTATION = 1.1


@dataclass(frozen=True, slots=True)
class DataSize:
    """Sizes of the data that a trial sees.

    table_rows: all rows of the mapped table. train_rows, val_rows: of one fold. input_width:
    columns that a network sees. n_folds: folds of a trial.
    """

    table_rows: int
    train_rows: int
    val_rows: int
    n_features: int
    input_width: int
    n_folds: int

    @property
    def table_mib(self) -> float:
        """The mapped table: X in float32, y in float64. All workers share it."""
        return self.table_rows * (self.n_features * FLOAT + 8) / MIB

    @property
    def fold_mib(self) -> float:
        """One fold's rows, copied out of the map."""
        return (self.train_rows + self.val_rows) * (self.n_features * FLOAT + 8) / MIB


def data_size(
    *,
    table_rows: int,
    search_rows: int,
    n_folds: int,
    kinds: Sequence[str],
    levels: Sequence[int],
    gaps: Sequence[bool],
) -> DataSize:
    """The sizes of a table; kinds, levels, gaps: one a column, as in the table's columns.json."""
    val_rows = -(-search_rows // n_folds)
    return DataSize(
        table_rows=table_rows,
        train_rows=search_rows - search_rows // n_folds,
        val_rows=val_rows,
        n_features=len(kinds),
        input_width=input_width(kinds, levels, gaps),
        n_folds=n_folds,
    )


def input_width(kinds: Sequence[str], levels: Sequence[int], gaps: Sequence[bool]) -> int:
    """Columns that the network sees: a numeric one and its gap indicator, a category's levels."""
    width = 0
    for kind, n_levels, has_gaps in zip(kinds, levels, gaps, strict=True):
        if kind != "categorical":
            width += 2 if has_gaps else 1
        else:
            seen = n_levels + has_gaps
            width += seen if seen <= MAX_ONE_HOT else 1
    return width


def network_mib(params: NeuralNetParams, size: DataSize) -> float:
    """One network of a fused computation, beside the rows that it shares with others.

    Eight copies of the weights: values, scaled values, gradients, their sum with the decay, two
    moments of Adam, the best epoch, and one in passing. For each row of a batch: three floats a
    hidden unit (product, activation, slope), one more with dropout (mask), and the slopes of the
    two layers that the backward pass is between, which bfloat16 copies. 64 batch statistics a unit,
    and three predictions a validation row.
    """
    units = params.hidden_layers
    a_unit = 4 if params.dropout > 0 else 3
    between = max(sum(units[i : i + 2]) for i in range(max(1, len(units) - 1)))
    a_row = a_unit * sum(units) + between * (2 if params.precision == "bfloat16" else 1)
    floats = (
        8 * _weights(params, size)
        + a_row * _batch_rows(params, size)
        + 64 * sum(units)
        + 3 * size.val_rows
    )
    return FRAGMENTATION * floats * FLOAT / MIB


def stack_size(params: NeuralNetParams, size: DataSize) -> int:
    """Most networks that a CPU trains as one computation, which must stay in a core's cache."""
    activations = sum(params.hidden_layers) * _batch_rows(params, size) * FLOAT
    return max(1, CPU_STACK_BYTES // activations)


def networks_expected(
    params: NeuralNetParams,
    records: Sequence[NeuralNetParams],
    size: DataSize,
    *,
    limit: int,
    on_gpu: bool,
    folds_at_once: int | None = None,
) -> int:
    """Networks that train in one computation with a trial's if memory does not run out.

    records: all of the batch, params among them. limit: the batch's n_concurrent. folds_at_once:
    folds that a GPU trains before a prune rule is asked; None: all. As gpu.worker.nn.plan does it;
    fewer than this is a lesson (see gpu.host.lessons).
    """
    alike = sum(_shape(record, size) == _shape(params, size) for record in records)
    most_folds = size.n_folds if folds_at_once is None else min(folds_at_once, size.n_folds)
    members = alike * most_folds if on_gpu else alike
    most = limit or members
    if on_gpu:
        most = min(most, max(1, GPU_STACK_UNITS // max(params.hidden_layers)))
    else:
        most = min(most, stack_size(params, size))
    # Of the parts about equal in size, the smallest.
    return members // -(-members // most)


def shared_rows_mib(records: Sequence[NeuralNetParams], size: DataSize, n_folds: int) -> float:
    """What networks of n_folds folds share: the encoded rows, a batch of each, and random bits.

    Dropout draws a pool of two bytes a bit, four times the widest layer's of one batch.
    """
    encoded = (size.train_rows + size.val_rows) * (size.input_width + 1) * FLOAT
    batch = max(_batch_rows(record, size) * size.input_width for record in records) * 2 * FLOAT
    bits = max(
        8 * _batch_rows(record, size) * max(record.hidden_layers) if record.dropout > 0 else 0
        for record in records
    )
    return (encoded * size.n_folds + (batch + bits) * n_folds) / MIB


def batch_mib(records: Sequence[NeuralNetParams], size: DataSize, threads: int = 1) -> float:
    """What a worker on the CPU takes, above being idle, to train all folds of the records.

    A stack is of one fold, and each thread has one. Beside the encoded folds lie their rows as the
    table has them, and a prediction of each trial for each row.
    """
    stacks = _largest_stack_mib(records, size)
    rows = size.n_folds * size.fold_mib + len(records) * size.table_rows * 8 / MIB
    shared = shared_rows_mib(records, size, n_folds=threads)
    return JOB_MIB["neural_net"] + rows + shared + threads * stacks


def gpu_batch_mib(records: Sequence[NeuralNetParams], size: DataSize) -> float:
    """GPU memory that a worker takes to train all folds of the records in one computation."""
    networks = sum(network_mib(record, size) for record in records) * size.n_folds
    return GPU_BASE_MIB + shared_rows_mib(records, size, size.n_folds) + networks


def networks_that_fit(
    free_mib: float, records: Sequence[NeuralNetParams], size: DataSize, *, on_gpu: bool
) -> int:
    """Most networks to train in one computation in free_mib; at least 1, at most all of them.

    free_mib: of the GPU, or of the machine, for a worker that is not started yet. The largest
    networks are counted first, so the answer holds whichever of them meet in one computation.
    """
    if on_gpu:
        left = free_mib - GPU_BASE_MIB - shared_rows_mib(records, size, size.n_folds)
    else:
        stacks = _largest_stack_mib(records, size)
        left = free_mib - LIBRARY_MIB["neural_net"] - batch_mib(records, size) + stacks
    count = 0
    for each in sorted((network_mib(record, size) for record in records), reverse=True):
        for _ in range(size.n_folds):
            left -= each
            if left < 0:
                return max(1, count)
            count += 1
    return max(1, count)


def tree_mib(params: Params, size: DataSize) -> float:
    """What a worker of a tree family takes, above being idle, for one trial.

    Histograms are 16 bytes a bin of each feature and node, which the libraries hold for as many
    nodes as they may come back to; the rows are copied a few times over while a fold is binned.
    """
    rows = size.fold_mib
    kept_folds = min(size.n_folds, int(KEPT_MIB // rows))
    match params:
        case LightGBMParams():
            histograms = _histograms_mib(params.num_leaves, params.max_bin, size)
            # The last model, with its histograms, goes when the next one is there.
            return JOB_MIB["lightgbm"] + (5.1 + 0.28 * kept_folds) * rows + 2 * histograms
        case XGBoostParams():
            # Deep trees are not full: most branches end before.
            share = min(0.9, max(0.4, 0.9 - 0.125 * (params.max_depth - 8)))
            nodes = min(share * (1 << params.max_depth), size.train_rows / 4)
            histograms = _histograms_mib(nodes, params.max_bin, size)
            return JOB_MIB["xgboost"] + (4.3 + 0.28 * kept_folds) * rows + histograms
        case CatBoostParams():
            histograms = _histograms_mib(1 << params.depth, params.border_count, size)
            # Labels, approximations and leaf numbers of each object, whatever its features.
            objects = 100 * (size.train_rows + size.val_rows) * max(0, kept_folds - 1) / MIB
            return JOB_MIB["catboost"] + (3.0 + 0.28 * kept_folds) * rows + objects + histograms
        case NeuralNetParams():
            raise TypeError("a network is no tree; see network_mib")


def job_mib(params: Params, size: DataSize) -> float:
    """What a worker takes, above being idle, for one trial on its own."""
    if isinstance(params, NeuralNetParams):
        return batch_mib([params], size)
    return tree_mib(params, size)


def worker_mib(family: Family, params: Params, size: DataSize) -> float:
    """A worker of the family with one trial; the mapped table, which is shared, not counted."""
    return LIBRARY_MIB[family] + job_mib(params, size)


def rough_worker_mib(table_mib: float) -> float:
    """A worker of any family, where nothing but the table's size is known."""
    return max(LIBRARY_MIB.values()) + max(JOB_MIB.values()) + 7 * table_mib


def _largest_stack_mib(records: Sequence[NeuralNetParams], size: DataSize) -> float:
    """The networks of one stack on the CPU; a stack is of one fold, so a trial is in it once."""
    most = len(records)
    return max(network_mib(r, size) * min(most, stack_size(r, size)) for r in records)


def _weights(params: NeuralNetParams, size: DataSize) -> int:
    """Floats of one network's row; as gpu.worker.nn.stack_layout places them."""
    widths = [size.input_width, *params.hidden_layers]
    blocks = [block for a, b in itertools.pairwise(widths) for block in (a * b, b, b)]
    return sum(-(-block // 16) * 16 for block in [*blocks, widths[-1], 1])


def _shape(params: NeuralNetParams, size: DataSize) -> tuple[object, ...]:
    """What networks must share to train in one computation."""
    rows = _batch_rows(params, size)
    return params.hidden_layers, params.use_leaky_relu, params.optimizer, params.precision, rows


def _batch_rows(params: NeuralNetParams, size: DataSize) -> int:
    """Rows in one batch; as gpu.worker.nn.batches deals them."""
    if params.batch_mode == "full":
        return size.train_rows
    count = max(1, min(round(size.train_rows / params.batch_size), size.train_rows // 2))
    return size.train_rows // count


def _histograms_mib(nodes: float, bins: int, size: DataSize) -> float:
    return nodes * bins * size.n_features * 16 / MIB
