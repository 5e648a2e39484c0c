"""Medians, ratios and Markdown of benchmark runs, and the measuring of a process tree."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks.figures import Run, markdown, score_table, summary_table
from benchmarks.measure import Measured, run_measured
from benchmarks.step5 import scaled
from benchmarks.tables import BenchError, open_table, write_made_table
from benchmarks.work import FamilyOutcome, Outcome

OUTCOME = Outcome(
    families={
        "xgboost": FamilyOutcome(
            best_cv_r2=0.5, holdout_r2=0.25, trials_done=2, fold_fits=6, draws=({"max_depth": 3},)
        )
    }
)


def run_of(way, repeat, wall_s):
    return Run(way, repeat, 0.0, Measured(wall_s, 2 * wall_s, 100.0, 1), OUTCOME)


def test_a_ratio_is_taken_inside_its_repeat():
    # The second repeat met a machine twice as slow: ratios 0.5 and 0.5, though 10 / 40 is 0.25.
    runs = [
        run_of("product", 0, 10.0),
        run_of("plain", 0, 20.0),
        run_of("product", 1, 20.0),
        run_of("plain", 1, 40.0),
    ]
    first, last = summary_table(runs).splitlines()[2:]
    assert "0.50 (0.50 to 0.50)" in first
    assert first.split("|")[2].strip() == "15.0"
    assert last.split("|")[8].strip() == "1.00"


def test_costs_of_some_folds_are_scaled_to_all_but_not_imports_and_refit():
    family = OUTCOME.families["xgboost"].model_copy(update={"search_s": 4.0, "search_cpu_s": 6.0})
    whole = scaled(Measured(10.0, 20.0, 100.0, 1), Outcome(families={"xgboost": family}), 5.0)
    assert whole == Measured(10.0 + 4 * 4.0, 20.0 + 4 * 6.0, 100.0, 1)


def test_without_a_plain_run_there_are_no_ratios():
    assert "plain" not in summary_table([run_of("product", 0, 1.0)])


def test_scores_stand_a_family_a_row():
    assert "0.5000 / 0.2500" in score_table([run_of("product", 0, 1.0)]).splitlines()[2]


def test_markdown_aligns_numbers_to_the_right():
    assert markdown(["a", "bb"], [["x", "1"]]) == "| a | bb |\n|:--|---:|\n| x |  1 |"


def test_memory_and_time_of_a_grandchild_count(tmp_path):
    busy = (
        "import time; block = bytearray(200 << 20); end = time.process_time() + 0.6\n"
        "while time.process_time() < end: pass"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    measured = run_measured([sys.executable, "-c", parent], tmp_path, dict(os.environ))
    assert measured.peak_mib > 200
    assert measured.peak_processes >= 2
    assert measured.cpu_s > 0.6
    assert measured.wall_s > 0.6


def test_a_failed_run_says_its_last_words(tmp_path):
    with pytest.raises(BenchError, match="no such thing"):
        run_measured(
            [sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path, dict(os.environ)
        )


def test_the_made_table_is_always_the_same(tmp_path):
    one = write_made_table(tmp_path / "one.csv", 50).read_bytes()
    assert one == write_made_table(tmp_path / "two.csv", 50).read_bytes()
    assert len(one.splitlines()[0].split(b",")) == 63


def test_a_file_needs_a_target(tmp_path):
    path = write_made_table(tmp_path / "one.csv", 50)
    with pytest.raises(BenchError, match="--target"):
        open_table(str(path), None, tmp_path, 50)
