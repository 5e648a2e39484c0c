"""Read what workers observed of a family. What is not there is said, and is never an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gpu.protocol import FinalFit
from gpu.protocol.observations import Curve, FitObservations, TrialCurves
from steps.policies import validation_message

_Model = TypeVar("_Model", bound=BaseModel)
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Observed:
    """curves: one a fold of the best trial, but for those that absent names. fit: of the final fit.

    absent: sentences that say what is not known, and why.
    """

    curves: tuple[Curve, ...]
    fit: FitObservations
    absent: tuple[str, ...]


def read_observed(
    curves_path: Path | None, folds: tuple[int, ...], job: FinalFit | None, n_features: int
) -> Observed:
    """What is known of a family.

    curves_path: of its best trial, None where there is none. folds: those that the trial fitted,
    n_features: of the table; what does not fit to them is not taken. job: None without a model.
    """
    curves, no_curves = _curves(curves_path, folds)
    fit, no_fit = _fit(job, n_features)
    return Observed(curves, fit, (*no_curves, *no_fit))


def _curves(path: Path | None, folds: tuple[int, ...]) -> tuple[tuple[Curve, ...], list[str]]:
    what = "no loss curves of the best trial"
    if path is None:
        return (), [f"{what}: no trial is complete"]
    found = _read(TrialCurves, path)
    if isinstance(found, str):
        return (), [f"{what}: {found}"]
    there = tuple(curve.fold for curve in found.curves)
    # A fold may be without a curve where the worker says why.
    wanted = tuple(fold for fold in folds if fold in there) if found.absent else folds
    if there != wanted:
        return (), [f"{what}: {path.name} is of other folds"]
    return found.curves, [f"of the best trial, {sentence}" for sentence in found.absent]


def _fit(job: FinalFit | None, n_features: int) -> tuple[FitObservations, list[str]]:
    what = "nothing of the final fit"
    if job is None:
        return FitObservations(family="lightgbm"), [f"{what}: there is no model"]
    nothing = FitObservations(family=job.family)
    if job.observations_path is None:
        return nothing, [f"{what}: training.diagnostics was false in the policy when it began"]
    found = _read(FitObservations, Path(job.observations_path))
    if isinstance(found, str):
        return nothing, [f"{what}: {found}"]
    return _of_table(found, n_features)


def _read(model: type[_Model], path: Path) -> _Model | str:
    """The document, or why there is none."""
    try:
        found = model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return f"{path.name} is lost, or was not written (diagnostics were off then)"
    except OSError as fault:
        return f"{path.name} cannot be read: {fault.strerror or fault}"
    except ValidationError as fault:
        return f"{path.name} is damaged: {validation_message(fault)}"
    return model.model_validate(_shortened(found.model_dump()))


def _of_table(fit: FitObservations, n_features: int) -> tuple[FitObservations, list[str]]:
    """Without the parts that are not of a table of so many features."""
    importances = tuple(i for i in fit.importances if len(i.values) == n_features)
    attributions = tuple(a for a in fit.attributions if len(a.contributions) == n_features)
    networks = [n for n in [fit.network] if n and len(n.feature_gradients) == n_features]
    absent = list(fit.absent)
    for what, kept, there in (
        ("importances", len(importances), len(fit.importances)),
        ("attributions", len(attributions), len(fit.attributions)),
        ("network health", len(networks), int(fit.network is not None)),
    ):
        if kept != there:
            absent.append(f"{there - kept} of {there} {what}: not of {n_features} features")
    changes = {
        "importances": importances,
        "attributions": attributions,
        "network": networks[0] if networks else None,
    }
    return fit.model_copy(update=changes), absent


def _shortened(value: Any, *, in_list: bool = False) -> Any:
    """The same with numbers in lists rounded: they are for the eye, and there are many."""
    match value:
        case float() if in_list:
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {key: _shortened(item) for key, item in value.items()}
        case tuple():
            return tuple(_shortened(item, in_list=True) for item in value)
        case _:
            return value
