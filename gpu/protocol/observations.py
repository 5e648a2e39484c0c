"""What a trainer sees while it trains: loss curves, importances, attributions, network health.

A worker writes these as JSON files where a job asks for them; a line of the wire carries none.
Every number is finite. What could not be observed is named in `absent`, never left out in silence.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpu.params import Family

# Curves are thinned to so many points at most; the first, the best and the last round stay.
CURVE_POINTS = 200
# Rows of the holdout whose predictions are taken apart: so many of the best, so many of the worst.
ATTRIBUTED_ROWS = 5

ImportanceKind = Literal["gain", "split", "weight", "PredictionValuesChange", "input_gradient"]


class _Observation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(_Observation):
    """Mean squared error by round or epoch, in squared units of the target.

    fold: None for the final fit, which has no validation rows. rounds: 1-based, ascending;
    train, validation: one value for each of them (train of xgboost and lightgbm is measured at some
    rounds, and on a straight line in between). best_round: whose model was kept.
    """

    fold: int | None
    rounds: tuple[int, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...] | None
    best_round: int
    rounds_run: int


class TrialCurves(_Observation):
    """The curves of one trial, one a fold, in the order of its folds.

    absent: sentences that say which folds have none, and why.
    """

    curves: tuple[Curve, ...]
    absent: tuple[str, ...] = ()


class Importance(_Observation):
    """How much the model uses each feature, in the library's own measure.

    values: one a feature of the table, not negative, 0 for a feature that is not used.
    gain, weight: xgboost (total gain; number of splits). gain, split: lightgbm.
    PredictionValuesChange: catboost. input_gradient: the network, mean absolute gradient of its
    output with respect to the standardised feature.
    """

    kind: ImportanceKind
    values: tuple[float, ...]


class Attribution(_Observation):
    """One prediction taken apart; contributions: one a feature, in units of the target.

    row: number in the table, from 0. shap: base + the sum of contributions is the prediction
    (Lundberg et al. 2020, TreeSHAP). gradient_x_input: first order only, for the network; base is
    None.
    """

    which: Literal["best", "worst"]
    row: int
    target: float
    prediction: float
    method: Literal["shap", "gradient_x_input"]
    base: float | None
    contributions: tuple[float, ...]


class LayerHealth(_Observation):
    """One layer of the network by epoch; tuples go with NetworkHealth.epochs.

    Gradient norm: Euclidean, of the loss over the layer's weights, on the probe rows. Activations:
    after the nonlinearity. dead_pct: units whose output is the same on every probe row; None for
    the output layer, and where all probe rows are alike. weight_edges, weight_counts: a histogram
    of the weights at the end.
    """

    name: str
    units: int
    gradient_norm: tuple[float, ...]
    weight_norm: tuple[float, ...]
    activation_mean: tuple[float, ...]
    activation_std: tuple[float, ...]
    dead_pct: tuple[float, ...] | None
    weight_edges: tuple[float, ...]
    weight_counts: tuple[int, ...]


class NetworkHealth(_Observation):
    """A network's final fit, watched at the end of each epoch on fixed probe rows.

    epochs: those that were watched; 0 is the network before its training. feature_gradients: one a
    feature of the table, mean over those epochs of the norm of the loss's gradient over the
    feature's first-layer weights. The first layer is layers[0], the output layer the last.
    """

    probe_rows: int
    epochs: tuple[int, ...]
    layers: tuple[LayerHealth, ...]
    feature_gradients: tuple[float, ...]


class FitObservations(_Observation):
    """Everything observed of a final fit. absent: what is not known, and why, in sentences.

    seconds: wall time by phase (load, fit, predict, observe). peak_vram_mib: None on a CPU,
    and where the library does not tell it (xgboost, catboost).
    """

    schema_version: Literal[1] = 1
    family: Family
    curve: Curve | None = None
    importances: tuple[Importance, ...] = ()
    attributions: tuple[Attribution, ...] = ()
    network: NetworkHealth | None = None
    seconds: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    peak_rss_mib: float | None = None
    peak_vram_mib: float | None = None
    absent: tuple[str, ...] = ()
