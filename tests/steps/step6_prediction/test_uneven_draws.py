"""Histories that no generator of ours made, and that are not chance either."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steps.errors import StepRefused
from steps.forensics.documents import (
    PREDICTION_FILE,
    REGIMES_FILE,
    Prediction,
    write_document,
)
from steps.step0_regimes.finding import find_regimes
from steps.step0_regimes.settings import RegimeSettings
from steps.step3_scoring.run import run as score
from steps.step6_prediction.fairness import fairness_of
from steps.step6_prediction.report import REPORT_FILE
from steps.step6_prediction.run import run
from tests.steps.forensics.made_workspace import (
    candidate,
    found,
    lay_out,
    made_history,
    request_for,
)

FEW = RegimeSettings(regime_permutations=120)


def history_of(draws, modulus):
    made, _ = made_history(count=len(draws))
    facts = made.facts.model_copy(update={"modulus": modulus})
    return dataclasses.replace(made, draws=np.asarray(draws, np.int64), facts=facts)


def examined(folder, draws, modulus, *, step_0=True, **window):
    """What step 6 says where step 1 has found nothing."""
    history = history_of(draws, modulus)
    train = len(draws) * 4 // 5
    lay_out(
        folder, history, [candidate(s, modulus=modulus) for s in range(5)], train=train, **window
    )
    if step_0:
        regimes = find_regimes(history, FEW, "r0", lambda _first, _stop: None)
        write_document(folder / REGIMES_FILE, regimes)
    score(request_for(folder, 3, table_rows=0))
    result = run(request_for(folder, 6))
    return result, Prediction.model_validate_json((folder / PREDICTION_FILE).read_bytes())


def geometric(n, seed=1):
    return np.minimum(np.random.default_rng(seed).geometric(0.3, n) - 1, 9).tolist()


def wheel(n, seed=2):
    return np.random.default_rng(seed).choice(10, n, p=[0.3, 0.2, *[0.0625] * 8]).tolist()


@pytest.mark.parametrize(
    ("draws", "modulus", "said"),
    [
        ([k % 10 for k in range(300)], 10, "60 of 60 draws held back are the draw before plus 1"),
        ([7] * 100, 1000, "20 of 20 draws held back are the draw before;"),
        (wheel(400), 10, "values (p "),
        (geometric(400), 10, "values (p "),
    ],
    ids=["cycle", "constant", "biased wheel", "geometric"],
)
def test_draws_that_are_plainly_no_chance_are_never_called_so(tmp_path, draws, modulus, said):
    result, prediction = examined(tmp_path, draws, modulus)
    assert prediction.verdict == "not uniform"
    assert said in prediction.headline
    assert "Step 0's tests: " in prediction.headline
    # No generator, no forecast: the exit code is 12.
    assert (result.status, prediction.next_draws, prediction.candidates) == ("no_signal", (), ())
    assert any("draw_min" in line for line in result.what_next)
    report = (tmp_path / REPORT_FILE).read_text()
    assert "no better than chance" not in report.lower()
    assert "forensics/regimes.md" in report


def test_a_cycle_is_foretold_where_step_0_has_not_run(tmp_path):
    _, said = examined(tmp_path, [k % 10 for k in range(300)], 10, step_0=False)
    assert said.verdict == "not uniform"
    assert "Step 0's tests" not in said.headline
    text = " ".join(said.explanation)
    assert "Whether the draws are uniform was not tested: step 0 has not run." in text


def test_uniform_draws_stay_no_better_than_chance(tmp_path):
    verdicts = []
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        modulus = (10, 1000)[seed % 2]
        draws = np.random.default_rng(seed).integers(0, modulus, 250).tolist()
        _, said = examined(folder, draws, modulus)
        verdicts.append(said.verdict)
    assert set(verdicts) == {"no better than chance"}
    assert any("none of its " in line for line in said.explanation)


def test_uneven_draws_that_are_too_few_for_a_search_are_called_uneven(tmp_path):
    _, said = examined(tmp_path, [1] * 60, 2, verdict="insufficient data")
    assert said.verdict == "not uniform"


def test_a_proven_seed_goes_before_uneven_draws_and_says_that_they_are(tmp_path):
    history, truth = made_history(count=200)
    sure = found(150)
    lay_out(tmp_path, history, [sure], train=150, proven=[sure])
    uneven = find_regimes(history_of([7] * 200, 1000), FEW, "r0", lambda _first, _stop: None)
    write_document(tmp_path / REGIMES_FILE, uneven)
    score(request_for(tmp_path, 3, table_rows=0))
    run(request_for(tmp_path, 6))
    said = Prediction.model_validate_json((tmp_path / PREDICTION_FILE).read_bytes())
    assert (said.verdict, said.next_draws) == ("seed found", truth.next_draws)
    assert any(
        "the draws are not uniform and independent, by 2 of 2" in s for s in said.explanation
    )


@pytest.mark.parametrize("changed", [{"sha256": "1" * 64}, {"low": 1}, {"modulus": 11}])
def test_regimes_of_another_history_or_range_are_not_used(tmp_path, changed):
    history = history_of([7] * 100, 10)
    path = tmp_path / REGIMES_FILE
    write_document(path, find_regimes(history, FEW, "r0", lambda _first, _stop: None))
    assert fairness_of(path, history.facts).rejected
    other = fairness_of(path, history.facts.model_copy(update=changed))
    assert other.rejected == ()
    assert "run step 0 again" in other.sentences[0]


def test_regimes_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / REGIMES_FILE
    path.write_text("{}")
    with pytest.raises(StepRefused, match=REGIMES_FILE):
        fairness_of(path, history_of([7] * 100, 10).facts)


@pytest.mark.parametrize(("p_value", "uneven"), [(0.0011, 0), (0.0009, 1)])
def test_what_is_only_worth_a_look_to_step_0_makes_no_verdict(tmp_path, p_value, uneven):
    history, path = history_of([7, 8, 9] * 100, 1000), tmp_path / REGIMES_FILE
    regimes = find_regimes(history, FEW, "r0", lambda _first, _stop: None)
    test = regimes.tests[0].model_copy(update={"p_value": p_value, "p_corrected": p_value})
    write_document(path, regimes.model_copy(update={"tests": (test,)}))
    assert len(fairness_of(path, history.facts).rejected) == uneven
