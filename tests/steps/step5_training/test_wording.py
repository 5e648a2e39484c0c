from __future__ import annotations

from steps.contract import FamilyResult
from steps.step5_training.wording import pruning_note


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
