"""Scores on the screen: every number whole, at every width, however extreme."""

import io
import re

import pytest
from rich.console import Console

from agents.views.family_scores import error_text, families_result, r2_text
from steps.contract import Estimate, FamilyResult, Scores, StepResult

EXTREME = {
    "xgboost": (0.81234, (0.79, 0.83), 1e36, 1e-12),
    "neural_net": (-1e30, (-2e30, 0.5), 123456.7, 1.295e-05),
    "lightgbm": (-9.5, (-10.5, -8.25), 12.3456, 999_999.4),
}
NUMBERS = {
    *("0.8123", "[0.790, 0.830]", "1e+36", "1e-12"),
    *("< -10", "[< -10, 0.500]", "123,457", "1.29e-05"),
    *("-9.5000", "[< -10, -8.250]", "12.35", "999,999"),
}


def shown(width):
    families = {}
    for name, (r2, ci95, rmse, mae) in EXTREME.items():
        scores = Scores(
            r2=Estimate(value=r2, ci95=ci95), rmse=Estimate(value=rmse), mae=Estimate(value=mae)
        )
        families[name] = FamilyResult(
            status="complete",
            cv=scores,
            holdout=scores,
            trials_complete=10000,
            trials_pruned=2,
            training_s=360_000,
        )
    families["catboost"] = FamilyResult(status="failed", error="no")
    result = StepResult(
        run_id="r", step=5, attempt=1, status="complete", headline="", families=families
    )
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    families_result(console, result, "result.json")
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_every_number_that_is_shown_is_whole(width):
    text = shown(width)
    assert "…" not in text
    body = text.partition("[low, high]")[0]
    others = {"R2", "10002", "2", "100:00:00", "0", "0:00"}
    whole = {word.strip("[],") for number in NUMBERS for word in number.split()} | others
    assert {w.strip("[],") for w in body.split() if re.search("[0-9]", w)} <= whole
    for number in NUMBERS - {"1e-12", "1.29e-05", "999,999"}:  # an MAE may be left out
        assert number in body, number


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_screen(width):
    assert max(len(line.rstrip()) for line in shown(width).splitlines()) <= width


@pytest.mark.parametrize(
    ("width", "heads"),
    [(60, ("RMSE",)), (80, ("RMSE", "MAE")), (120, ("RMSE", "MAE", "trained"))],
)
def test_what_does_not_fit_is_left_out_from_the_right(width, heads):
    header = next(line for line in shown(width).splitlines() if "family" in line)
    assert [head for head in ("RMSE", "MAE", "trained") if head in header.split()] == list(heads)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.295e-05, "1.29e-05"),
        (0.001, "0.001"),
        (12.5, "12.5"),
        (999.96, "1,000"),
        (1234.5, "1,234"),
        (999_999.0, "999,999"),
        (1e6, "1e+06"),
        (1e36, "1e+36"),
    ],
)
def test_errors_have_four_digits_or_an_exponent(value, text):
    assert error_text(value) == text


def test_r2_far_below_zero_is_only_called_low():
    assert (r2_text(-1e300), r2_text(-9.99), r2_text(0.5, 3)) == ("< -10", "-9.9900", "0.500")
