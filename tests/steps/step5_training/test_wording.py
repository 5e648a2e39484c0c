from __future__ import annotations

from steps.contract import FamilyResult
from steps.step5_training.comparison import SWITCHED_OFF, Comparison
from steps.step5_training.judged import Judged
from steps.step5_training.wording import headline, pruning_note, result_error


def test_what_pruning_skipped_is_told_with_the_numbers():
    families = {
        "xgboost": FamilyResult(status="complete", folds_fitted=40, folds_pruned=10),
        "lightgbm": FamilyResult(status="complete", folds_fitted=50),
        "catboost": FamilyResult(status="complete", folds_fitted=45, folds_pruned=5),
    }
    (note,) = pruning_note(families)
    message = note.message
    assert "15 of 150 fold fits" in message
    assert "(xgboost 10, catboost 5)" in message


def test_nothing_is_said_where_pruning_skipped_nothing():
    assert pruning_note({"xgboost": FamilyResult(status="complete", folds_fitted=9)}) == []


def nobody_trained(families):
    judged = Judged(Comparison({}, {}, {}, None, False), ())
    error = result_error(judged, families)
    assert error.kind == "blocked"
    assert error.message in headline(judged, families, "y", withheld=False, awaiting=None)
    return error.message


def test_families_that_are_all_switched_off_are_told_in_one_sentence():
    off = FamilyResult(status="skipped", error=SWITCHED_OFF)
    assert nobody_trained({"xgboost": off, "catboost": off}) == (
        "every family is switched off by policy"
    )


def test_where_no_family_may_train_each_is_named_with_its_reason():
    families = {
        "xgboost": FamilyResult(status="skipped", error=SWITCHED_OFF),
        "catboost": FamilyResult(status="skipped", error="left out after 3 critical results"),
    }
    assert nobody_trained(families) == (
        "no family that was asked for may train: xgboost is switched off by policy; "
        "catboost is left out after 3 critical results"
    )
