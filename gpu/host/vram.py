"""Estimate the memory of workers and their jobs, on a GPU or not, before they are started.

Pure arithmetic over sizes that the parent knows; all memory in MiB. The constants were fitted to
measured peaks of real workers (benchmarks/memory.py), and a test holds them within 30 %. An
estimate can still be too low: a worker that runs out halves its batch, and MemoryLessons keeps what
that taught.
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
    "xgboost": 85.0,
    "lightgbm": 65.0,
    "catboost": 140.0,
}
# CUDA context, cuBLAS workspaces and the allocator's rounding, before any data.
GPU_BASE_MIB = 600.0
# What a worker's libraries keep beside what is counted: lazy code, caches, small arrays.
JOB_MIB = 8.0


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
    """One network of a fused computation: its parameters, their moments, and one batch.

    Five copies of the parameters (weights, gradients, two moments of Adam, the best epoch's), and
    for each hidden unit the activations that the backward pass needs, a row of the batch each.
    """
    widths = [size.input_width, *params.hidden_layers]
    weights = sum(a * b for a, b in itertools.pairwise(widths)) + widths[-1]
    weights += 5 * sum(params.hidden_layers) + 1  # bias, scale, shift, running mean and variance
    rows = _batch_rows(params, size)
    units = sum(params.hidden_layers)
    activations = rows * (units * ACTIVATION_COPIES + size.input_width)
    return (weights * WEIGHT_COPIES + activations) * FLOAT / MIB


WEIGHT_COPIES = 6
ACTIVATION_COPIES = 5


def fused_data_mib(size: DataSize) -> float:
    """Encoded rows of all folds, which the networks of a batch share."""
    encoded = (size.train_rows + size.val_rows) * (size.input_width + 2) * FLOAT / MIB
    return encoded * size.n_folds + size.fold_mib


def batch_mib(records: Sequence[NeuralNetParams], size: DataSize) -> float:
    """What a worker takes, above being idle, to train all folds of the records together."""
    networks = sum(network_mib(record, size) for record in records) * size.n_folds
    return JOB_MIB + fused_data_mib(size) + networks


def networks_that_fit(
    free_mib: float, records: Sequence[NeuralNetParams], size: DataSize, *, on_gpu: bool
) -> int:
    """Most networks to train in one computation in free_mib; at least 1, at most all of them.

    free_mib: for a worker that is not started yet. The largest networks are counted first, so the
    answer holds whichever of them meet in one computation.
    """
    base = GPU_BASE_MIB if on_gpu else LIBRARY_MIB["neural_net"]
    left = free_mib - base - JOB_MIB - fused_data_mib(size)
    count = 0
    for each in sorted((network_mib(record, size) for record in records), reverse=True):
        for _ in range(size.n_folds):
            left -= each
            if left < 0:
                return max(1, count)
            count += 1
    return max(1, count)


def tree_mib(params: Params, size: DataSize) -> float:
    """What a worker of a tree family takes, above being idle, for one trial."""
    rows = size.fold_mib
    match params:
        case LightGBMParams():
            histograms = params.num_leaves * size.n_features * params.max_bin * 16 / MIB
            return JOB_MIB + max(4.6 * rows, 2.2 * rows + histograms)
        case XGBoostParams():
            nodes = min(1 << params.max_depth, size.train_rows / 4)
            histograms = nodes * size.n_features * params.max_bin * 16 / MIB
            return JOB_MIB + 4.0 * rows + 0.8 * histograms
        case CatBoostParams():
            leaves = 1 << params.depth
            histograms = leaves * size.n_features * params.border_count * 16 / MIB
            return JOB_MIB + 5.0 * rows + histograms
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
    return max(LIBRARY_MIB.values()) + JOB_MIB + 5 * table_mib


@dataclass(frozen=True, slots=True)
class MemoryLessons:
    """What finished jobs taught about estimates of one family. factor: they were that much too low.

    Values only: each lesson gives a new one.
    """

    factor: float = 1.0

    def need_mib(self, estimate_mib: float) -> float:
        """An estimate, corrected."""
        return estimate_mib * self.factor

    def networks(
        self, free_mib: float, records: Sequence[NeuralNetParams], size: DataSize, *, on_gpu: bool
    ) -> int:
        """As networks_that_fit, corrected."""
        base = GPU_BASE_MIB if on_gpu else LIBRARY_MIB["neural_net"]
        return networks_that_fit(
            base + (free_mib - base) / self.factor, records, size, on_gpu=on_gpu
        )

    def after_batch(self, asked: int, trained: int) -> MemoryLessons:
        """A batch in which `trained` networks ran at once where `asked` could have."""
        if trained >= asked:
            return self
        return MemoryLessons(min(LARGEST_FACTOR, self.factor * asked / max(1, trained)))

    def after_oom(self) -> MemoryLessons:
        """A job that failed although nothing was left to halve."""
        return MemoryLessons(min(LARGEST_FACTOR, self.factor * 2))


LARGEST_FACTOR = 64.0


def _batch_rows(params: NeuralNetParams, size: DataSize) -> int:
    """Rows in one batch; as gpu.worker.nn.serial deals them."""
    if params.batch_mode == "full":
        return size.train_rows
    batches = max(1, round(size.train_rows / params.batch_size))
    return -(-size.train_rows // batches)
