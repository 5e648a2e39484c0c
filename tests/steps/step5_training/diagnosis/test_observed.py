"""What workers leave is read; what they do not leave is said, and is never an error."""

from __future__ import annotations

import json

import pytest

from gpu.protocol import FinalFit
from gpu.protocol.observations import Attribution, Curve, FitObservations, Importance, TrialCurves
from steps.step5_training.diagnosis.observed import read_observed

FOLDS = (0, 1)
CURVES = TrialCurves(
    curves=tuple(
        Curve(
            fold=fold,
            rounds=(1, 2),
            train=(1.23456789, 0.5),
            validation=(2.0, 1.0),
            best_round=2,
            rounds_run=2,
        )
        for fold in FOLDS
    )
)
SEEN = FitObservations(
    family="xgboost",
    importances=(Importance(kind="gain", values=(1.0, 0.0, 0.123456789)),),
    attributions=(
        Attribution(
            which="best",
            row=7,
            target=1234567.89,
            prediction=1234567.5,
            method="shap",
            base=1.0,
            contributions=(1 / 3, 0.0, 1.0),
        ),
    ),
    seconds={"fit": 1.23456789},
    peak_rss_mib=100.0,
)


@pytest.fixture
def read(tmp_path):
    """What is read where these files were left; None for a file that was not."""

    def build(curves=CURVES, seen=SEEN, observed=True, folds=FOLDS, n_features=3):
        for name, document in (("curves.json", curves), ("observations.json", seen)):
            if document is not None:
                text = document if isinstance(document, str) else document.model_dump_json()
                (tmp_path / name).write_text(text)
        job = FinalFit(
            id="xgboost-final",
            family="xgboost",
            trial_number=0,
            params={},
            rounds=3,
            table="t",
            seed=0,
            checkpoint_path="c",
            preprocessing_path="p",
            predictions_path="q",
            observations_path=str(tmp_path / "observations.json") if observed else None,
        )
        return read_observed(tmp_path / "curves.json", folds, job, n_features)

    return build


def test_everything_that_was_observed_is_there_and_nothing_is_absent(read):
    found = read()
    assert found.absent == ()
    assert [curve.fold for curve in found.curves] == [0, 1]
    assert found.fit.importances[0].kind == "gain"
    assert found.fit.peak_rss_mib == 100.0


def test_numbers_in_lists_are_rounded_and_single_ones_are_not(read):
    found = read()
    assert found.curves[0].train == (1.23457, 0.5)
    assert found.fit.importances[0].values == (1.0, 0.0, 0.123457)
    (attribution,) = found.fit.attributions
    assert attribution.contributions == (0.333333, 0.0, 1.0)
    assert (attribution.row, attribution.target) == (7, 1234567.89)
    assert found.fit.seconds == {"fit": 1.23456789}


def test_what_a_worker_says_to_be_absent_is_passed_on(read):
    found = read(seen=SEEN.model_copy(update={"absent": ("no attributions: it broke",)}))
    assert found.absent == ("no attributions: it broke",)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"curves": None}, "curves.json is lost, or was not written"),
        ({"seen": None}, "observations.json is lost, or was not written"),
        ({"curves": "{"}, "no loss curves of the best trial: curves.json is damaged"),
        ({"seen": '{"family": "xgboost", "odd": 1}'}, "observations.json is damaged: odd: unknown"),
        ({"seen": json.dumps({"family": "xgboost", "peak_rss_mib": float("nan")})}, "is damaged"),
        ({"observed": False}, "training.diagnostics was false"),
        ({"folds": (0, 1, 2)}, "curves.json is of other folds"),
    ],
)
def test_files_that_are_gone_damaged_or_of_something_else_are_absent(read, left, words):
    found = read(**left)
    (absent,) = found.absent
    assert words in absent
    # What is there is used all the same.
    assert bool(found.curves) != bool(found.fit.importances)


def test_a_fold_whose_curve_failed_costs_no_other_fold_its_own(read):
    why = "fold 1: the loss curve: MemoryError"
    found = read(curves=TrialCurves(curves=CURVES.curves[:1], absent=(why,)))
    assert [curve.fold for curve in found.curves] == [0]
    assert found.absent == (f"of the best trial, {why}",)


def test_parts_that_are_of_another_table_are_not_taken(read):
    found = read(n_features=4)
    assert found.fit.importances == found.fit.attributions == ()
    assert found.absent == (
        "1 of 1 importances: not of 4 features",
        "1 of 1 attributions: not of 4 features",
    )


def test_a_folder_in_the_place_of_a_file_is_absent_too(read, tmp_path):
    (tmp_path / "curves.json").mkdir()
    (absent,) = read(curves=None).absent
    assert "curves.json cannot be read: Is a directory" in absent


def test_of_a_family_without_a_model_it_is_said_that_nothing_is_known():
    found = read_observed(None, (), None, 3)
    assert found.absent == (
        "no loss curves of the best trial: no trial is complete",
        "nothing of the final fit: there is no model",
    )
