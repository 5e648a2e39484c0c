"""The network's search space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution

from gpu.params import NeuralNetParams
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.settings import Settings

ARCHITECTURES = ("64", "128", "256", "128-64", "256-128", "128-64-32", "256-128-64")
STEPS_PER_EPOCH = 32
SMALLEST_BATCH, LARGEST_BATCH = 64, 1024
LEARNING_RATES = (1e-3, 1e-2)


def _search_space(settings: Settings, n_rows: int) -> SearchSpace:
    space: SearchSpace = {
        "hidden_layers": CategoricalDistribution(ARCHITECTURES),
        "learning_rate": _learning_rates(settings.max_learning_rate),
        "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    }
    if settings.dropout is None:
        space["dropout"] = FloatDistribution(0.0, 0.3)
    if settings.batch_mode != "full":
        space["batch_size"] = CategoricalDistribution(_batch_sizes(n_rows))
    return space


def _complete(values: Mapping[str, Any], settings: Settings) -> NeuralNetParams:
    drawn = dict(values)
    layers = tuple(int(units) for units in drawn.pop("hidden_layers").split("-"))
    drawn.setdefault("dropout", settings.dropout)
    drawn.setdefault("batch_size", LARGEST_BATCH)
    return NeuralNetParams(
        **drawn,
        hidden_layers=layers,
        epochs=settings.epochs,
        patience=settings.patience,
        clip_norm=settings.clip_norm,
        optimizer=settings.optimizer,
        batch_mode=settings.batch_mode,
        use_leaky_relu=settings.use_leaky_relu,
        normalize_features=settings.normalize_features,
        precision=settings.nn_precision,
    )


def _learning_rates(upper: float | None) -> FloatDistribution:
    """A wished upper end under the usual one takes the lower end down with it."""
    low, high = LEARNING_RATES
    if upper is not None:
        low, high = min(low, upper * low / high), upper
    return FloatDistribution(low, high, log=True)


def _batch_sizes(n_rows: int) -> tuple[int, ...]:
    """Three powers of two around n_rows / STEPS_PER_EPOCH: a small table needs small batches."""
    middle = 2 ** round(math.log2(max(1, n_rows / STEPS_PER_EPOCH)))
    middle = min(LARGEST_BATCH // 2, max(SMALLEST_BATCH * 2, middle))
    return (middle // 2, middle, middle * 2)


SPEC = FamilySpec(
    family="neural_net",
    search_space=_search_space,
    complete=_complete,
    rounds_param="epochs",
    # What decides the shape of the computation; see gpu/worker/nn/fused.py.
    shared=("hidden_layers", "batch_size"),
    sources=(
        "Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data, appendix (MLP)",
        "Holzmueller, Grinsztajn, Steinwart 2024, Better by Default (RealMLP)",
    ),
)
