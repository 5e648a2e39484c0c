"""The verdict in words, and what may be shown of diagnostics at all."""

from __future__ import annotations

import json
import shlex

import pytest

from agents.reports.training.lineage import Lineage
from agents.reports.training.shown import shown_diagnostics
from agents.reports.training.words import (
    estimate_text,
    health_words,
    listed,
    ordered,
    tie_or_better,
    trial_counts,
    verdict_words,
)
from steps.contract import Estimate, Note

UNKNOWN = Lineage("the ledger is gone")


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("strong", "Strong signal: catboost is ahead, R2 0.84 (0.83 to 0.85) on rows it never saw"),
        ("none", "No signal: nothing here predicts draw"),
        ("leaked", "Leaked: feature price_in_cents gives price away"),
    ],
)
def test_first_line_is_the_verdict_in_plain_words(made, kind, title):
    verdict = verdict_words(made(kind), UNKNOWN)
    assert (verdict.tone, verdict.title) == (kind, title)


def test_winner_that_no_other_family_ties_with_wins(made):
    found = made("strong", comparisons=made("strong").comparisons[1:])
    assert "catboost wins, R2 0.84" in verdict_words(found, UNKNOWN).title
    assert tie_or_better(found)[0].startswith("catboost is better than xgboost: R2 +0.013")


def test_tie_is_told_with_its_difference(made):
    said = tie_or_better(made("strong"))[0]
    assert said.startswith("catboost and lightgbm are tied")
    assert "R2 +0.002 (-0.002 to +0.006) in cross-validation" in said
    assert said.endswith("on the holdout, p 0.31.")


def test_leak_comes_with_a_command_that_keeps_what_people_gave(made):
    lineage = Lineage(given={"trials": 40, "exclude_features": ["id"]})
    run = made("leaked").run.model_copy(update={"params": {"exclude_features": ["id"]}})
    words = shlex.split(verdict_words(made("leaked", run=run), lineage).command)
    assert words[:2] == ["watcher", "--run-pipeline"]
    assert json.loads(words[-1]) == {
        "trials": 40,
        "survivors": "sales.csv",
        "target": "price",
        "exclude_features": ["id", "price_in_cents"],
    }


def test_leak_command_survives_a_name_with_quotes(made):
    signal = made("leaked").signal.model_copy(update={"exclude_features": ('it\'s "a"; rm -rf ~',)})
    command = verdict_words(made("leaked", signal=signal), UNKNOWN).command
    words = shlex.split(command)
    assert json.loads(words[-1])["exclude_features"] == ['it\'s "a"; rm -rf ~']
    assert words[-2] == "--params"


def test_secret_parameter_is_left_out_of_the_command_and_named(made):
    lineage = Lineage(given={"study_storage": "mysql://me:***@db/x"})
    verdict = verdict_words(made("leaked"), lineage)
    assert "mysql" not in verdict.command
    assert "study_storage" in verdict.remark


def test_run_without_any_model_has_no_verdict(made):
    found = made("none", signal=None, winner=None, headline="Step 5 failed: every trial failed")
    verdict = verdict_words(found, UNKNOWN)
    assert verdict.title == "No verdict: no family has a model"
    assert verdict.sentences == ("Step 5 failed: every trial failed",)


@pytest.mark.parametrize(
    ("value", "ci95", "text"),
    [
        (0.8382, (0.8262, 0.8502), "0.84 (0.83 to 0.85)"),
        (0.0004, (-0.0036, 0.0044), "0.000 (-0.004 to 0.004)"),
        (0.99971, (0.99969, 0.99973), "0.9997 (0.9997 to 0.9997)"),
        (-1e30, (-2e30, 0.5), "under -10 (under -10 to 0.50)"),
        (0.5, None, "0.500"),
        (1.0, (1.0, 1.0), "1.000 (1.000 to 1.000)"),
        (0.0, (0.0, 0.0), "0.000 (0.000 to 0.000)"),
        (-0.0001, (-0.012, 0.013), "0.00 (-0.01 to 0.01)"),
    ],
)
def test_estimate_has_the_digits_that_its_interval_supports(value, ci95, text):
    assert estimate_text(Estimate(value=value, ci95=ci95)) == text


def test_trials_that_are_not_shown_are_counted_too(made):
    family = made("strong").families["catboost"]
    counted = {"trials_complete": 2000, "trials_pruned": 300, "trials_failed": 4}
    assert trial_counts(family.model_copy(update=counted)) == "2304 (300 pruned, 4 failed)"
    # Of a file of before they were counted, those that are shown.
    assert trial_counts(family).startswith(str(len(family.trials)))


def test_winner_comes_first_then_the_best(made):
    names = [name for name, _ in ordered(made("leaked", winner="lightgbm"))]
    assert names[0] == "lightgbm"
    failed = made("strong").families["xgboost"].model_copy(update={"cv": None, "holdout": None})
    families = made("strong").families | {"xgboost": failed}
    assert [n for n, _ in ordered(made("strong", families=families))][-1] == "xgboost"


def test_absent_observations_are_never_called_healthy(made):
    family = made("strong").families["catboost"]
    assert health_words(family, collected=True).startswith("no findings")
    off = health_words(family, collected=False)
    gone = family.model_copy(update={"absent": ("no curves: the worker was killed",)})
    assert "not known" in off
    assert health_words(gone, collected=True) == "1 observation is absent"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d", "e", "f", "g"], "a, b, c, d, e and 2 more"),
    ],
)
def test_names_are_listed_as_people_do(names, text):
    assert listed(names) == text


def test_no_secret_of_a_parameter_is_shown_anywhere(made):
    secret = "hunter2-and-more"
    base = made("strong")
    run = base.run.model_copy(
        update={"params": {"study_storage": f"mysql://me:{secret}@db/x", "api_key": secret}}
    )
    family = base.families["xgboost"].model_copy(
        update={"absent": (f"cannot reach me:{secret}",), "params": {"api_key": "other-secret"}}
    )
    found = base.model_copy(
        update={
            "run": run,
            "headline": f"stored with {secret}",
            "notes": (Note(level="info", code="x", message=f"seen: {secret}"),),
            "families": base.families | {"xgboost": family},
        }
    )
    text = shown_diagnostics(found).model_dump_json()
    assert secret not in text
    assert "other-secret" not in text
    assert shown_diagnostics(found, {"catboost-gone"}).winner == "catboost"


def test_secret_that_only_the_request_knows_is_hidden_too(made):
    shown = shown_diagnostics(made("strong", headline="with s3cr3t-value"), {"s3cr3t-value"})
    assert shown.headline == "with ***"


def test_characters_that_act_on_a_terminal_are_shown_as_such(made):
    shown = shown_diagnostics(made("strong", headline="a\x1b[31mred\x07\u202eb\ud800\nc"))
    assert "\x1b" not in shown.headline
    assert "\u202e" not in shown.headline
    assert shown.headline.endswith("\nc")
    shown.headline.encode()


def test_numbers_are_as_they_were(made):
    found = made("strong")
    shown = shown_diagnostics(found)
    assert shown.families == found.families
    assert shown.table == found.table
