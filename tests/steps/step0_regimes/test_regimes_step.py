from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steps import entry
from steps.contract import StepRequest
from steps.errors import StepRefused
from steps.forensics.documents import REGIMES_FILE, Regimes, Segment, read_document
from steps.step0_regimes.report import REPORT_FILE
from steps.step0_regimes.run import run
from steps.step0_regimes.settings import RegimeSettings

MANIFEST = json.loads((Path(__file__).parents[3] / "agent_manifests" / "regimes.json").read_text())
FEW = {"regime_permutations": 120}


def request_for(folder, draws, **params):
    rows = [
        {"date": str(np.datetime64("2001-01-01") + i), "draw": draw} for i, draw in enumerate(draws)
    ]
    path = folder / "draw_history.json"
    path.write_text(json.dumps(rows))
    out = folder / ".watcher" / "step0"
    out.mkdir(parents=True)
    return StepRequest(
        run_id="r7",
        step=0,
        attempt=1,
        params={"draw_min": 0, "draw_max": 9, **FEW, **params},
        inputs={"draw_history": str(path)},
        workspace=str(folder),
        policy_path=str(folder / "watcher_policies.json"),
        out_dir=str(out),
    )


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(RegimeSettings.model_fields)
    for name, default in RegimeSettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_noise_ends_in_one_regime_and_no_bias(tmp_path):
    draws = np.random.default_rng(1).integers(0, 10, 600).tolist()
    draws[5] = None
    result = run(request_for(tmp_path, draws))
    assert result.status == "complete"
    regimes = read_document(tmp_path / REGIMES_FILE, Regimes)
    assert regimes.segments == (Segment(first=0, stop=600),)
    assert regimes.uniform
    assert (regimes.run_id, regimes.history.draws, regimes.history.unread) == ("r7", 600, 1)
    assert result.headline == regimes.headline
    assert "One regime" in result.headline
    assert "599 draws show no bias" in result.headline
    assert {output.path for output in result.outputs} == set(MANIFEST["outputs"])
    assert result.notes == regimes.history.notes
    report = (tmp_path / REPORT_FILE).read_text()
    assert regimes.headline in report
    assert all(test.sentence in report for test in regimes.tests)


def test_a_change_is_named_by_draw_and_date_and_both_regimes_are_listed(tmp_path):
    rng = np.random.default_rng(2)
    draws = [*rng.integers(0, 10, 500).tolist(), *rng.choice([1, 2, 3, 4, 5], 500).tolist()]
    result = run(request_for(tmp_path, draws))
    regimes = read_document(tmp_path / REGIMES_FILE, Regimes)
    first, second = regimes.segments
    assert (first.first, first.stop, second.stop) == (0, second.first, 1000)
    assert abs(second.first - 500) < 20
    day = np.datetime64("2001-01-01") + second.first
    assert f"2 regimes: the draws change at draw {second.first} ({day}" in result.headline
    assert "values" in result.headline
    assert not regimes.uniform
    assert result.metrics["regimes"] == 2
    assert f"| 2 | draw {second.first} ({day}" in (tmp_path / REPORT_FILE).read_text()


def test_a_history_too_short_to_change_says_how_many_draws_would_do(tmp_path):
    result = run(request_for(tmp_path, [1, 2, 3] * 10))
    assert result.headline == (
        "One regime: 30 draws are too few to look for a change (200 do); for tests of bias they "
        "are too few, too (50 do)."
    )
    assert read_document(tmp_path / REGIMES_FILE, Regimes).tests == ()


def test_a_machine_that_always_draws_the_same_is_named_so_in_the_headline(tmp_path):
    result = run(request_for(tmp_path, [7] * 100, draw_max=999))
    assert "100 draws are too few to look for a change" in result.headline
    assert "not uniform and independent: values (p under 1e-300), digits" in result.headline
    regimes = read_document(tmp_path / REGIMES_FILE, Regimes)
    assert {test.name for test in regimes.tests} == {"values", "digits"}
    assert regimes.alpha == RegimeSettings().regime_alpha


def test_no_p_value_is_told_as_zero(tmp_path):
    run(request_for(tmp_path, [k % 10 for k in range(3000)]))
    report = (tmp_path / REPORT_FILE).read_text()
    assert "| under 1e-300 | under 1e-300 |" in report
    assert "(p under 1e-300; neighbours are tied more than chance)" in report
    assert "p 0)" not in report
    assert "| 0 |" not in report


def test_equal_histories_and_seeds_give_equal_regimes(tmp_path):
    draws = np.random.default_rng(3).integers(0, 10, 400).tolist()
    found = []
    for name in "ab":
        (tmp_path / name).mkdir()
        run(request_for(tmp_path / name, draws, seed=5))
        found.append(read_document(tmp_path / name / REGIMES_FILE, Regimes))
    assert found[0].tests == found[1].tests


def test_a_step_that_is_asked_to_stop_writes_nothing(tmp_path):
    request = request_for(tmp_path, [1, 2, 3] * 100)
    entry._stop.set()
    try:
        result = run(request)
    finally:
        entry._stop.clear()
    assert result.status == "halted"
    assert not (tmp_path / REGIMES_FILE).exists()


def test_permutations_that_could_never_show_a_change_are_refused(tmp_path):
    wish = {"regime_alpha": 0.001, "regime_permutations": 999}
    with pytest.raises(StepRefused, match=r"regime_permutations must be at least 1001 .*got 999"):
        run(request_for(tmp_path, [1, 2, 3], **wish))
