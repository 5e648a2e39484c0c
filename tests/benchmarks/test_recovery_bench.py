"""What the benchmark of recovery calls found is found, and its results are kept and counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import recovery_alarms, recovery_draws
from benchmarks.recovery import main, read_results, recovery_table, tables
from benchmarks.recovery_alarms import FOUND, NONE, ask, summary
from benchmarks.recovery_cells import Cell, cells
from benchmarks.recovery_draws import measure
from benchmarks.recovery_speed import _plain_first_look, measure_speed, speed_table
from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.question import Question

CLEAN = Cell("xorshift32", "mod", 0, 1, 0.0)


def test_the_table_asks_about_every_generator_and_never_twice():
    keys = [cell.key for cell in cells(20)]
    assert len(keys) == len(set(keys))
    assert {cell.generator for cell in cells(20)} == set(GENERATORS)
    assert max(cell.seed_bits or 0 for cell in cells(32)) == 32
    assert all(cell.gap in cell.gaps and len(cell.gaps) == cell.tried for cell in cells(20))


def test_the_number_of_draws_is_the_smallest_that_always_does():
    measured = measure(CLEAN, tries=2, budget_s=20)
    assert (measured.outcome, measured.missed, measured.at_most) == ("found", 0, False)
    # 32 bits want eleven draws of three; fewer would be luck.
    assert 11 <= measured.draws <= 21
    fewer = CLEAN.grid[CLEAN.grid.index(measured.draws) - 1]
    tries = [recovery_draws._attempt(CLEAN, number, fewer, np.inf) for number in range(4)]
    assert not all(one.found for one in tries)


def test_a_state_that_foretells_other_draws_does_not_count(monkeypatch):
    def wrong(question):
        search = recover(question)
        return dataclasses.replace(
            search, found=dataclasses.replace(search.found, state=(search.found.state[0] ^ 1,))
        )

    recover = recovery_draws.recover_state
    monkeypatch.setattr(recovery_draws, "recover_state", wrong)
    measured = measure(CLEAN, tries=1, budget_s=20)
    assert measured.outcome == "not found"
    assert measured.reason == "with 2000 draws: another state was found"


def test_what_cannot_be_and_what_there_was_no_time_for_are_told_apart():
    impossible = measure(Cell("java", "multiply", 0, 1, 0.0), tries=1, budget_s=20)
    assert impossible.outcome == "no method"
    assert "no lower bits" in impossible.reason
    late = measure(CLEAN, tries=1, budget_s=0)
    assert (late.outcome, late.draws) == ("over budget", None)
    row = recovery_table([late]).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:4]] == ["xorshift32 mod", "0 (1)", ""]
    assert "over budget" in row


def test_a_call_goes_on_where_the_last_one_ended(tmp_path, capsys):
    out = tmp_path / "recovery.jsonl"
    asked = ["--table", "--only", "xorshift32 mod, gap 0 of 1, 0% wrong, 0%", "--tries", "1"]
    assert main([*asked, "--out", str(out)]) == 0
    first = out.read_text()
    assert first.count("\n") == 1
    assert main([*asked, "--out", str(out)]) == 0
    assert out.read_text() == first
    assert tables(list(read_results(out).values())) in capsys.readouterr().out


@pytest.fixture
def few_methods(monkeypatch):
    monkeypatch.setattr(recovery_alarms, "ALGEBRA", {"xorshift32": ("mod",)})
    monkeypatch.setattr(recovery_alarms, "SEARCHED", (("pcg32", "mod", "default_stream"),))


def test_true_randomness_is_asked_about_and_not_found(few_methods):
    asked = ask(2, budget_s=20)
    assert asked.answers == {"xorshift32 mod": NONE, "pcg32 mod, seeds": NONE}
    assert summary([asked]).splitlines()[-1].startswith("0 of 1 random histories")


def test_a_false_alarm_would_be_seen(few_methods, monkeypatch, tmp_path):
    def not_so_true(count, modulus):
        law = Law(GENERATORS["xorshift32"], MAPPINGS["mod"], modulus)
        return law.draws(np.array([[77]], np.uint64), count)[0]

    monkeypatch.setattr(recovery_alarms, "true_draws", not_so_true)
    asked = ask(1, budget_s=20)
    assert asked.answers["xorshift32 mod"] == FOUND
    assert summary([asked]).splitlines()[-1].startswith("1 of 1 random histories")
    assert main(["--false-alarms", "2", "--out", str(tmp_path / "recovery.jsonl")]) == 1


def test_numpy_s_first_look_keeps_the_seeds_that_the_kernel_keeps():
    generator, draws = GENERATORS["pcg32"], np.random.default_rng(1).integers(0, 1000, 60)
    law = Law(generator, MAPPINGS["mod"], 1000)
    plain = _plain_first_look(law, generator, "default_stream", draws[:1], 1 << 15)
    question = Question(generator, MAPPINGS["mod"], 1000, draws)
    search = search_seeds(question, "default_stream", seeds=range(1 << 15))
    assert len(plain) == search.first_looks > 10


def test_the_table_of_speeds_has_medians_and_ratios_within_a_repeat():
    speed = measure_speed("pcg32", repeats=3, run_s=0.0)
    assert speed.looks == 1
    made = dataclasses.replace(speed, ours=[4e9, 1e9, 2e9], plain=[2e7, 1e7, 4e7])
    row = [cell.strip() for cell in speed_table([made]).splitlines()[-1].split("|")]
    assert row[2:7] == ["1", "2,000", "20", "100 (50 to 200)", "2.1"]
